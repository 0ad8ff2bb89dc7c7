"""Gather what a scale's search measured: its candidates in a table, the best learning rate of each family.

The trainings and evaluations are jobs of the graph: `snakemake --cores all --config scale=bench-lite-search`
runs them and this. The rates go by hand into the `lr:` of the scale that is to use them.
"""

import argparse
from pathlib import Path

HELP = "the table of a scale's search for recipes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which scale, and where to."""
    parser.add_argument("--scale", required=True, help="a scale with a search, by name or file")
    parser.add_argument("--out", type=Path, help="write the table there, as CSV")


def run(args: argparse.Namespace) -> int:
    """Print the table and the best rates; write the table."""
    from mspn.experiment.experiment import load_experiment
    from mspn.experiment.tuning import best_rates, search_table
    from mspn.files import write_text

    table = search_table(load_experiment(args.scale))
    if args.out:
        write_text(args.out, table.round(4).to_csv(index=False))
    print(table.round(2).to_string(index=False))
    print("best:", ", ".join(f"{name} {rate:g}" for name, rate in best_rates(table).items()))
    return 0
