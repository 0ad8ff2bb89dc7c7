"""Decide a round of a scale's search, or gather the whole search in a table.

The trainings and evaluations are jobs of the graph: `snakemake --cores all --config scale=bench-search` runs
them and this. What is best goes by hand into the `tuned:` of the scale that is to use it.
"""

import argparse
from pathlib import Path

HELP = "decide a round of a search for recipes, or gather the search in a table"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scale", required=True, help="a scale with a search, by name or file")
    parser.add_argument("--run", dest="row", metavar="RUN", help="decide a round of this row of the grid")
    parser.add_argument("--round", type=int, default=1, metavar="N", help="which round of it (default: 1)")
    parser.add_argument("--out", type=Path, help="write the round's JSON, or the table's CSV, there")


def run(args: argparse.Namespace) -> int:
    import csv
    import io

    from tabulate import tabulate

    from mspn.experiment.load import load_experiment
    from mspn.experiment.tuning import decide_round, search_table
    from mspn.files import write_sealed, write_text

    experiment = load_experiment(args.scale)
    if args.row:
        outcome = decide_round(experiment, args.row, args.round)
        print(tabulate(outcome["candidates"], headers="keys", floatfmt=".4g"))
        print(f"{args.row}, round {args.round}: goes on with {'; '.join(outcome['kept'])}")
        if args.out:
            write_sealed(args.out, outcome)
        return 0
    table = search_table(experiment)
    if args.out:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
        write_text(args.out, text.getvalue())
    print(tabulate(table, headers="keys", floatfmt=".4g"))
    print("best:", "; ".join(f"{r['row']} {r['candidate']}" for r in table if r["best"]))
    return 0
