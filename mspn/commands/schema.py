"""Print the form of a scale's file as JSON Schema: `mspn schema > scale.schema.json`.

An editor that knows YAML schemas completes keys by it and marks wrong ones; a checkout has it in
workflow/schemas/scale.schema.json. See docs/scales.md.
"""

import argparse

HELP = "the form of a scale's file as JSON Schema, for editors"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None."""


def run(args: argparse.Namespace) -> int:
    """Print it."""
    import json

    from mspn.experiment.schema import scale_schema

    print(json.dumps(scale_schema(), indent=1))
    return 0
