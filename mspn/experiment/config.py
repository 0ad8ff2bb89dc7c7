"""A scale's configuration: data, detectors, sizes, recipes and seeds, checked before any work starts."""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from mspn.errors import UserError

CONFIG = Path("workflow/config")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SynthData(_Strict):
    """A synthetic data set, made on the spot."""

    kind: Literal["synth"]
    layout: Literal["coco", "mpii"]
    difficulty: Literal["calm", "plain", "bench", "hard"] = "plain"
    seed: int = Field(ge=0)
    train_images: int = Field(ge=0)
    val_images: int = Field(ge=0)


class CocoData(_Strict):
    """Data in COCO's layout: ``annotations/person_keypoints_{split}.json`` and a folder per split."""

    kind: Literal["coco"]
    root: Path
    train: str = "train2017"
    val: str | None = None


class MpiiData(_Strict):
    """MPII: ``images/`` and ``annotations/`` with the JSON conversion, or the official ``.mat``."""

    kind: Literal["mpii"]
    root: Path
    train: str = "train"
    val: str = "valid"


Data = Annotated[SynthData | CocoData | MpiiData, Field(discriminator="kind")]


class TrueBoxes(_Strict):
    """The annotated boxes as detections with score 1."""

    kind: Literal["truth"]


class SimulatedDetector(_Strict):
    """True boxes made worse until pycocotools measures this box AP (percent)."""

    kind: Literal["simulated"]
    box_ap: float = Field(gt=0, lt=100)
    seed: int = 0


class DetectionFile(_Strict):
    """Detections in COCO's result format; ``box_ap`` is what the file is expected to measure (percent)."""

    kind: Literal["file"]
    path: Path
    box_ap: float | None = None


Detector = Annotated[TrueBoxes | SimulatedDetector | DetectionFile, Field(discriminator="kind")]


class Recipe(_Strict):
    """How a network is trained. ``batch`` is the global batch, whatever the number of devices."""

    batch: int = Field(gt=0)
    iterations: int = Field(gt=0)
    lr: float = Field(gt=0)
    warmup_iterations: int = Field(default=0, ge=0)
    warmup_factor: float = Field(default=0.1, gt=0, le=1)
    weight_decay: float = Field(default=1e-5, ge=0)
    augmentation: Literal["paper", "released", "mpii", "none"] = "paper"
    precision: Literal["fp32", "bf16"] = "fp32"
    ema: float | None = Field(default=None, gt=0, lt=1)


class Candidate(_Strict):
    """What a search tries in place of the recipe's: a learning rate, a schedule's length, a precision."""

    lr: float | None = Field(default=None, gt=0)
    iterations: int | None = Field(default=None, gt=0)
    precision: Literal["fp32", "bf16"] | None = None


class Scale(_Strict):
    """Everything that a scale decides; see ``workflow/config/scales``."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    description: str
    datasets: dict[Literal["coco", "external", "mpii"], Data]
    detectors: dict[str, Detector]
    evaluate_on: list[str] | None = None
    stand_in: dict[str, str] = {}  # a detector of the grid -> the one whose boxes are taken in its place
    width: float = Field(gt=0, le=1)
    inputs: dict[str, tuple[int, int]]
    pretrained: Path | None = None
    recipes: dict[Literal["coco", "mpii"], Recipe]
    lr: dict[Literal["mspn", "hourglass", "simple_baseline", "hrnet"], float] = {}  # a family's, if tuned
    search: list[Candidate] = []  # every run is trained with each of these: see `mspn.experiment.tuning`
    crops: Literal["store", "exact"] = "store"
    seeds: list[int] = Field(min_length=1)
    runs: list[str] | None = None
    bootstrap: int = Field(ge=1)

    @field_validator("inputs", mode="before")
    @classmethod
    def _parse_sizes(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: parse_size(size) if isinstance(size, str) else size for key, size in value.items()}

    @model_validator(mode="after")
    def _known_detectors(self) -> "Scale":
        for key, names in (("evaluate_on", self.evaluate_on or ()), ("stand_in", self.stand_in.values())):
            unknown = set(names) - set(self.detectors)
            if unknown:
                raise ValueError(f"{key}: unknown {sorted(unknown)}; detectors are {sorted(self.detectors)}")
        return self


def parse_size(text: str) -> tuple[int, int]:
    """``256x192`` to (256, 192): height, width, both multiples of 4."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match or any(int(n) % 4 or not int(n) for n in match.groups()):
        raise ValueError(f"{text!r} is not a size HEIGHTxWIDTH in multiples of 4, such as 256x192")
    return int(match[1]), int(match[2])


def _expand(value: Any) -> Any:
    """Replace ``${NAME:-default}`` in every string by the environment variable or the default."""
    if isinstance(value, dict):
        return {key: _expand(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item) for item in value]
    if isinstance(value, str):
        return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda m: os.environ.get(m[1]) or m[2], value)
    return value


def _merge(base: dict[str, Any], delta: dict[str, Any]) -> dict[str, Any]:
    """``delta`` over ``base``, mappings merged; one whose ``kind`` changes replaces the base's."""
    merged = dict(base)
    for key, value in delta.items():
        old = merged.get(key)
        if (
            isinstance(old, dict)
            and isinstance(value, dict)
            and value.get("kind", old.get("kind")) == old.get("kind")
        ):
            merged[key] = _merge(old, value)
        else:
            merged[key] = value
    return merged


def _load_yaml(path: Path) -> dict[str, Any]:
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        there = ", ".join(sorted(p.stem for p in (CONFIG / "scales").glob("*.yaml")))
        raise UserError(
            f"{path}: no such scale; there are: {there}; or give a path to a .yaml file"
        ) from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: a scale is a mapping of keys to values")
    extends = value.pop("extends", None)
    return _merge(_load_yaml(_scale_path(str(extends))), value) if extends else value


def _scale_path(name: str) -> Path:
    return Path(name) if name.endswith((".yaml", ".yml")) else CONFIG / "scales" / f"{name}.yaml"


def load_scale(name: str) -> Scale:
    """A scale by name, or by the path of a YAML file; ``extends:`` names one that it is a change to.

    Raises UserError that lists every wrong key and value with its place.
    """
    path = _scale_path(name)
    try:
        return Scale.model_validate(_expand(_load_yaml(path)))
    except ValidationError as error:
        lines = [f"  {_place(e['loc'])}: {_advice(e)}" for e in error.errors()]
        raise UserError(f"{path}: {len(lines)} wrong\n" + "\n".join(lines)) from None


def _place(loc: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in loc) or "(whole file)"


def _advice(error: Any) -> str:
    if error["type"] != "extra_forbidden":
        return f"{error['msg']} (found {error['input']!r})"
    tables: dict[str, type[BaseModel]] = {
        "synth": SynthData,
        "coco": CocoData,
        "mpii": MpiiData,
        "truth": TrueBoxes,
        "simulated": SimulatedDetector,
        "file": DetectionFile,
    }
    loc = error["loc"]  # such as (datasets, coco, synth, imagess): a union's loc ends in the kind and the key
    lists: dict[Any, type[BaseModel]] = {"recipes": Recipe, "search": Candidate}
    model = lists[loc[0]] if loc[0] in lists else Scale if len(loc) == 1 else tables[str(loc[-2])]
    return f"unknown key; allowed: {', '.join(model.model_fields)}"
