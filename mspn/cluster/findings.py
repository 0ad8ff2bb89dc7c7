"""What a check of ``mspn doctor`` finds: facts, and what is wrong with its remedy."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """Something wrong and what to do; a warning alone does not fail the doctor."""

    problem: str
    remedy: str
    level: Literal["error", "warning"] = "error"


@dataclass
class Check:
    """A check's outcome: what was seen, and what is wrong."""

    name: str
    facts: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def wrong(self, problem: str, remedy: str) -> None:
        """Record an error."""
        self.findings.append(Finding(problem, remedy))

    def warn(self, problem: str, remedy: str) -> None:
        """Record a warning."""
        self.findings.append(Finding(problem, remedy, "warning"))

    @property
    def failed(self) -> bool:
        """Whether an error was found."""
        return any(finding.level == "error" for finding in self.findings)
