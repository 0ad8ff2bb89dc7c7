"""Write LSP Extended, as it is published, in COCO's layout with its own 14 joints.

FOLDER holds images/ (im00001.jpg, ...) and joints.mat, of 9,000 or 10,000 persons. Persons 1 to 8,000 become
the split train, 8,001 to 9,000 val, the rest test. Boxes are the labelled joints' with a margin of a tenth of
the longer side; joints outside their picture count as not labelled. Pictures are hard links where the file
system allows them: to edit one edits both. What was left out is printed, and kept in import.json.
"""

import argparse
from pathlib import Path

HELP = "write LSP Extended in COCO's layout"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="folder with images/ and joints.mat")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="such as data/lsp")
    parser.add_argument("--json", action="store_true", help="print import.json")


def run(args: argparse.Namespace) -> int:
    import json

    from mspn.data.lsp import import_lsp
    from mspn.data.skeletons import LSP

    report = import_lsp(args.folder, args.out)
    if args.json:
        print(json.dumps(report, indent=1))
        return 0
    for split, counts in report["splits"].items():
        print(
            f"{args.out}/{split}: {counts['pictures']} pictures, {counts['linked']} of them linked, "
            f"{counts['persons']} persons, {counts['joints']} labelled joints"
        )
    joints = report["source"]["persons"] * len(LSP.joints)
    print(f"{report['joints_not_labelled']} of {joints} joints: not labelled")
    for rule, entries in report["notes"].items():
        print(f"{len(entries)} {rule}:")
        print("\n".join(f"  {entry}" for entry in entries))
    return 0
