"""The rules by which claims are judged, read from the one file that fixes them beforehand."""

import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from mspn.experiment.config import CONFIG
from mspn.experiment.experiment import Experiment
from mspn.report.settings import checked, read_settings

RULES = CONFIG / "claims.yaml"

Kind = Literal["gain", "matches", "saturates", "small"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Floor(_Strict):
    """Below which nothing is judged: a share of the scale's ceiling, or an AP where no ceiling is known."""

    share_of_ceiling: float = Field(gt=0, lt=1)
    ap: float = Field(gt=0, lt=100)


class Plan(_Strict):
    """What a scale was planned to run: runs, budgets in samples, and the seeds at which one looks."""

    runs: list[str] = Field(min_length=1)
    samples: list[int] = Field(min_length=1)
    looks: list[int] = Field(min_length=1)

    @field_validator("samples", "looks")
    @classmethod
    def _rising(cls, values: list[int]) -> list[int]:
        if values != sorted(set(values)) or values[0] < 1:
            raise ValueError("must be positive and rising")
        return values

    @field_validator("looks")
    @classmethod
    def _several_seeds(cls, values: list[int]) -> list[int]:
        if values[0] < 2:
            raise ValueError("the first look needs 2 seeds: one leaves the noise of training unknown")
        return values

    def look(self, seeds: int) -> int:
        """The seeds of the last look that ``seeds`` reach; 0 before the first."""
        return max((look for look in self.looks if look <= seeds), default=0)


class Rules(_Strict):
    """The file ``workflow/config/claims.yaml``; its comments say what each entry means."""

    date: datetime.date
    level: float = Field(ge=0.5, lt=1)
    draws: int = Field(ge=100, le=1_000_000)
    margins: dict[Kind, float]
    converged: float = Field(gt=0, lt=1)
    floor: Floor
    plans: dict[str, Plan]

    @field_validator("margins")
    @classmethod
    def _all_kinds(cls, margins: dict[Kind, float]) -> dict[Kind, float]:
        kinds = set(Kind.__args__)  # type: ignore[attr-defined]
        if set(margins) != kinds or not all(0 <= share < 1 for share in margins.values()):
            raise ValueError(f"give a share from 0 to 1 for each of {', '.join(sorted(kinds))}")
        return margins

    def plan(self, experiment: Experiment) -> Plan:
        """The scale's plan; without one its full-budget runs, its recipe and one look at all of its seeds."""
        if experiment.scale.name in self.plans:
            return self.plans[experiment.scale.name]
        recipe = next(iter(experiment.scale.recipes.values()))
        return Plan(
            runs=list(experiment.grid),
            samples=[recipe.iterations * recipe.batch],
            looks=[max(2, len(experiment.scale.seeds))],
        )


def load_rules(path: Path = RULES) -> Rules:
    """Read and check the rules; UserError lists every wrong entry."""
    return checked(Rules, read_settings(path), path)
