"""What a scale may say: data, detectors, sizes, recipes and seeds, each with its type and bounds."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

CONFIG = Path("workflow/config")
MOST_SEED = 2**31


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _plain_path(path: Path) -> Path:
    """Refuse what Snakemake, a shell or a log would take for something else than a path."""
    text = str(path)
    if not text.isprintable() or set(text) & set("{}") or text.startswith("-") or len(text) > 1000:
        raise ValueError("a path must not begin with '-' nor have braces, line ends or over 1,000 characters")
    return path


PlainPath = Annotated[Path, AfterValidator(_plain_path)]
# Every name becomes a part of a path and a wildcard's value.
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=60)]
DetectorName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$", max_length=60)]


class SynthData(_Strict):
    """A synthetic data set, made on the spot."""

    kind: Literal["synth"]
    layout: Literal["coco", "mpii"]
    difficulty: Literal["calm", "plain", "bench", "hard"] = "plain"
    seed: int = Field(ge=0)
    train_images: int = Field(gt=0, le=5_000_000)
    val_images: int = Field(ge=0, le=5_000_000)


# Pictures and persons of a split, where they are known beforehand; None where they are not.
Counts = dict[Literal["train", "val"], tuple[int | None, int | None]]


class CocoData(_Strict):
    """Data in COCO's layout: ``annotations/person_keypoints_{split}.json`` and a folder per split.

    ``joints``: the name of a joint set, or its file (see ``joint_sets``).
    """

    kind: Literal["coco"]
    root: PlainPath
    train: str = "train2017"
    val: str | None = None
    joints: str = "coco"
    counts: Counts = {}


class MpiiData(_Strict):
    """MPII: ``images/`` and ``annotations/`` with the JSON conversion, or the official ``.mat``."""

    kind: Literal["mpii"]
    root: PlainPath
    train: str = "train"
    val: str = "valid"
    counts: Counts = {}


Data = Annotated[SynthData | CocoData | MpiiData, Field(discriminator="kind")]


def joint_set_of(data: Data) -> str:
    """The joint set of a data set: a name, or the path of a file."""
    return (
        data.joints if isinstance(data, CocoData) else data.layout if isinstance(data, SynthData) else "mpii"
    )


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
    path: PlainPath
    box_ap: float | None = None


Detector = Annotated[TrueBoxes | SimulatedDetector | DetectionFile, Field(discriminator="kind")]


Precision = Literal["fp32", "tf32", "bf16"]
AugmentationName = Literal["released", "paper-literal", "paper-divided", "mild", "slight", "mpii", "none"]


class Recipe(_Strict):
    """How a network is trained. Numbers of samples are the global ones, whatever the number of devices.

    ``norm_batch`` samples are normalised together by batch norm; without it the whole batch. The learning
    rate rises to ``lr`` within ``warmup_iterations``, then falls linearly to 0; with ``cooldown`` it stays
    and falls within that share of the iterations alone. ``precision`` is that of the network's arithmetic:
    losses, weights and optimiser are fp32 always. ``head_scale`` is where the scale of the batch norm starts
    in which MSPN's heads end.
    """

    batch: int = Field(gt=0, le=1_000_000)
    norm_batch: int | None = Field(default=None, gt=1)
    iterations: int = Field(gt=0)
    lr: float = Field(gt=0, allow_inf_nan=False)
    warmup_iterations: int = Field(default=0, ge=0)
    warmup_factor: float = Field(default=0.1, gt=0, le=1)
    cooldown: float | None = Field(default=None, gt=0, lt=1)
    weight_decay: float = Field(default=1e-5, ge=0, allow_inf_nan=False)
    augmentation: AugmentationName = "released"
    precision: Precision = "fp32"
    ema: float | None = Field(default=None, gt=0, lt=1)
    head_scale: float = Field(default=1.0, gt=0, allow_inf_nan=False)

    @property
    def cooldown_start(self) -> int:
        """The step at which the learning rate begins to fall."""
        if self.cooldown is None:
            return self.warmup_iterations
        return self.iterations - max(1, round(self.cooldown * self.iterations))

    @model_validator(mode="after")
    def _parts_fit(self) -> "Recipe":
        if self.warmup_iterations >= self.iterations or self.warmup_iterations > self.cooldown_start:
            raise ValueError(
                f"warmup_iterations {self.warmup_iterations}: the warm-up must end before the learning rate "
                f"falls, at step {self.cooldown_start} of {self.iterations}"
            )
        if self.norm_batch and self.batch % self.norm_batch:
            raise ValueError(f"norm_batch {self.norm_batch} does not divide the batch, {self.batch}")
        return self


class Changes(_Strict):
    """What a network or a family, or a candidate of a search, has in place of the recipe's."""

    lr: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    iterations: int | None = Field(default=None, gt=0)
    precision: Precision | None = None
    ema: float | None = Field(default=None, gt=0, lt=1)
    head_scale: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class Round(_Strict):
    """A round of a search: how long each candidate trains, and how many of a network's go on."""

    iterations: int = Field(gt=0)
    keep: int = Field(gt=0)


class Search(_Strict):
    """Successive halving: every run is trained with each candidate; see ``mspn.experiment.tuning``."""

    candidates: list[Changes] = Field(min_length=2)
    rounds: list[Round] = Field(min_length=1)


class Store(_Strict):
    """A crop store: its form, and stored pixels for each input pixel when the input shows just the box."""

    form: Literal["raw", "jpeg"] = "raw"
    oversampling: float = Field(default=2.0, gt=0, le=8)


class Scale(_Strict):
    """Everything that a scale decides; see ``workflow/config/scales``."""

    name: Name
    description: str
    datasets: dict[Name, Data]
    detectors: dict[DetectorName, Detector]
    evaluate_on: list[str] | None = None
    evaluation_precision: Precision = "fp32"  # of the network's arithmetic
    stand_in: dict[str, str] = {}  # a detector of the grid -> the one whose boxes are taken in its place
    stand_in_data: dict[Name, Name] = {}  # a data set of the grid -> the one that is taken in its place
    width: float = Field(gt=0, le=1)
    inputs: dict[str, tuple[int, int]]
    pretrained: PlainPath | None = None
    recipes: dict[Name, Recipe]  # by joint set
    tuned: dict[str, Changes] = {}  # of a family, or of a network, which comes before its family's
    budgets: list[Annotated[float, Field(gt=0, lt=1)]] = []  # shares of the iterations, runs of their own
    search: Search | None = None
    crops: Store | Literal["exact"] = Store()
    seeds: list[Annotated[int, Field(ge=0, lt=MOST_SEED, strict=True)]] = Field(min_length=1)
    runs: list[str] | None = None  # without: every row of the grid on data sets that the scale has
    bootstrap: int = Field(ge=1, le=1_000_000)

    @field_validator("inputs", mode="before")
    @classmethod
    def _parse_sizes(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        texts = {
            key: f"{size[0]}x{size[1]}" if isinstance(size, list | tuple) and len(size) == 2 else str(size)
            for key, size in value.items()
        }
        return {key: parse_size(text) for key, text in texts.items()}

    @field_validator("crops", mode="before")
    @classmethod
    def _plain_store(cls, value: Any) -> Any:
        return Store() if value == "store" else value

    @field_validator("seeds")
    @classmethod
    def _each_seed_once(cls, value: list[int]) -> list[int]:
        if len(set(value)) < len(value):
            raise ValueError(f"a seed is there twice: {value}")
        return value

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
    if not match or any(len(n) > 4 or int(n) % 4 or not int(n) for n in match.groups()):
        raise ValueError(f"{text!r} is not a size HEIGHTxWIDTH in multiples of 4, such as 256x192")
    return int(match[1]), int(match[2])
