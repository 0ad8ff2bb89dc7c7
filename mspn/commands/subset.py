"""Make a small data set out of COCO 2017, as the scales coco-mini and coco-mini-overfit need one.

The very same images, and as many others:
  mspn subset --coco data/coco --ids workflow/config/coco-mini.json --out data/coco-mini
  mspn subset --coco data/coco --images 80 --out data/coco-mini

--images takes so many of train2017 and of val2017, always the same ones. Pictures are hard links where that
is possible, else copies; the annotations are cut to the chosen images.
"""

import argparse
from pathlib import Path

HELP = "make a small data set out of COCO"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--coco", type=Path, required=True, metavar="DIR", help="COCO 2017, in its own layout"
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--images", type=int, metavar="N", help="images of each split")
    which.add_argument("--ids", type=Path, metavar="FILE", help="JSON: image ids by split")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the subset")


def run(args: argparse.Namespace) -> int:
    from mspn.data.subset import make_subset, read_ids
    from mspn.files import writing

    with writing(args.out):
        told = make_subset(args.coco, args.out, read_ids(args.ids) if args.ids else args.images)
    for split, counts in told.items():
        copied = f", {counts['copied']} of them copied" if counts["copied"] else ""
        print(
            f"{args.out}, {split}: {counts['images']} images{copied}, {counts['persons']} persons with joints"
        )
    return 0
