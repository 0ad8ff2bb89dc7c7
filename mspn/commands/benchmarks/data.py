"""Samples per second of one core by each path to a training sample, and each step's share.

The comparison is the per-sample method in its literal form: decode the picture, warp, normalise, and blur 5
x 17 targets one by one. It runs in the same call, on the same core and pictures, and is not charged for
drawing its crop. OpenCV and torch get one thread; times are the processor's, not the clock's, except with
--workers. The other paths leave normalising and targets to the device that trains; what those cost on this
core is measured too, and the ratio given with it and without.
"""

import argparse
from pathlib import Path
from typing import Any

from mspn.commands.cli import to_size

HELP = "the input pipeline: exact and store against the literal per-sample method"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--samples", type=int, default=512, help="samples by each path (default: %(default)s)"
    )
    parser.add_argument("--input", default="256x192", type=to_size, metavar="HxW", help="(256x192)")
    parser.add_argument("--augmentation", default="released", choices=("released", "paper-literal"))
    parser.add_argument("--workers", type=int, default=0, help="also by the clock, with this many threads")
    parser.add_argument(
        "--synthetic", action="store_true", help="made-up pictures even where COCO's are there"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    import json
    import tempfile

    from mspn.training.throughput import measure

    with tempfile.TemporaryDirectory() as folder:
        how = (args.input, args.augmentation, args.samples, args.workers, args.synthetic)
        result = measure(*how, Path(folder))
    print(json.dumps(result, indent=1) if args.json else "\n".join(table(result)))
    return 0


def table(result: dict[str, Any]) -> list[str]:
    lines = [
        f"{result['pictures']}; input {result['input']}, augmentation {result['augmentation']}, "
        f"{result['samples']} samples a path, one core, OpenCV {result['opencv']}",
        f"{'path':<16}{'ms':>7}{'/s':>7}{'ratio':>7}{'with device work':>18}   steps",
    ]
    for row in result["paths"]:
        steps = ", ".join(f"{name} {ms:.2f} ({ms / row['ms']:.0%})" for name, ms in row["steps"].items())
        lines.append(
            f"{row['path']:<16}{row['ms']:>7.2f}{1e3 / row['ms']:>7.0f}{row['ratio']:>7.1f}"
            f"{row['ratio_with_device_work']:>18.1f}   {steps}"
        )
    device = result["device_work_ms"]
    lines.append(
        "device work, on this core: " + ", ".join(f"{name} {ms:.2f} ms" for name, ms in device.items())
    )
    lines += [
        f"{row['path']}, {row['workers']} threads, by the clock: {row['per_second']:.0f} samples/s"
        for row in result["with_workers"]
    ]
    difference = ", ".join(f"{form} {value:.3f}" for form, value in result["mean_difference"].items())
    return [*lines, f"mean difference to the exact path, of 255 levels: {difference}"]
