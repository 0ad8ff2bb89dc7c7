"""Make a scale's report, compare two, pack the evidence, check a pack.

mspn report make --scale demo             tables, figures, claims and the page, in reports/demo
mspn report diff A B [--tolerance FILE]    compare two reports cell by cell; "paper" is the printed figures
mspn report bundle --scale demo            one archive with results, configs, logs, environment and page
mspn report verify ARCHIVE                 check an archive, or a folder unpacked from one
mspn report restore ARCHIVE                put its results back, so that the graph goes on from them
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

HELP = "tables, figures, claims and one page; compare, pack and verify reports"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(required=True, dest="verb", metavar="VERB", title="verbs")
    make = verbs.add_parser("make", help="write reports/SCALE from the results there are")
    make.add_argument("--scale", default="demo", help="name or path of a scale (default: demo)")
    make.add_argument("--out", type=Path, help="folder to write (default: reports/SCALE)")
    make.add_argument("--picture", metavar="RUN", help="the run that Figure 5 shows (default: the best)")
    words = "leave photographs out of Figures 4 and 5, as a bundle needs it"
    make.add_argument("--no-photographs", dest="photographs", action="store_false", help=words)
    diff = verbs.add_parser("diff", help="compare two reports cell by cell; exit code 1 beyond the tolerance")
    diff.add_argument("a", help="a report's folder, or the word paper")
    diff.add_argument("b", help="a report's folder, or the word paper")
    diff.add_argument("--tolerance", type=Path, help="YAML file of tolerances (default: none at all)")
    diff.add_argument("--across-scales", action="store_true", help="also where the reports' scales differ")
    diff.add_argument("--json", action="store_true", help="print the comparison as JSON")
    bundle = verbs.add_parser("bundle", help="pack the evidence of a scale into one archive")
    bundle.add_argument("--scale", default="demo", help="name or path of a scale (default: demo)")
    bundle.add_argument("--out", type=Path, help="archive or folder (default: reports/SCALE/evidence.zip)")
    small = "what a repository can keep: no predictions, matches and rows of one protocol, a tenth of logs"
    bundle.add_argument("--small", action="store_true", help=small)
    weights = "with these runs' weights, of one seed each"
    bundle.add_argument("--weights", nargs="+", default=[], metavar="RUN", help=weights)
    words = "check an archive, and its figures against its matches; exit code 1 on any difference"
    verify = verbs.add_parser("verify", help=words)
    verify.add_argument("archive", type=Path, help="the .zip, or a folder unpacked from it")
    verify.add_argument("--json", action="store_true", help="print what was found as JSON")
    words = "put an archive's results back under results/, where the graph goes on from them"
    restore = verbs.add_parser("restore", help=words)
    restore.add_argument("archive", type=Path, help="the .zip, or a folder unpacked from it")


def run(args: argparse.Namespace) -> int:
    verbs = {"make": _make, "diff": _diff, "bundle": _bundle, "verify": _verify, "restore": _restore}
    return verbs[args.verb](args)


def _make(args: argparse.Namespace) -> int:
    from mspn.experiment.load import load_experiment
    from mspn.report.page import make_report

    experiment = load_experiment(args.scale)
    report = make_report(experiment, args.out or experiment.reports, args.picture, args.photographs)
    counts = ", ".join(f"{count} {verdict}" for verdict, count in report.verdicts.items() if count)
    print(f"{report.page}: {report.cells} cells; statements: {counts}")
    return 0


def _diff(args: argparse.Namespace) -> int:
    from mspn.report.diff import compare, load_tolerances, print_comparison

    comparison = compare(args.a, args.b, load_tolerances(args.tolerance), args.across_scales)
    if args.json:
        print(json.dumps(comparison.as_json(), indent=1))
    else:
        print_comparison(comparison, sys.stdout, shutil.get_terminal_size().columns)
    return 1 if comparison.failed else 0


def _bundle(args: argparse.Namespace) -> int:
    from mspn.experiment.load import load_experiment
    from mspn.report.bundle import write_bundle

    experiment = load_experiment(args.scale)
    path = args.out or experiment.reports / "evidence.zip"
    files, digest = write_bundle(experiment, path, args.small, args.weights)
    print(f"{path}: {files} files, sha256 {digest}")
    return 0


def _verify(args: argparse.Namespace) -> int:
    from mspn.report.verify import rescore, verify

    findings = {**verify(args.archive), **rescore(args.archive)}
    kinds = ("changed", "missing", "extra", "damaged", "wrong")
    bad = sum(len(findings[kind]) for kind in kinds)
    if args.json:
        print(json.dumps(findings, indent=1))
    else:
        for kind in kinds:
            for name in findings[kind]:
                print(f"{kind}: {name}")
        verdict = f"{bad} not as packed" if bad else "all as packed"
        print(
            f"{args.archive}: {findings['files']} files, {verdict}; the figures of "
            f"{findings['rescored']} of {findings['evaluations']} evaluations computed again from matches"
        )
    return 1 if bad else 0


def _restore(args: argparse.Namespace) -> int:
    from mspn.report.verify import restore

    print(f"{args.archive}: {restore(args.archive)} files written under results/")
    return 0
