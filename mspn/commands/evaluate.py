"""Evaluate a run's trained weights on a detector's boxes, under every protocol.

Writes predictions.json, matches.npz, analysis.json, sheet.jpg and, last, metrics.json into
results/SCALE/runs/RUN/seed-SEED/DETECTOR. The network runs once; every named protocol is scored from the same
heat maps, each figure with its bootstrap interval.
"""

import argparse

HELP = "score a trained run under every protocol"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which run, and on what machine."""
    parser.add_argument("--scale", default="demo", help="scale by name or file (demo)")
    parser.add_argument("--run", required=True, dest="run_name", metavar="RUN", help="a run of the grid")
    parser.add_argument("--seed", type=int, default=0, help="the training's seed (0)")
    parser.add_argument("--detector", default="gt", help="whose boxes (gt: the annotated ones)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(auto)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads of torch (torch's own choice)")
    parser.add_argument("--workers", type=int, default=0, help="threads that read pictures ahead (0)")
    parser.add_argument("--batch", type=int, default=32, help="crops per pass (32)")
    parser.add_argument("--json", action="store_true", help="print the folder and the paper protocol's rows")


def run(args: argparse.Namespace) -> int:
    """Evaluate and print the figures of the paper's protocol."""
    import json

    import torch

    from mspn.evaluation.evaluate import MAIN, evaluate
    from mspn.experiment.load import load_experiment
    from mspn.files import read_json
    from mspn.training.hardware import pick_device

    if args.threads:
        torch.set_num_threads(args.threads)
    experiment = load_experiment(args.scale)
    folder = evaluate(
        experiment,
        experiment.run(args.run_name),
        args.seed,
        args.detector,
        pick_device(args.device),
        batch=args.batch,
        workers=args.workers,
    )
    metrics = read_json(folder / "metrics.json")
    rows = [row for row in metrics["rows"] if row["protocol"] == MAIN]
    if args.json:
        print(json.dumps({"folder": str(folder), "rows": rows}))
        return 0
    print(f"{folder}: protocol {MAIN}, percent, 95 % image bootstrap")
    for row in rows:
        figure = [
            " " * 5 + "-" if row[key] is None else f"{row[key]:6.1f}" for key in ("value", "low", "high")
        ]
        print(f"  {row['metric']:10s} {figure[0]}  [{figure[1]}, {figure[2]}]")
    for name, counts in metrics["address"]["pck"].items():
        if counts["without_length"]:
            print(f"{name}: {counts['without_length']} of {counts['persons']} persons lack the length")
    return 0
