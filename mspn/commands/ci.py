"""Score one or two COCO keypoint results files with confidence intervals over images, and their difference.

    mspn ci mine.json --truth person_keypoints_val2017.json
    mspn ci mine.json theirs.json --truth person_keypoints_val2017.json --replicates 10000

The figures are pycocotools' own. The intervals are the image bootstrap's, 95 %; for two files the images are
drawn the same for both, so that what makes a picture hard for both does not count. Nothing is said of the
noise of training: another seed gives another file.
"""

import argparse
from pathlib import Path
from typing import Any

HELP = "confidence intervals of COCO keypoint results files, and the paired difference of two"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="one or two results files")
    parser.add_argument("--truth", type=Path, required=True, help="the annotations, person_keypoints_*.json")
    parser.add_argument(
        "--replicates", type=int, default=1000, metavar="N", help="bootstrap replicates (default: 1000)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    import json

    from mspn.errors import UserError
    from mspn.evaluation.confidence import compare

    if len(args.files) > 2:
        raise UserError(f"{len(args.files)} results files; give one, or two to compare")
    if args.replicates < 100:
        raise UserError(f"--replicates {args.replicates}: a 95 % interval needs 100 or more")
    found = compare(args.truth, args.files, args.replicates)
    print(json.dumps(found, indent=1) if args.json else describe(found))
    return 0


def describe(found: dict[str, Any]) -> str:
    from tabulate import tabulate

    columns = {letter: entry["figures"] for letter, entry in zip("AB", found["files"], strict=False)}
    if "difference" in found:
        columns["A - B"] = found["difference"]
    rows = [
        [figure, *(_cell(column[figure], "+" if name == "A - B" else "") for name, column in columns.items())]
        for figure in found["files"][0]["figures"]
    ]
    files = [
        f"{letter}: {entry['file']}, {entry['detections']:,} detections"
        for letter, entry in zip("AB", found["files"], strict=False)
    ]
    drawn = "; the same images drawn for both" if "difference" in found else ""
    return "\n".join(
        [
            f"{found['truth']}: {found['images']:,} images, {found['persons']:,} persons that count",
            *files,
            "",
            tabulate(rows, headers=["", *columns], colalign=("left", *["right"] * len(columns))),
            "",
            f"{found['level']:.0%} intervals over images, {found['replicates']:,} replicates{drawn}.",
            "They hold for these weights: the noise of training is not in them.",
        ]
    )


def _cell(figure: dict[str, float | None], sign: str) -> str:
    value, low, high = (figure[key] for key in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return "-"
    return f"{value:{sign}.2f} [{low:{sign}.2f}, {high:{sign}.2f}]"
