"""Count what every run costs, at the paper's input size and full width, beside the printed figures.

Columns: parameters (millions); GMACs as fvcore counts them, batch norm and resizing included (10^9);
GFLOPs in the paper's convention (multiply-adds of convolutions on the inference path / 2^30); the printed
figure, the difference and a verdict; the training graph's GFLOPs (one forward pass with all heads) and
the flip test's, both in the same convention. Exit code 1 if a row differs from its printed figure for no
known reason.

With --scale the networks are counted that the scale trains, at its width and input; the paper prints nothing
of them, so that there is nothing to compare: trained.csv in place of the three files. With --full-size as
well, it only tells the joints of data sets that the grid alone does not know.
"""

import argparse
from collections.abc import Collection
from pathlib import Path
from typing import Any

HELP = "parameters and FLOPs of every run, beside the paper's figures"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="*", metavar="RUN", help="runs of the grid (default: all)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write flops.csv, flops.json, ledger.csv")
    parser.add_argument("--scale", help="count what this scale trains (name or path)")
    parser.add_argument("--full-size", action="store_true", help="with --scale: the full size all the same")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print rows and ledger as JSON")
    form.add_argument("--ledger", action="store_true", help="print the operators counted and skipped as CSV")


def run(args: argparse.Namespace) -> int:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # shapes are what counts; more threads wait for each other beside other jobs
    try:
        return _trained(args) if args.scale and not args.full_size else _full(args)
    finally:
        torch.set_num_threads(threads)


def _trained(args: argparse.Namespace) -> int:
    import json
    from dataclasses import asdict

    from tabulate import tabulate

    from mspn.errors import UserError
    from mspn.experiment.load import load_experiment
    from mspn.networks.flops import trained

    if args.ledger:
        raise UserError("--scale: --ledger is of the full size; add --full-size")
    experiment = load_experiment(args.scale)
    _check_names(args.runs, experiment.grid)
    records = [asdict(row) for row in trained(experiment) if not args.runs or row.run in args.runs]
    if args.out:
        _write_csv(args.out / "trained.csv", records)
    print(json.dumps(records, indent=1) if args.json else tabulate(records, headers="keys", floatfmt=".4g"))
    return 0


def _write_csv(path: Path, records: list[dict[str, Any]]) -> None:
    """A row each, and the file's hash beside it."""
    import pandas as pd

    from mspn.files import write_hash, write_text

    write_text(path, pd.DataFrame(records).to_csv(index=False))
    write_hash(path)


def _check_names(names: list[str], there: Collection[str]) -> None:
    from mspn.errors import UserError

    if unknown := [name for name in names if name not in there]:
        raise UserError(f"unknown run {', '.join(unknown)}; there are: {', '.join(there)}")


def _full(args: argparse.Namespace) -> int:
    import json
    import sys
    from dataclasses import asdict
    from importlib.metadata import version

    import pandas as pd

    from mspn.experiment.grid import load_grid
    from mspn.experiment.load import load_experiment
    from mspn.experiment.paper import printed_gflops
    from mspn.files import write_json, write_text
    from mspn.networks.flops import compare

    own = load_experiment(args.scale).grid if args.scale else {}
    grid = {name: run if run.joint_set else own.get(name, run) for name, run in load_grid().items()}
    for name in [name for name, run in grid.items() if not run.joint_set]:
        print(f"mspn: run {name} left out: the joints of {grid[name].data} stand in a scale", file=sys.stderr)
        del grid[name]
    _check_names(args.runs, grid)
    wanted = set(args.runs or grid)
    wanted |= {member for name in wanted for member in grid[name].members}
    rows, ledger = compare({name: grid[name] for name in grid if name in wanted}, printed_gflops())
    records = [asdict(row) for row in rows]
    document = {
        "convention": "multiply-adds of convolutions on the inference path, one image, / 2^30",
        "versions": {name: version(name) for name in ("torch", "fvcore")},
        "rows": records,
        "ledger": ledger,
    }
    ledger_csv = pd.DataFrame(ledger).astype({"calls": "Int64"}).to_csv(index=False)
    if args.out:
        _write_csv(args.out / "flops.csv", records)
        write_text(args.out / "ledger.csv", ledger_csv)
        write_json(args.out / "flops.json", document)
    if args.json:
        print(json.dumps(document, indent=1))
    elif args.ledger:
        print(ledger_csv, end="")
    else:
        _print_table(records)
    return int(any(row.verdict == "differs" for row in rows))


def _print_table(records: list[dict[str, object]]) -> None:
    from tabulate import tabulate

    columns = {
        "run": "run",
        "input": "input",
        "parameters": "params (M)",
        "gmacs": "GMACs fvcore",
        "gflops_paper_convention": "GFLOPs",
        "gflops_trained": "as trained",
        "printed": "printed",
        "difference": "diff.",
        "verdict": "verdict",
        "training_gflops": "training",
        "flip_gflops": "flip test",
    }
    formats = {"parameters": "{:.2f}", "printed": "{:.1f}", "difference": "{:+.3f}"}
    lines = []
    for record in records:
        millions = {**record, "parameters": float(str(record["parameters"])) / 1e6}
        lines.append([_cell(millions[key], formats.get(key, "{:.3f}")) for key in columns])
    print(tabulate(lines, headers=list(columns.values()), disable_numparse=True))
    print()
    for record in records:
        if record["reason"]:
            print(f"{record['run']}: {record['verdict']}: {record['reason']}")


def _cell(value: object, form: str) -> str:
    if value is None:
        return "-"
    return form.format(value) if isinstance(value, float) else str(value)
