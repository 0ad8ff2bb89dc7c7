"""Score perfect heat maps on a scale's own validation persons: what no network can exceed there.

The true joints' targets, at each input size that the scale evaluates at, are decoded and scored as a
network's heat maps would be, on the true boxes, with the flip test and without it. AP for COCO's joints, the
mean PCKh@0.5 for MPII's.
"""

import argparse
from pathlib import Path

HELP = "what perfect heat maps would score at a scale's input sizes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scale", default="demo", help="name or path of a scale (default: demo)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the JSON there (default: print only)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    import json

    from mspn.evaluation.ceiling import ceilings
    from mspn.experiment.load import load_experiment
    from mspn.files import write_sealed

    experiment = load_experiment(args.scale)
    found = ceilings(experiment)
    document = {"scale": experiment.scale.name, "ceilings": found}
    if args.out:
        write_sealed(args.out, document)
    if args.json:
        print(json.dumps(document, indent=1))
    else:
        for one in found:
            metric = "PCKh@0.5" if one["metric"] == "Mean" else one["metric"]
            place = f"{one['dataset']} at {one['input']}, {one['protocol']}"
            print(f"{place}: {metric} {one['value']:.1f} ({one['persons']} persons)")
    return 0
