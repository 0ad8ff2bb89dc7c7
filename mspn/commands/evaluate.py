"""Evaluate a run's trained weights on a detector's boxes, under every protocol.

Writes predictions.json, matches.npz and, last, metrics.json into
results/SCALE/runs/RUN/seed-SEED/DETECTOR. The network runs once; every named protocol is scored from the same
heat maps, each figure with its bootstrap interval.

With --weights in place of --run: a weight file from elsewhere, made by `mspn import-checkpoint`, into
results/SCALE/imported/NAME/DETECTOR, NAME being the file's. The report shows it among all evaluations, marked
as imported weights, and in no claim and no table of the paper.
"""

import argparse
from pathlib import Path
from typing import Any

HELP = "score a trained run, or imported weights, under every protocol"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scale", default="demo", help="scale by name or file (demo)")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--run", dest="run_name", metavar="RUN", help="a run of the grid")
    what.add_argument("--weights", type=Path, metavar="FILE", help="imported weights, in place of a run")
    parser.add_argument("--seed", type=int, help="the run's training's seed (0)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="for --weights: another folder of results")
    parser.add_argument("--detector", default="gt", help="whose boxes (gt: the annotated ones)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(auto)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads of torch (torch's own choice)")
    parser.add_argument("--workers", type=int, default=0, help="threads that read pictures ahead (0)")
    parser.add_argument("--batch", type=int, default=32, help="crops per pass (32)")
    parser.add_argument("--json", action="store_true", help="print the folder and the paper protocol's rows")


def run(args: argparse.Namespace) -> int:
    import json

    import torch

    from mspn.errors import UserError
    from mspn.evaluation.evaluate import evaluate
    from mspn.evaluation.imported import evaluate_weights
    from mspn.experiment.load import load_experiment
    from mspn.files import read_json
    from mspn.training.hardware import pick_device

    alone = ("--out", args.out, "--run") if args.run_name else ("--seed", args.seed, "--weights")
    if alone[1] is not None:
        raise UserError(f"{alone[0]} says nothing about {alone[2]}; leave one of them out")
    if args.threads:
        torch.set_num_threads(args.threads)
    experiment, device = load_experiment(args.scale), pick_device(args.device)
    how = {"batch": args.batch, "workers": args.workers}
    if args.weights:
        folder = evaluate_weights(experiment, args.weights, args.detector, device, out=args.out, **how)
    else:
        chosen = experiment.run(args.run_name)
        folder = evaluate(experiment, chosen, args.seed or 0, args.detector, device, **how)
    metrics = read_json(folder / "metrics.json")
    if args.json:
        told = {"imported": metrics["address"]["imported"]} if args.weights else {}
        print(json.dumps({"folder": str(folder), **told, "rows": _main(metrics["rows"])}))
        return 0
    if args.weights:
        weights = metrics["address"]["imported"]
        print(f"imported weights: {weights['file']}, sha256 {weights['sha256']}, {weights['source']}")
    _print_table(str(folder), metrics["rows"])
    for name, counts in metrics["address"]["pck"].items():
        if counts["without_length"]:
            print(f"{name}: {counts['without_length']} of {counts['persons']} persons lack the length")
    return 0


def _main(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    from mspn.evaluation.evaluate import MAIN

    return [row for row in rows if row["protocol"] == MAIN]


def _print_table(folder: str, rows: list[dict[str, Any]]) -> None:
    """The main protocol's figures, then the first figure (AP) or mean of the others."""
    main = _main(rows)
    head = "AP" if any(row["metric"] == "AP" for row in main) else "Mean"
    print(f"{folder}: protocol {main[0]['protocol']}, percent, 95 % image bootstrap")
    for row in main:
        print(f"  {row['metric']:24s} {_figure(row)}")
    print(f"{head} under other protocols")
    for row in rows:
        if row["metric"] == head and row not in main:
            print(f"  {row['protocol']:24s} {_figure(row)}")


def _figure(row: dict[str, Any]) -> str:
    """``  71.4  [  70.6,   72.1]``."""
    value, low, high = (
        " " * 5 + "-" if row[key] is None else f"{row[key]:6.1f}" for key in ("value", "low", "high")
    )
    return f"{value}  [{low}, {high}]"
