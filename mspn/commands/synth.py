"""Make a synthetic data set of persons, or describe one that is there.

  mspn synth --scale demo --dataset coco            the data set that a scale asks for, where it expects it
  mspn synth --out DIR --train-images 600 --seed 1  one of your own
  mspn synth --statistics DIR                       describe a folder in COCO's layout beside COCO itself

Prints the data set's statistics, which a set that was made also keeps in its dataset.json. The same seed
gives the same bytes, whatever the number of workers; an interrupted call goes on where it stopped.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from mspn.errors import UserError
from mspn.files import write_json

HELP = "make a synthetic data set of persons, or describe one"

# What --out takes, with its default.
_OWN: dict[str, Any] = {
    "layout": "coco",
    "difficulty": "plain",
    "seed": 0,
    "train_images": 200,
    "val_images": 50,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--scale", help="make the data set that this scale asks for (see --dataset)")
    what.add_argument("--out", type=Path, metavar="DIR", help="make a data set of your own in this folder")
    what.add_argument("--statistics", type=Path, metavar="DIR", help="only describe this data set")
    parser.add_argument("--dataset", help="which of the scale's data sets; default: coco")
    own = parser.add_argument_group("with --out")
    own.add_argument("--layout", choices=("coco", "mpii"), help="default: coco")
    own.add_argument("--difficulty", choices=("calm", "plain", "bench", "hard"), help="default: plain")
    own.add_argument("--seed", type=int, help="default: 0")
    own.add_argument("--train-images", type=int, metavar="N", help="default: 200")
    own.add_argument("--val-images", type=int, metavar="N", help="default: 50")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes; default: 1")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="draw pictures with joints to this file")
    parser.add_argument("--json", action="store_true", help="print the statistics as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args: argparse.Namespace) -> int:
    from mspn.data.synth.statistics import describe, statistics_of

    root = args.statistics or _make(args)
    statistics = statistics_of(root)
    if not args.statistics:  # last: the workflow takes this file as the sign of a whole data set
        write_json(root / "dataset.json", statistics)
    print(json.dumps(statistics, indent=1) if args.json else describe(statistics))
    if args.sheet:
        from mspn.data.synth.contact_sheet import write_sheet

        write_sheet(root, args.sheet)
    return 0


def _make(args: argparse.Namespace) -> Path:
    from mspn.data.synth import make_dataset

    given = {key: getattr(args, key) for key in _OWN if getattr(args, key) is not None}
    if args.scale and given:
        flags = ", ".join("--" + key.replace("_", "-") for key in given)
        raise UserError(f"{flags}: the scale decides that; to choose it, use --out in place of --scale")
    if args.out and args.dataset:
        raise UserError("--dataset: belongs to --scale, not to --out")
    root, settings = (args.out, _OWN | given) if args.out else _from_scale(args.scale, args.dataset or "coco")
    make_dataset(root, **settings, workers=args.workers, progress=not args.quiet)
    return Path(root)


def _from_scale(scale: str, dataset: str) -> tuple[Path, dict[str, Any]]:
    from mspn.experiment.config import SynthData
    from mspn.experiment.load import load_experiment

    experiment = load_experiment(scale)
    data = {str(name): value for name, value in experiment.scale.datasets.items()}.get(dataset)
    if not isinstance(data, SynthData):
        found = "has none" if data is None else f"takes it from {data.root}"
        raise UserError(
            f"scale {scale}: datasets.{dataset}: not synthetic, nothing to make: the scale {found}"
        )
    return experiment.data_folder(dataset), data.model_dump(exclude={"kind"})
