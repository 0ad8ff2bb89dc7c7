"""Measure throughput on this machine; every ratio comes from one run."""

import argparse

from mspn import benchmarks
from mspn.cli import add_verbs

HELP = "measure throughput on this machine"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One sub-command per subject of ``mspn.benchmarks``."""
    add_verbs(parser, benchmarks, "subject")
