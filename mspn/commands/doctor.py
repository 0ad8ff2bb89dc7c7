"""Check everything that a scale needs before a GPU hour is spent: `mspn doctor --scale paper --profile DIR`.

Configuration, versions, data sets and their counts, ground truth, detections and their measured box AP,
pretrained weights, disk, memory, GPUs, what the profile says of trainings and whether their largest
micro-batch fits a GPU, the graph of jobs, whether results belong to their files, and what an earlier
workflow left behind. Data, boxes and weights that have not changed since the last time are not read again.
With --deep all is, and all that steps have written is read whole: pictures, crop stores, weights,
checkpoints, boxes, and predictions, which are scored again. The exit code is 1 when something is wrong.

With --repair what is damaged and made by the workflow is moved to results/SCALE/damaged. Synthetic data sets
and crop stores are made again at once, the rest by the next Snakemake, with what depends on it. Nothing is
deleted; annotations, pictures and weights from elsewhere are left alone and named, and the exit code is 1.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mspn.cluster.findings import Check

HELP = "check all that a scale needs, with a remedy for each thing that is wrong"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scale", default="demo", help="a scale's name, or a YAML file (default: demo)")
    parser.add_argument("--profile", type=Path, metavar="DIR", help="the Snakemake profile that will be used")
    parser.add_argument("--deep", action="store_true", help="also read pictures, crops, weights and results")
    repair = "move damaged files that the workflow makes out of the way, and make them again"
    parser.add_argument("--repair", action="store_true", help=repair)
    parser.add_argument("--json", action="store_true", help="print JSON")
    failures = "only say what logs, or folders of them, tell of failures"
    parser.add_argument("--failures", nargs="+", metavar="LOGS", help=failures)
    parser.add_argument("--since", type=float, default=0.0, metavar="T", help="of these, since Unix time T")


def run(args: argparse.Namespace) -> int:
    """Check and print; 1 when an error was found."""
    from mspn.cluster.doctor import as_json, examine
    from mspn.cluster.failures import explain_files
    from mspn.cluster.repair import put_aside
    from mspn.experiment.load import load_experiment

    if args.failures:
        print(*explain_files(*args.failures, since=args.since), sep="\n")
        return 0
    checks = examine(args.scale, args.profile, deep=args.deep)
    if args.json:
        print(as_json(checks))
    else:
        _print(checks)
    errors = [finding for check in checks for finding in check.findings if finding.level == "error"]
    if args.repair and any(finding.damaged for finding in errors):
        moved, verbs = put_aside(load_experiment(args.scale), args.scale, checks)
        print("moved out of the way:", *moved, sep="\n       ", file=sys.stderr)
        left: list[object] = [finding for finding in errors if not finding.damaged]
        for verb in verbs:
            print("mspn", *verb, file=sys.stderr)
            done = subprocess.run([sys.executable, "-m", "mspn", *verb], stdout=subprocess.DEVNULL)
            left += [verb] if done.returncode else []
        again = f"snakemake --cores all --config scale={args.scale}"
        print(f"what else was moved is made again by: {again}", file=sys.stderr)
        return int(bool(left))
    if not args.json:
        print(f"{len(errors) or 'nothing'} wrong")
        if any(finding.damaged for finding in errors):
            same = f"mspn doctor --scale {args.scale}" + (" --deep" if args.deep else "")
            print(f"what the workflow makes is made again by: {same} --repair, then snakemake")
    return int(bool(errors))


def _print(checks: "list[Check]") -> None:
    for check in checks:
        print(f"{'WRONG' if check.failed else 'ok':6} {check.name}: {'; '.join(check.facts)}")
        for finding in check.findings:
            print(f"       {finding.level}: {finding.problem}\n       -> {finding.remedy}")
