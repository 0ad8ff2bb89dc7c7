"""Check everything that a scale needs before a GPU hour is spent: `mspn doctor --scale paper --profile DIR`.

Configuration, versions, data sets and their counts, ground truth, detections and their measured box AP,
pretrained weights, disk, memory, GPUs, what the profile says of trainings and whether their largest
micro-batch fits a GPU, the graph of jobs, whether results belong to their files, and what an earlier
workflow left behind. Data, boxes and weights that have not changed since the last time are not read again.
With --deep all is, and all that steps have written is read whole: pictures, crop stores, weights,
checkpoints, boxes, and predictions, which are scored again. The exit code is 1 when something is wrong.
"""

import argparse
from pathlib import Path

HELP = "check all that a scale needs, with a remedy for each thing that is wrong"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scale", default="demo", help="a scale's name, or a YAML file (default: demo)")
    parser.add_argument("--profile", type=Path, metavar="DIR", help="the Snakemake profile that will be used")
    parser.add_argument("--deep", action="store_true", help="also read pictures, crops, weights and results")
    parser.add_argument("--json", action="store_true", help="print JSON")
    failures = "only say what logs, or folders of them, tell of failures"
    parser.add_argument("--failures", nargs="+", metavar="LOGS", help=failures)
    parser.add_argument("--since", type=float, default=0.0, metavar="T", help="of these, since Unix time T")


def run(args: argparse.Namespace) -> int:
    """Check and print; 1 when an error was found."""
    from mspn.cluster.doctor import as_json, examine
    from mspn.cluster.failures import explain_files

    if args.failures:
        print(*explain_files(*args.failures, since=args.since), sep="\n")
        return 0
    checks = examine(args.scale, args.profile, deep=args.deep)
    if args.json:
        print(as_json(checks))
        return int(any(check.failed for check in checks))
    for check in checks:
        print(f"{'WRONG' if check.failed else 'ok':6} {check.name}: {'; '.join(check.facts)}")
        for finding in check.findings:
            print(f"       {finding.level}: {finding.problem}\n       -> {finding.remedy}")
    wrong = sum(finding.level == "error" for check in checks for finding in check.findings)
    print(f"{wrong or 'nothing'} wrong")
    return int(wrong > 0)
