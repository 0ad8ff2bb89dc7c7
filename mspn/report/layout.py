"""What ``tables.yaml`` says: the paper's tables, and those of one's own, each entry checked."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from mspn.errors import UserError, shown
from mspn.experiment.config import CONFIG
from mspn.report.own_tables import check_own
from mspn.report.settings import checked, read_settings

TABLES = CONFIG / "tables.yaml"
Text = str | int | float | bool  # as YAML reads what is not quoted


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Long(_Strict):
    """A long table: the paper's row of each method, by columns."""

    title: str
    note: str = ""
    columns: list[str] = Field(min_length=1)
    size: bool = False
    backbones: dict[str, str] = {}


class _Grid(_Strict):
    """A small table, as the paper has it: heads, and rows as long."""

    title: str
    note: str = ""
    groups: list[tuple[str, Annotated[int, Field(ge=0, le=100)]]] = []
    head: list[Text]
    body: list[list[Text]] = Field(min_length=1)


class _Layout(_Strict):
    protocol: str
    metrics: dict[str, str]
    detectors: list[str]
    hidden: dict[str, str]
    tables: dict[Any, dict[str, Any]]


def load_layout(path: Path = TABLES) -> dict[str, Any]:
    """``tables.yaml``; UserError where it is missing or malformed."""
    layout = read_settings(path)
    checked(_Layout, layout, path)
    for name, spec in layout["tables"].items():
        place = f"{path}: table {shown(str(name))}"
        if "runs" in spec:
            check_own(name, spec, str(path))
        elif "columns" in spec:
            checked(_Long, spec, place)
        else:
            checked(_Grid, spec, place)
            if set(map(len, spec["body"])) != {len(spec["head"])}:
                raise UserError(f"{place}: body: a row is not as long as head")
            if "groups" in spec and sum(size for _, size in spec["groups"]) != len(spec["head"]):
                raise UserError(f"{place}: groups: their sizes are not as many as head has")
    return dict(layout)
