"""Measure throughput on this machine; every ratio comes from one run."""

import argparse

from mspn.commands import benchmarks
from mspn.commands.cli import add_verbs

HELP = "measure throughput on this machine"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_verbs(parser, benchmarks, "subject")
