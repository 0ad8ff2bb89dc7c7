"""Counts of what a reader left out or repaired, so that nothing happens in silence."""

import logging
from collections import defaultdict

_LOG = logging.getLogger("mspn.data")
_SHOWN = 3


class Notes:
    """What happened to a source's entries, by rule; ``log`` writes one line a rule, with a count."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.entries: dict[str, list[str]] = defaultdict(list)

    def add(self, rule: str, entry: object) -> None:
        """Note that ``rule`` (a phrase such as "left out: box without area") was applied to ``entry``."""
        self.entries[rule].append(str(entry))

    @property
    def counts(self) -> dict[str, int]:
        """How often each rule was applied."""
        return {rule: len(entries) for rule, entries in self.entries.items()}

    def log(self) -> None:
        """A warning a rule, which Python prints to standard error unless logging is set up otherwise."""
        for rule, entries in self.entries.items():
            more = ", ..." if len(entries) > _SHOWN else ""
            _LOG.warning(
                "%s: %d %s (%s%s)", self.source, len(entries), rule, ", ".join(entries[:_SHOWN]), more
            )
