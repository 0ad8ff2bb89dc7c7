"""An experiment: a scale with the grid's runs, the identity of each result, and the place of every file.

Read by the workflow and by every verb; imports no torch. All paths are relative to the working directory,
which is the repository's root; results and reports lie below MSPN_ROOT where the environment has it.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from mspn.errors import UserError, did_you_mean, shown
from mspn.experiment.config import (
    CocoData,
    DetectionFile,
    Recipe,
    Scale,
    Store,
    SynthData,
    joint_set_of,
)
from mspn.experiment.grid import SUPERVISIONS, Run
from mspn.experiment.identity import REVISIONS, content_hash, digest
from mspn.experiment.joint_sets import load_joint_set
from mspn.experiment.networks import family, network_spec, revisions_of, slug

# Where Snakemake copies a job's files from a storage and to it, the workflow's rules name that folder.
ROOT = Path(os.environ.get("MSPN_ROOT", ""))


@dataclass(frozen=True)
class Experiment:
    """A scale with its runs, checked against each other, and the place of every file."""

    scale: Scale
    grid: dict[str, Run]

    @property
    def results(self) -> Path:
        """``results/{scale}``."""
        return ROOT / "results" / self.scale.name

    @property
    def reports(self) -> Path:
        """``reports/{scale}``."""
        return ROOT / "reports" / self.scale.name

    @property
    def trained(self) -> list[Run]:
        """The runs that are trained; the rest are ensembles."""
        return [run for run in self.grid.values() if run.network]

    def run(self, name: str) -> Run:
        """A run by name; UserError lists those there are."""
        if name not in self.grid:
            hint = did_you_mean(name, self.grid)
            raise UserError(
                f"unknown run {shown(name)!r} at scale {self.scale.name}; {hint}there are: "
                f"{', '.join(self.grid)}"
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
        """The recipe that the run is trained by: its data's, with what family, network and run change."""
        base, tuned = self.scale.recipes[load_joint_set(run.joint_set).name], self.scale.tuned
        changes: dict[str, Any] = {}
        for key in (family(run.network), run.network):
            changes |= tuned[key].model_dump(exclude_none=True) if key in tuned else {}
        try:
            return Recipe.model_validate({**base.model_dump(), **changes, **dict(run.changes)})
        except ValidationError as error:
            raise UserError(
                f"scale {self.scale.name}: recipe of run {run.run!r}: {error.errors()[0]['msg']}"
            ) from None

    def data_identity(self, dataset: str, split: Literal["train", "val"]) -> dict[str, Any]:
        """What decides the content of a data set's split: its annotations, or what makes synthetic ones."""
        data = self.scale.datasets[dataset]
        if isinstance(data, SynthData):
            numbers = data.model_dump(mode="json", exclude={"train_images", "val_images"})
            images = data.train_images if split == "train" else data.val_images
            return {**numbers, "images": images, "revision": REVISIONS["synth"]}
        return {"kind": data.kind, "annotations": self.annotation_hashes(dataset, split)}

    def annotation_hashes(self, dataset: str, split: Literal["train", "val"]) -> list[str | None]:
        """The hashes of a split's annotation files, None where there is none."""
        return [content_hash(path) for path in self.annotation_files(dataset, split)]

    def store_identity(self, dataset: str, size: tuple[int, int]) -> dict[str, Any]:
        """What decides the content of a crop store."""
        assert isinstance(self.scale.crops, Store)
        return {
            "data": self.data_identity(dataset, "train"),
            "input": list(size),
            **self.scale.crops.model_dump(),
            "augmentation": self.augmentation(dataset),
            "revision": REVISIONS["data"],
        }

    def augmentation(self, dataset: str) -> str:
        """The augmentation of the recipe that trains on a data set: its crop store serves just that."""
        joints = load_joint_set(joint_set_of(self.scale.datasets[dataset]))
        return self.scale.recipes[joints.name].augmentation

    def boxes_identity(self, dataset: str, detector: str) -> dict[str, Any]:
        """What decides a detector's boxes on the data set's validation split."""
        chosen = self.scale.detectors[detector]
        own = (
            {"kind": "file", "sha256": content_hash(chosen.path)}
            if isinstance(chosen, DetectionFile)
            else chosen.model_dump(mode="json")
        )
        return {"data": self.data_identity(dataset, "val"), "boxes": own, "revision": REVISIONS["boxes"]}

    def identity(self, run: Run, seed: int) -> dict[str, Any]:
        """Everything that decides the trained weights: network, data, recipe, seed, and declared revisions.

        Of the recipe what differs from the defaults: an option that is added later renames nothing, and a
        default that changes raises the training's revision.
        """
        constructor, keywords = network_spec(run.network)
        scales, earlier, last = SUPERVISIONS[run.supervision]
        pretrained = self.pretrained_file(run)
        return {
            "network": {"constructor": constructor, "keywords": keywords, "width": self.scale.width},
            "input": list(self.input_size(run)),
            "joints": load_joint_set(run.joint_set).identity,
            "supervision": {"scales": scales, "kernels_earlier": earlier, "kernels_last": last},
            "recipe": self.recipe(run).model_dump(mode="json", exclude_defaults=True),
            "data": [self.data_identity(name, "train") for name in run.datasets],
            "crops": self.scale.crops if self.scale.crops == "exact" else self.scale.crops.model_dump(),
            "pretrained": None if pretrained is None else content_hash(pretrained),
            "seed": seed,
            "revisions": {
                **{part: REVISIONS[part] for part in ("data", "training")},
                **revisions_of(run.network),
            },
        }

    def pretrained_file(self, run: Run) -> Path | None:
        """The ImageNet weights that the run starts from; None for scratch.

        The Xceptions, Hourglass and HRNet (whose weights have a layout of their own) start from scratch, and
        so does Res-254, never from a part of Res-152, unless somebody puts a ``resnet254.pth`` there.
        UserError where weights that are published are absent, or two files would fit.
        """
        backbone = str(network_spec(run.network)[1].get("down", ""))
        if self.scale.pretrained is None or not backbone.startswith("resnet"):
            return None
        folder = self.scale.pretrained
        found = sorted({*folder.glob(f"{backbone}.pth"), *folder.glob(f"{backbone}-*.pth")})
        if len(found) > 1:
            raise UserError(
                f"{folder}: several weights for {backbone}: {', '.join(f.name for f in found)}; keep one"
            )
        return found[0] if found else None

    def training_id(self, run: Run, seed: int) -> str:
        """``{network}-s{seed}-{hash}``: runs that share an identity share one training and its folder."""
        return f"{slug(run.network)}-s{seed}-{digest(self.identity(run, seed))}"

    def trunk_identity(self, run: Run, seed: int) -> dict[str, Any]:
        """What decides a training up to its cool-down: all but its length, so that budgets share it."""
        identity = self.identity(run, seed)
        recipe = {k: v for k, v in identity["recipe"].items() if k not in ("iterations", "cooldown")}
        return {**identity, "recipe": recipe}

    def trunk_id(self, run: Run, seed: int) -> str:
        """``{network}-s{seed}-{hash}`` of the trunk that the training branches off from."""
        return f"{slug(run.network)}-s{seed}-{digest(self.trunk_identity(run, seed))}"

    def trunk_folder(self, run: Run, seed: int, step: int) -> Path:
        """Where the state of a trunk after ``step`` steps lies."""
        return self.results / "trunks" / self.trunk_id(run, seed) / str(step)

    def trunks(self) -> dict[str, tuple[Run, int, list[int]]]:
        """Every trunk by its id: the longest run that branches off, the seed, all steps at which one does.

        The longest, as a trunk must not reach the cool-down of the run that it is trained by.
        """
        found: dict[str, tuple[Run, int, list[int]]] = {}
        for run, seed in self.trainings().values():
            if self.recipe(run).cooldown is not None:
                longest, _, steps = found.get(self.trunk_id(run, seed), (run, seed, []))
                steps = sorted({*steps, self.recipe(run).cooldown_start})
                longest = max(longest, run, key=lambda run: self.recipe(run).iterations)
                found[self.trunk_id(run, seed)] = (longest, seed, steps)
        return found

    def evaluation_identity(self, run: Run, seed: int, detector: str) -> dict[str, Any]:
        """What decides an evaluation's figures."""
        members = [self.run(name) for name in run.members] or [run]
        trainings = [self.training_id(member, seed) for member in members]
        return {"trainings": trainings, **self.measuring_identity(run.datasets[0], detector)}

    def measuring_identity(self, dataset: str, detector: str) -> dict[str, Any]:
        """What decides an evaluation's figures besides the weights."""
        joints = load_joint_set(joint_set_of(self.scale.datasets[dataset]))
        given = joints.name == "mpii"  # its persons are given, not detected
        boxes = None if given else digest(self.boxes_identity(dataset, detector))
        precision = self.scale.evaluation_precision
        return {
            "data": self.data_identity(dataset, "val"),
            "boxes": boxes,
            "bootstrap": self.scale.bootstrap,
            "revision": REVISIONS["evaluation"],
            **({} if precision == "fp32" else {"precision": precision}),
            **(
                {}
                if joints.shipped
                else {"joints": joints.model_dump(mode="json", include={"sigmas", "pck"})}
            ),
        }

    def training_folder(self, run: Run, seed: int) -> Path:
        """Where the training's results lie: weights, log, config, environment."""
        return self.results / "trainings" / self.training_id(run, seed)

    def weights_file(self, run: Run, seed: int) -> Path:
        """Where the trained weights lie."""
        return self.training_folder(run, seed) / "weights.safetensors"

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

    def network_revisions(self) -> dict[str, int]:
        """The revisions of the families that the runs' networks belong to, and of one's own networks."""
        found = {part: n for network in self.networks() for part, n in revisions_of(network).items()}
        return dict(sorted(found.items()))

    def annotation_files(self, dataset: str, split: Literal["train", "val"]) -> list[Path]:
        """The annotation files that a split is read from."""
        data = self.scale.datasets[dataset]
        if isinstance(data, SynthData):
            names = {"coco": f"person_keypoints_{split}", "mpii": {"train": "train", "val": "valid"}[split]}
            return [self.data_folder(dataset) / "annotations" / f"{names[data.layout]}.json"]
        name = data.train if split == "train" else data.val
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

    def imported_folder(self, name: str, detector: str) -> Path:
        """Where the predictions and metrics of weights from elsewhere on one detector's boxes lie."""
        return self.results / "imported" / name / detector

    def data_folder(self, dataset: str) -> Path:
        """Where a data set lies: its root, or for a synthetic one the place it is made at."""
        data = self.scale.datasets[dataset]
        return self.results / "data" / dataset if isinstance(data, SynthData) else data.root

    def boxes_file(self, dataset: str, detector: str) -> Path:
        """The detections of a detector on the data set's validation split, in COCO's result format."""
        return self.results / "boxes" / dataset / f"{detector}.json"

    def crop_store(self, dataset: str, size: tuple[int, int]) -> Path:
        """The folder of the crop store for the training split of a data set at an input size (H, W)."""
        return self.results / "crops" / f"{dataset}-{size[0]}x{size[1]}"
