"""An experiment: a scale with the grid's runs, each run's identity, and the place of every file.

Read by the workflow and by every verb; imports no torch. All paths are relative to the working directory,
which is the repository's root.
"""

import hashlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from mspn.errors import UserError
from mspn.experiment.config import Candidate, CocoData, DetectionFile, Recipe, Scale, SynthData, load_scale
from mspn.experiment.fingerprint import fingerprint
from mspn.experiment.grid import DATA, GRID, SUPERVISIONS, Run, load_grid
from mspn.experiment.networks import family, network_spec


@dataclass(frozen=True)
class Experiment:
    """A scale with its runs, checked against each other, and the place of every file."""

    scale: Scale
    grid: dict[str, Run]

    @property
    def results(self) -> Path:
        """``results/{scale}``."""
        return Path("results") / self.scale.name

    @property
    def reports(self) -> Path:
        """``reports/{scale}``."""
        return Path("reports") / self.scale.name

    @property
    def trained(self) -> list[Run]:
        """The runs that are trained; the rest are ensembles."""
        return [run for run in self.grid.values() if run.network]

    def run(self, name: str) -> Run:
        """A run by name; UserError lists those there are."""
        if name not in self.grid:
            raise UserError(
                f"unknown run {name!r} at scale {self.scale.name}; there are: {', '.join(self.grid)}"
            )
        return self.grid[name]

    def input_size(self, run: Run) -> tuple[int, int]:
        """(height, width) of the network's input at this scale, in pixels."""
        return self.scale.inputs[run.input]

    def detectors(self, run: Run) -> tuple[str, ...]:
        """The detectors that the run is evaluated on at this scale; MPII has its true boxes only."""
        if run.joint_set == "mpii":
            return ("gt",)
        return tuple(self.scale.evaluate_on or dict.fromkeys(map(self.boxes_for, run.detectors)))

    def boxes_for(self, detector: str) -> str:
        """The detector whose boxes are taken at this scale where the grid and the paper name ``detector``."""
        return self.scale.stand_in.get(detector, detector)

    def recipe(self, run: Run) -> Recipe:
        """The recipe that the run is trained by: its data's, with what its family or a search changes."""
        recipe, lr = self.scale.recipes[run.joint_set], self.scale.lr.get(family(run.network))  # type: ignore[call-overload]
        tuned = {} if lr is None else {"lr": lr}
        return recipe.model_copy(update=tuned | dict(run.changes))

    def data_identity(self, dataset: Literal["coco", "external", "mpii"]) -> dict[str, Any]:
        """What decides the data set's content; for synthetic data the code that makes it as well."""
        data = self.scale.datasets[dataset]
        identity = data.model_dump(mode="json", exclude={"root"})
        if isinstance(data, SynthData):
            identity["code"] = fingerprint("mspn.data.synth")
        return identity

    def identity(self, run: Run, seed: int) -> dict[str, Any]:
        """Everything that decides the trained weights: network, data, recipe, seed, and the code of each."""
        constructor, keywords = network_spec(run.network)
        scales, earlier, last = SUPERVISIONS[run.supervision]
        pretraining = () if self.scale.pretrained is None else ("mspn.networks.imagenet",)
        return {
            "network": {"constructor": constructor, "keywords": keywords, "width": self.scale.width},
            "input": list(self.input_size(run)),
            "joints": run.joint_set,
            "supervision": {"scales": scales, "kernels_earlier": earlier, "kernels_last": last},
            "recipe": self.recipe(run).model_dump(mode="json"),
            "data": [self.data_identity(name) for name in DATA[run.data]],  # type: ignore[arg-type]
            "crops": self.scale.crops,
            "pretrained": self._pretrained_files(),
            "seed": seed,
            "code": fingerprint(constructor.split(":")[0], *TRAINING_CODE, *pretraining),
        }

    def _pretrained_files(self) -> list[str] | None:
        """The names of the ImageNet weights at hand, which hold a part of their hashes; None for scratch."""
        folder = self.scale.pretrained
        return None if folder is None else sorted(path.name for path in folder.glob("*.pth"))

    def training_id(self, run: Run, seed: int) -> str:
        """``{network}-s{seed}-{hash}``: runs that share an identity share one training and its folder."""
        text = json.dumps(self.identity(run, seed), sort_keys=True)
        return f"{run.network}-s{seed}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"

    def training_folder(self, run: Run, seed: int) -> Path:
        """Where the training's results lie: weights, log, config, environment."""
        return self.results / "trainings" / self.training_id(run, seed)

    def checkpoint_folder(self, run: Run, seed: int) -> Path:
        """Where a training's checkpoints lie: apart from its results, which Snakemake deletes on failure."""
        return self.results / "checkpoints" / self.training_id(run, seed)

    def trainings(self) -> dict[str, tuple[Run, int]]:
        """Every training once, by its id: the first run that asks for it, and the seed."""
        found: dict[str, tuple[Run, int]] = {}
        for run in self.trained:
            for seed in self.scale.seeds:
                found.setdefault(self.training_id(run, seed), (run, seed))
        return found

    def training(self, training_id: str) -> tuple[Run, int]:
        """The run and seed of a training; UserError if the configuration has none of that id (any more)."""
        found = self.trainings()
        if training_id not in found:
            raise UserError(
                f"no training {training_id!r} at scale {self.scale.name}: the configuration or the code that "
                f"decides it has changed; there are: {', '.join(found)}"
            )
        return found[training_id]

    def evaluations(self) -> list[tuple[Run, int, str]]:
        """Every evaluation of the grid: run, seed, detector."""
        return [
            (run, seed, detector)
            for run in self.grid.values()
            for seed in self.scale.seeds
            for detector in self.detectors(run)
        ]

    def networks(self) -> list[str]:
        """The networks that the runs use, each once."""
        return list(dict.fromkeys(run.network for run in self.trained))

    def network_modules(self) -> list[str]:
        """The modules that hold those networks' constructors, sorted."""
        return sorted({network_spec(name)[0].split(":")[0] for name in self.networks()})

    def annotation_files(self, dataset: str, split: Literal["train", "val"]) -> list[Path]:
        """The annotation files that a split of a real data set is read from."""
        data = self.scale.datasets[dataset]  # type: ignore[index]
        name = data.train if split == "train" else data.val  # type: ignore[union-attr]
        if isinstance(data, CocoData):
            folder = data.root / "annotations"
            files = []
            for part in re.split(r"[+-]", name or ""):  # COCO 2014: train2014+val2014-minival2014
                ids, whole = folder / f"{part.strip()}.txt", folder / f"person_keypoints_{part.strip()}.json"
                files.append(ids if ids.exists() and not whole.exists() else whole)
            return files
        return [self.data_folder(dataset) / "annotations" / f"{name}.json"]

    def detection_files(self, detector: str) -> list[Path]:
        """The file that a detector reads, if it reads one."""
        chosen = self.scale.detectors[detector]
        return [chosen.path] if isinstance(chosen, DetectionFile) else []

    def evaluation_folder(self, run: Run, seed: int, detector: str) -> Path:
        """Where a run's predictions and metrics on one detector's boxes lie."""
        return self.results / "runs" / run.run / f"seed-{seed}" / detector

    def data_folder(self, dataset: str) -> Path:
        """Where a data set lies: its root, or for a synthetic one the place it is made at."""
        data = self.scale.datasets[dataset]  # type: ignore[index]
        return self.results / "data" / dataset if isinstance(data, SynthData) else data.root

    def boxes_file(self, dataset: str, detector: str) -> Path:
        """The detections of a detector on the data set's validation split, in COCO's result format."""
        return self.results / "boxes" / dataset / f"{detector}.json"

    def crop_store(self, dataset: str, size: tuple[int, int]) -> Path:
        """The folder of the crop store for the training split of a data set at an input size (H, W)."""
        return self.results / "crops" / f"{dataset}-{size[0]}x{size[1]}"


# What a training's result depends on besides its network; the loop that only logs and saves is not in it.
TRAINING_CODE = (
    "mspn.training.losses",
    "mspn.training.targets",
    "mspn.training.optimisation",
    "mspn.data.augment",
    "mspn.data.batches",
    "mspn.data.store",
)


def load_experiment(scale: str, grid: Path = GRID) -> Experiment:
    """Read and check a scale and the grid together; UserError says what is wrong, before any work starts."""
    config = load_scale(scale)
    runs = load_grid(grid)
    if config.runs is not None:
        unknown = [name for name in config.runs if name not in runs]
        if unknown:
            raise UserError(f"scale {config.name}: runs: unknown {unknown}; the grid has: {', '.join(runs)}")
        runs = {name: run for name, run in runs.items() if name in config.runs}
    if config.search:
        runs = {run.run: run for original in runs.values() for run in candidates(original, config.search)}
    experiment = Experiment(config, runs)
    for run in runs.values():
        _check_run(experiment, run)
    return experiment


def candidates(run: Run, search: list[Candidate]) -> list[Run]:
    """A run once for each candidate, named after it: ``mspn-2-lr-0.02``. Ensembles have none."""
    found = []
    for candidate in search if run.network else ():
        changes = candidate.model_dump(exclude_none=True)
        name = "-".join([run.run, *(f"{key}-{value}" for key, value in changes.items())])
        found.append(replace(run, run=name, changes=tuple(changes.items())))
    return found


def _check_run(experiment: Experiment, run: Run) -> None:
    scale = experiment.scale
    for table, keys in (
        ("inputs", [run.input]),
        ("datasets", DATA[run.data]),
        ("recipes", [run.joint_set]),
        ("detectors", experiment.detectors(run)),
    ):
        there = getattr(scale, table)
        missing = [key for key in keys if key not in there]
        if missing:
            raise UserError(
                f"scale {scale.name}: run {run.run!r} needs {table} {', '.join(missing)}; "
                f"there are: {', '.join(there)}"
            )
    for member in run.members:
        if member not in experiment.grid:
            raise UserError(f"scale {scale.name}: run {run.run!r} needs its member {member!r} among the runs")
