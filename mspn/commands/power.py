"""What the rules for claims can find: simulated experiments, with the paper's APs as truth and with none.

    mspn power --seeds 5 --image-deviation 0.15 --seed-deviation 0.15

Prints each statement's chance to come out supported or contradicted if the paper's APs were the truth, and
each claim's chance of a false verdict if all APs were equal, in Markdown. The rules are those of
workflow/config/claims.yaml; the table stands in docs/verdicts.md. `mspn plan` says which effects a scale's
seeds and images can find.
"""

import argparse
from typing import Any

HELP = "the chance that each statement of the claims is decided, by simulation"
IMAGES = "standard deviation of an AP over samples of images, what runs do not share"
SEEDS = "standard deviation of a training's AP over seeds"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--seeds", type=int, default=5, metavar="N", help="seeds of each run, 2 or more (default: 5)")
    add("--image-deviation", type=float, default=0.15, metavar="AP", help=f"{IMAGES} (default: 0.15)")
    add("--seed-deviation", type=float, default=0.15, metavar="AP", help=f"{SEEDS} (default: 0.15)")
    add("--experiments", type=int, default=2000, metavar="N", help="simulated experiments (default: 2000)")
    add("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    import json

    from mspn.errors import UserError
    from mspn.report.power import Noise, power_table

    if args.seeds < 2 or args.experiments < 1:
        raise UserError(
            "--seeds must be 2 or more, --experiments 1 or more: one seed shows no noise of training"
        )
    if args.image_deviation < 0 or args.seed_deviation <= 0:
        raise UserError("--image-deviation must not be negative, --seed-deviation must be above 0")
    table = power_table(Noise(args.image_deviation, args.seed_deviation), args.seeds, args.experiments)
    print(json.dumps(table, indent=1) if args.json else describe(table))
    return 0


def describe(table: dict[str, Any]) -> str:
    lines = [
        "| | statement | kind | paper, AP | supported | contradicted |",
        "| --- | --- | --- | --- | --- | --- |",
        *(
            f"| {row['statement']} | {row['words']} | {row['kind']} | {row['paper']:.2f} | "
            f"{row['supported']:.0%} | {row['contradicted']:.0%} |"
            for row in table["statements"]
        ),
        "",
        f"Expected to be supported: {table['expected']:.1f} of {len(table['statements'])}, and the three "
        "statements of FLOPs, which have no noise.",
        "",
        "With all APs equal, the chance of a false verdict: "
        + ", ".join(f"claim {claim} {chance:.1%}" for claim, chance in table["false"].items())
        + f"; in any claim {table['false_any']:.0%}.",
    ]
    return "\n".join(lines)
