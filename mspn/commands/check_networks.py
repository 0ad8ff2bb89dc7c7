"""Check the networks of one's own that a scale's runs name as ``module:function``: `mspn check-networks`.

Each is built without memory for its weights and run once each way: the keywords it is called with, the
shapes it returns, the number of its stages, that a gradient reaches every parameter. The workflow does the
same before any job starts.
"""

import argparse

HELP = "check that networks of your own keep what the benchmark asks of a network"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scale", default="demo", help="a scale's name, or a YAML file (default: demo)")


def run(args: argparse.Namespace) -> int:
    from mspn.experiment.load import load_experiment
    from mspn.networks.contract import own_networks

    found = own_networks(load_experiment(args.scale))
    for kept in found:
        shape = "x".join(map(str, kept.output))
        print(
            f"{kept.network}: {kept.stages} stages, {kept.parameters:,} parameters, all stages give {shape}"
        )
    if not found:
        print(f"scale {args.scale}: its runs name no network module:function")
    return 0
