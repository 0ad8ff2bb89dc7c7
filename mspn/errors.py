"""The one exception that users are meant to see, and how it quotes what others wrote."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Bad input: says what is wrong, where (file, entry, key) and what to do.

    The command line prints the message without a traceback and exits with code 2.
    """


def shown(text: str, limit: int = 100) -> str:
    """Text of unknown origin as a part of a message: in one line, what is not printable escaped, and cut."""
    cut = text if len(text) <= limit else f"{text[:limit]}..."
    return cut if cut.isprintable() else repr(cut)[1:-1]


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """``did you mean NAME? `` for the name that is nearest, empty where none is near."""
    near = difflib.get_close_matches(name, list(names), 1)
    return f"did you mean {near[0]}? " if near else ""
