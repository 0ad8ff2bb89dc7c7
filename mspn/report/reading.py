"""The files of a scale's results, each checked as it is read: no damaged one gives a number."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from safetensors import SafetensorError, safe_open

from mspn.data.detectors import BOXES_HASH
from mspn.data.skeletons import skeleton
from mspn.errors import UserError
from mspn.evaluation.rescoring import check_evaluation
from mspn.experiment.experiment import Experiment
from mspn.experiment.grid import Run
from mspn.experiment.identity import content_hash
from mspn.experiment.log import TRAIN_AGAIN, read_log
from mspn.files import check_hash, read_sealed, sha256

AGAIN = "make it again"
NAMED = 5  # damaged files that a message names; the rest are counted
T = TypeVar("T")


class Damage:
    """What was found damaged: the files to make again, and what is wrong with each."""

    def __init__(self) -> None:
        self.found: dict[Path, str] = {}

    def reading(self, path: Path, read: Callable[..., T], *arguments: Any) -> T | None:
        """What ``read`` gives of ``path``; None, and a note of it, where it raises UserError."""
        try:
            return read(path, *arguments)
        except UserError as error:
            self.found[path] = str(error)
            return None

    def refuse(self, scale: str) -> None:
        """UserError that names what is damaged and the one command that makes all of it again."""
        if not self.found:
            return
        said = list(self.found.values())
        more = f"; and {len(said) - NAMED} more" if len(said) > NAMED else ""
        raise UserError(
            f"{len(said)} of the results cannot be believed: {'; '.join(said[:NAMED])}{more}. "
            f"This makes them again: {self.command(scale)}"
        )

    def command(self, scale: str) -> str:
        """The command that makes the damaged files again."""
        return f"snakemake --cores all --config scale={scale} -R {' '.join(map(str, sorted(self.found)))}"


def read_metrics(path: Path, joint_set: str | None) -> tuple[dict[str, Any], pd.DataFrame, bool]:
    """The address and the figures of an evaluation, and whether hashes tie it to its files.

    Its figures are computed again from its matches, where they are there and its joints are known. UserError
    where the file holds something else, or the files do not belong together.
    """
    content = read_sealed(path, "metrics file", AGAIN)
    try:
        rows = pd.DataFrame(content["rows"])[["protocol", "metric", "value", "low", "high"]]
        for column in ("value", "low", "high"):
            rows[column] = pd.to_numeric(rows[column])
        address = dict(content["address"])
        bound = check_evaluation(path.parent, content, skeleton(joint_set)) if joint_set else False
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: not a metrics file ({error}); evaluate the run again") from None
    filled = rows.assign(low=rows.low.fillna(rows.value), high=rows.high.fillna(rows.value))
    return address, filled, bound


def read_table(path: Path) -> dict[str, dict[str, Any]]:
    """The records of a CSV by its column ``run``, absent values None; empty where the file is absent."""
    if not path.is_file():
        return {}
    check_hash(path, AGAIN)
    try:
        table = pd.read_csv(path).astype(object)
        return {str(record["run"]): record for record in table.where(table.notna(), None).to_dict("records")}  # type: ignore[misc]
    except (KeyError, ValueError) as error:
        raise UserError(f"{path}: not a table with a column 'run': {error}; {AGAIN}") from None


def read_ceilings(path: Path) -> dict[tuple[str, str, str, str], float]:
    """(data set, input, protocol, metric) -> what perfect heat maps score; empty where the file is absent."""
    if not path.is_file():
        return {}
    try:
        rows = read_sealed(path, "ceiling", AGAIN)["ceilings"]
        keys = ("dataset", "input", "protocol", "metric")
        return {tuple(str(row[key]) for key in keys): float(row["value"]) for row in rows}  # type: ignore[misc]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not what `mspn ceiling` writes ({error!r}); {AGAIN}") from None


def read_box_metrics(boxes: Path) -> dict[str, Any]:
    """What a file of boxes measures; UserError where it is not the file that was measured."""
    path = boxes.with_suffix(".metrics.json")
    content = read_sealed(path, "box metrics file", AGAIN)
    numbers = ("expected_box_ap", "box_ap", "detections")
    if not isinstance(content, dict) or not all(_is_number(content.get(key)) for key in numbers):
        raise UserError(f"{path}: not what `mspn detect` writes; {AGAIN}")
    if BOXES_HASH in content and boxes.is_file() and sha256(boxes) != content[BOXES_HASH]:
        raise UserError(f"{boxes}: not the boxes that {path} speaks of; {AGAIN}")
    return dict(content)


def read_record(path: Path) -> dict[str, Any]:
    """A training's record of its configuration or environment; empty where the file is absent."""
    record = read_sealed(path, "training's record", TRAIN_AGAIN) if path.is_file() else {}
    try:
        sound = all(isinstance(attempt, dict) for attempt in record.get("attempts", []))
        numbers = [record.get(key) for key in ("wall_s", "device_s", "data_wait_s", "peak_memory_bytes")]
        if recipe := record.get("recipe"):
            numbers += [recipe["batch"], recipe["iterations"]]
    except (AttributeError, LookupError, TypeError):
        sound, numbers = False, []
    if not sound or not all(_is_number(value) for value in numbers):
        raise UserError(f"{path}: not a training's record; {TRAIN_AGAIN}")
    return record


def _is_number(value: Any) -> bool:
    """Whether a value that was read is a finite number, or none is told."""
    return value is None or (type(value) in (int, float) and abs(value) < 1e18)


def check_log(path: Path, record: dict[str, Any]) -> None:
    """UserError where a training's log is there and not the one that its record speaks of."""
    if path.is_file():
        read_log(path, record, TRAIN_AGAIN)


def stale(
    experiment: Experiment, run: Run, seed: int, detector: str, address: dict[str, Any], damage: Damage
) -> str:
    """Why an evaluation is of other weights, data or boxes than the present ones; empty where it is not.

    ``damage`` notes weights that cannot be read.
    """
    there = address.get("training_id")
    members = [experiment.grid[name] for name in run.members] or [run]
    if there != "+".join(experiment.training_id(member, seed) for member in members):
        return f"measured on {there}, made by another configuration or other code than the present one"
    measured = str(address.get("tensor_hash")).split("+")
    for member, there in zip(members, measured, strict=False):
        path = experiment.weights_file(member, seed)
        if damage.reading(path, _hash_of_weights) not in (None, there):
            return f"measured on other weights than those of {path}, which were trained again since"
    return _other_data(experiment, run, detector, address)


def _other_data(experiment: Experiment, run: Run, detector: str, address: dict[str, Any]) -> str:
    """What an evaluation did not see of the present data and boxes; what it does not tell is believed."""
    dataset, data = run.datasets[0], address.get("data") or {}
    identity = json.loads(json.dumps(experiment.data_identity(dataset, "val")))
    if any(data.get(key, value) != value for key, value in identity.items()):
        return f"measured on other data than the present {dataset}"
    present = experiment.annotation_hashes(dataset, "val")
    if None not in present and data.get("content", present) != present:
        return f"measured on other annotations than those that {dataset} has now"
    boxes = experiment.boxes_file(dataset, detector)
    measured, found = (address.get("boxes") or {}).get("sha256"), content_hash(boxes)
    if measured is not None and found is not None and measured != found:
        return f"measured on other boxes than those in {boxes}"
    return ""


def _hash_of_weights(path: Path) -> str | None:
    """The hash of its tensors that a weight file tells; None where there is none, as in a bundle."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads(file.metadata()["mspn"])
        return str(header["tensor_hash"])
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path}: not a weight file of this program ({error}); train again") from None
