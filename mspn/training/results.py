"""What a finished training, or a trunk up to a step, leaves: its folder of results, and how two compare."""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch import Tensor

from mspn.errors import UserError
from mspn.experiment.experiment import Experiment
from mspn.experiment.grid import Run
from mspn.experiment.joint_sets import load_joint_set
from mspn.experiment.log import HASHES, LOG, log_hashes
from mspn.files import atomic, read_json, write_json, write_sealed
from mspn.networks.build import definition
from mspn.networks.weights import load_weights, save_weights, tensor_hash
from mspn.training.checkpoints import checkpoint_path, checkpoint_steps
from mspn.training.hardware import Processes
from mspn.training.journal import ATTEMPTS, TIMING, read_attempts

STATE = "state.ckpt"  # of a trunk; beside it the training's journal up to there
FINISHED = "finished.json"  # beside a training's checkpoints, of which none is left: the weights that it gave
# Of the last attempt, in the record of a training's environment.
FACTS = ("versions", "machine", "commit", "dirty", "code", "device", "options", "micro_batch", "accumulation",
         "world")  # fmt: skip


def begin_from_trunk(live: Path, trunk: Path, processes: Processes) -> None:
    """Put a trunk's state and journal where a training that has no checkpoint yet will look for its own."""
    if processes.rank == 0 and not checkpoint_steps(live) and (trunk / STATE).exists():
        for name in (LOG, TIMING, ATTEMPTS):
            _copy(trunk / name, live / name)
        _copy(trunk / STATE, checkpoint_path(live, int(trunk.name)))
    if processes.world > 1:
        dist.barrier()


def leave_trunk(live: Path, trunk: Path) -> None:
    """Write the state and journal of a trunk after its steps; the state last."""
    for name in (LOG, TIMING, ATTEMPTS):
        _copy(live / name, trunk / name)
    _copy(checkpoint_path(live, int(trunk.name)), trunk / STATE)
    shutil.rmtree(live)


def _copy(source: Path, target: Path) -> None:
    with atomic(target) as temporary:
        shutil.copyfile(source, temporary)


def write_results(
    experiment: Experiment, run: Run, seed: int, weights: dict[str, Tensor], origin: str, live: Path
) -> None:
    """Fill the training's folder: weights last, so that they stand for a whole result.

    Then the checkpoints go, so that the same command trains again; what it gave before is kept in FINISHED.
    """
    folder = experiment.training_folder(run, seed)
    identity, recipe = experiment.identity(run, seed), experiment.recipe(run)
    address = {"run": run.run, "seed": seed, "training_id": experiment.training_id(run, seed)}
    for name in (LOG, TIMING):
        _copy(live / name, folder / name)
    described = {"identity": identity, "recipe": recipe.model_dump(mode="json"), "grid": asdict(run)}
    write_sealed(
        folder / "config.json", {**address, **described, "scale": experiment.scale.model_dump(mode="json")}
    )
    record = {**environment(read_attempts(live)), HASHES: log_hashes((folder / LOG).read_bytes())}
    write_sealed(folder / "environment.json", {**address, **record})
    constructor, keywords = definition(run, experiment.scale.width)
    joints = load_joint_set(run.joint_set)
    header = {
        "constructor": constructor,
        "keywords": keywords,
        "joint_set": joints.name,
        **({} if joints.shipped else {"joints": joints.model_dump(mode="json")}),
        "input_size": list(experiment.input_size(run)),
        **address,
        "identity": identity,
        "step": recipe.iterations,
        "source": origin + (f"; average of decay {recipe.ema}" if recipe.ema else ""),
    }
    save_weights(folder / "weights.safetensors", weights, header)
    before = read_json(live / FINISHED) if (live / FINISHED).exists() else None
    shutil.rmtree(live)
    found = {"tensor_hash": tensor_hash(weights)}
    write_json(live / FINISHED, found)
    if before is not None:
        print(f"trained again: {'the same weights' if before == found else 'other weights'} as before")


def environment(attempts: list[dict[str, Any]]) -> dict[str, Any]:
    """Where a training was made, and what it took over all its attempts, its trunk's among them."""
    last = attempts[-1]
    return {
        **{key: last[key] for key in FACTS},
        "instructions": last.get("instructions"),
        "peak_memory_bytes": max(attempt["peak_memory_bytes"] for attempt in attempts),
        **{key: round(sum(a[key] for a in attempts), 3) for key in ("wall_s", "device_s", "data_wait_s")},
        "attempts": attempts,
    }


def difference(weights: dict[str, Tensor], file: Path) -> str:
    """A sentence that says whether weights equal those in a file, and if not by how much of their norm."""
    kept, _ = load_weights(file)
    if kept.keys() != weights.keys():
        raise UserError(f"{file}: weights of another network")
    if tensor_hash(kept) == tensor_hash(weights):
        return f"the same weights, bit for bit: tensor hash {tensor_hash(kept)}"
    numbers = {name: (kept[name].double(), weights[name].double()) for name in kept}
    squares = {name: float((a - b).square().sum()) for name, (a, b) in numbers.items()}
    norm = sum(float(a.square().sum()) for a, _ in numbers.values()) ** 0.5
    most = max(squares, key=lambda name: squares[name])
    share = sum(squares.values()) ** 0.5 / norm
    return f"other weights: they differ by {share:.3g} of their norm, most in {most}"
