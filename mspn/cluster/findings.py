"""What a check of ``mspn doctor`` finds: facts, and what is wrong with its remedy."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """Something wrong and what to do; a warning alone does not fail the doctor.

    ``damaged`` are files that the graph makes again once they are out of its way.
    """

    problem: str
    remedy: str
    level: Literal["error", "warning"] = "error"
    damaged: tuple[Path, ...] = ()


@dataclass
class Check:
    """A check's outcome: what was seen, and what is wrong."""

    name: str
    facts: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def wrong(self, problem: str, remedy: str, *damaged: Path) -> None:
        """Record an error, and the damaged files that the graph makes."""
        self.findings.append(Finding(problem, remedy, damaged=damaged))

    def warn(self, problem: str, remedy: str) -> None:
        """Record a warning."""
        self.findings.append(Finding(problem, remedy, "warning"))

    @property
    def failed(self) -> bool:
        """Whether an error was found."""
        return any(finding.level == "error" for finding in self.findings)
