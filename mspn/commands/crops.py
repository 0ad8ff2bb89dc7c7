"""Make a crop store: each training person's surroundings, cut once, so that training decodes no pictures.

An interrupted making goes on where it stopped when called again. The store's size is estimated and the disk
checked before it starts. Afterwards the mean difference to crops straight from the pictures is measured.
"""

import argparse
import os

from mspn.commands.cli import to_size

HELP = "make the crop store that training reads"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scale", default="demo", help="the scale (default: %(default)s)")
    parser.add_argument("--dataset", required=True, help="a data set of the scale")
    shape = parser.add_mutually_exclusive_group(required=True)
    shape.add_argument(
        "--run", dest="run_name", metavar="RUN", help="a run of the grid, for its input size at this scale"
    )
    shape.add_argument("--input", type=to_size, metavar="HxW", help="the input size, such as 256x192")
    parser.add_argument("--workers", type=int, default=min(4, os.cpu_count() or 1), help="threads")
    parser.add_argument("--estimate", action="store_true", help="say how large the store would be, and stop")
    parser.add_argument(
        "--verify", action="store_true", help="hash every file of a store that is there, and stop"
    )


def run(args: argparse.Namespace) -> int:
    from mspn.data.crops import estimate, layout, make_store
    from mspn.data.load import load_split
    from mspn.data.store import mean_difference, open_store, verify_store
    from mspn.errors import UserError
    from mspn.experiment.load import load_experiment
    from mspn.files import write_json

    experiment = load_experiment(args.scale)
    size = args.input or experiment.input_size(experiment.run(args.run_name))
    settings = experiment.scale.crops
    if args.dataset not in experiment.scale.datasets:
        there = ", ".join(experiment.scale.datasets)
        raise UserError(f"scale {args.scale}: no data set {args.dataset}; there are: {there}")
    if settings == "exact":
        raise UserError(f"scale {args.scale}: crops: exact: it trains from the pictures, without a store")
    folder = experiment.crop_store(args.dataset, size)
    if args.verify:
        manifest, damaged = verify_store(folder)
        if damaged:
            named = ", ".join(map(str, damaged))
            raise UserError(f"{named}: damaged or missing; run mspn crops, which makes it anew")
        print(f"{folder}: whole, {manifest['persons']} persons, {manifest['bytes'] / 1e6:.1f} MB")
        return 0
    data = experiment.scale.datasets[args.dataset]
    persons = load_split(data, experiment.data_folder(args.dataset), "train")
    augmentation = experiment.augmentation(args.dataset)
    expected = estimate(layout(persons, size, augmentation, settings.oversampling), settings.form)
    print(f"{folder}: {len(persons)} persons, about {expected / 1e6:.1f} MB as {settings.form}")
    if args.estimate:
        return 0
    manifest = make_store(folder, persons, size, augmentation, settings, args.workers)
    store = open_store(folder, persons, size, augmentation, settings)
    difference = mean_difference(store, persons, size, augmentation)
    write_json(folder / "difference.json", {"mean_grey_levels_of_255": difference})
    print(f"{folder}: {manifest['bytes'] / 1e6:.1f} MB; mean difference to the exact path, of 255 levels: "
          f"{difference:.3f}")  # fmt: skip
    return 0
