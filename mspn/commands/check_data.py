"""Count what is in COCO and MPII as they lie on the disk, beside the paper's counts, and check COCO's split.

COCO 2014 with minival and COCO 2017 are the same images under other names: where both are there, the split is
checked by image ids (train2017 = train2014 + val2014 - minival2014, val2017 = minival2014). The exit code
is 1 where that fails; counts that differ from the paper's are only said to.
"""

import argparse
from pathlib import Path

HELP = "count persons beside the paper's counts and check COCO's split"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--coco", type=Path, metavar="ROOT", help="folder with annotations/ of 2014, 2017 or both"
    )
    parser.add_argument("--mpii", type=Path, metavar="ROOT", help="folder with images/ and annotations/")
    parser.add_argument("--pictures", action="store_true", help="also require every picture's file")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    import json

    from mspn.data.census import check_coco_split, count_coco, count_mpii
    from mspn.errors import UserError

    if not args.coco and not args.mpii:
        raise UserError("nothing to check: give --coco ROOT, --mpii ROOT or both")
    counts = count_coco(args.coco, args.pictures) if args.coco else []
    checks = check_coco_split(args.coco) if args.coco else []
    counts += count_mpii(args.mpii, args.pictures) if args.mpii else []
    if args.json:
        print(json.dumps({"counts": counts, "checks": checks}, indent=1))
    else:
        print(f"{'split':<42}{'images':>9}{'with persons':>14}{'persons':>9}  paper")
        for row in counts:
            print(
                f"{row['split']:<42}{row['images']:>9}{row['images_with_persons']:>14}{row['persons']:>9}"
                f"  {row['paper']}"
            )
        for check in checks:
            print(f"{check['verdict']:<12}{check['check']}{check['detail']}")
    return 1 if any(check["verdict"] == "FAILED" for check in checks) else 0
