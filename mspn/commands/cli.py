"""The command line: one verb per step of the benchmark.

Each verb is a module of ``mspn.commands`` with three names: ``HELP`` (one line), ``add_arguments(parser)``
and ``run(args) -> int``, which does and prints what the module's docstring says and returns the exit code.
Those modules import torch inside ``run`` only, so that ``--help`` and the rules that need no torch stay fast.
"""

import argparse
import importlib
import os
import pkgutil
import re
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

import mspn
from mspn import commands
from mspn.errors import UserError, did_you_mean
from mspn.experiment.config import parse_size
from mspn.files import explained


class Parser(argparse.ArgumentParser):
    """Refuses what it does not know in one line."""

    def error(self, message: str) -> NoReturn:
        """What is wrong, what may be meant where a word is not one of several, and where to read on."""
        choice = re.search(r"invalid choice: '?([^' ]*)'? \(choose from (.*)\)$", message)
        hint = did_you_mean(choice[1], re.findall(r"[\w.-]+", choice[2])) if choice else ""
        self.exit(2, f"{self.prog}: {message}; {hint}{self.prog} --help says more\n")


def to_size(text: str) -> tuple[int, int]:
    """What an option such as ``--input 256x192`` says: height and width."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def verbs_of(package: ModuleType) -> dict[str, ModuleType]:
    """The modules of a package of verbs, by the verb's name."""
    found = pkgutil.iter_modules(package.__path__)
    names = sorted(module.name for module in found if not module.ispkg and module.name != "cli")
    return {name.replace("_", "-"): importlib.import_module(f"{package.__name__}.{name}") for name in names}


def add_verbs(parser: argparse.ArgumentParser, package: ModuleType, title: str) -> None:
    """Give ``parser`` a sub-command for each verb of ``package``."""
    subparsers = parser.add_subparsers(required=True, metavar=title.upper(), title=f"{title}s")
    for verb, command in verbs_of(package).items():
        sub = subparsers.add_parser(
            verb,
            help=command.HELP,
            description=command.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(sub)
        if hasattr(command, "run"):
            sub.set_defaults(run=command.run)


def build_parser() -> argparse.ArgumentParser:
    """The whole command line, every verb's arguments included."""
    parser = Parser(prog="mspn", description=mspn.__doc__)
    parser.add_argument("--version", action="version", version=f"mspn {mspn.__version__}")
    add_verbs(parser, commands, "verb")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; the exit code is 0 (done), 1 (a check failed), 2 (bad input), 130 (Ctrl-C) or the
    verb's own."""
    args = build_parser().parse_args(argv)
    try:
        return int(args.run(args))
    except UserError as error:
        print(f"mspn: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of a pipe left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("mspn: stopped by Ctrl-C", file=sys.stderr)
        return 130
    except OSError as error:
        line = explained(error)
        if line is None:
            raise
        print(f"mspn: {line}", file=sys.stderr)
        return 2
