"""Write a network for a runtime without torch.

The file takes images (N, 3, H, W), normalised, for any N, and gives heat maps (N, K, H/4, W/4). It is checked
against torch before it is written, and holds what is needed to use it: names of the joints, input size,
normalisation, order of the channels, and the numbers of the flip test and the decoding. docs/export.md has a
program that runs it. Needs the packages of the group `export`.
"""

import argparse
from pathlib import Path

HELP = "write a network as ONNX"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="F", help="a weight file")
    parser.add_argument("--to", choices=("onnx",), required=True, help="the format")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="where to write")
    parser.add_argument("--json", action="store_true", help="print what the file says of itself as JSON")


def run(args: argparse.Namespace) -> int:
    import json

    from mspn.evaluation.export import export_onnx
    from mspn.files import writing

    with writing(args.out):
        about, difference = export_onnx(args.checkpoint, args.out)
    if args.json:
        print(json.dumps(about))
        return 0
    height, width = about["input_size"]
    print(
        f"{args.out}: images (N, 3, {height}, {width}) to heat maps "
        f"(N, {len(about['joints'])}, {height // about['stride']}, {width // about['stride']}); "
        f"differs from torch by {difference:.0e} of the largest value"
    )
    return 0
