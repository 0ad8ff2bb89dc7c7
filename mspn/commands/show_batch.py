"""Write a sheet of augmented training samples for a person to look at.

Each sample is shown twice: the crop with its joints and limbs (left blue, right orange, middle white; a
hidden joint is a ring), and the crop under its targets, all joints at once: the coarsest kernel of the
run's supervision in red, the finest in green.
"""

import argparse
from pathlib import Path

HELP = "write a sheet of augmented crops with joints and targets"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scale", default="demo", help="the scale (default: %(default)s)")
    parser.add_argument("--run", dest="run_name", metavar="RUN", required=True, help="a run of the grid")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="a .png or .jpg to write")
    parser.add_argument("--samples", type=int, default=24, help="how many (default: %(default)s)")
    parser.add_argument("--start", type=int, default=0, help="skip this many sheets (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--augmentation", metavar="NAME", help="from the pictures, not with the run's")
    parser.add_argument("--exact", action="store_true", help="from the pictures, not the scale's crop store")


def run(args: argparse.Namespace) -> int:
    from mspn.data.augment import AUGMENTATIONS
    from mspn.data.load import join, load_training
    from mspn.errors import UserError
    from mspn.experiment.grid import SUPERVISIONS
    from mspn.experiment.load import load_experiment
    from mspn.files import atomic
    from mspn.training.batch_picture import draw_sheet

    if args.out.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise UserError(f"--out {args.out}: a name that ends in .png or .jpg")
    experiment = load_experiment(args.scale)
    chosen = experiment.run(args.run_name)
    kernels = SUPERVISIONS[chosen.supervision or "ctf"][2]
    size = experiment.input_size(chosen)
    augmentation = args.augmentation or experiment.recipe(chosen).augmentation
    if augmentation not in AUGMENTATIONS:
        raise UserError(f"--augmentation {augmentation}: there are: {', '.join(AUGMENTATIONS)}")
    parts, store = load_training(experiment, chosen, exact=args.exact or args.augmentation is not None)
    persons = join(parts)
    image = draw_sheet(persons, size, augmentation, kernels, args.seed, args.samples, args.start, store)
    with atomic(args.out) as temporary:
        temporary.write_bytes(image(args.out.suffix.lower()))
    print(f"{args.out}: {args.samples} samples of {persons.name}, augmentation {augmentation}")
    return 0
