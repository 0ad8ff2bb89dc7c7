"""What Figure 4 shows: one person's targets and predicted heat maps, stage by stage. The one part that runs a network.

``mspn report stages`` writes it to ``results/{scale}/stages.npz``; the report itself reads that file and imports
no torch. The person is the first of the validation split whose joints are all labelled and visible, or else the one
with the most; not chosen for its result.
"""

from pathlib import Path
from typing import Any

import numpy as np

from mspn.errors import UserError
from mspn.experiment import Experiment
from mspn.files import atomic
from mspn.grid import SUPERVISIONS, Run

KEYS = ("image", "targets", "maps", "truth", "predicted", "run", "seed", "tensor_hash")


def stage_run(experiment: Experiment) -> Run:
    """The run that Figure 4 draws: MSPN with the most stages that the scale trains on COCO at the usual input."""
    for name in ("mspn-4", "mspn-3", "mspn-2", "mspn-1"):
        if name in experiment.grid:
            return experiment.grid[name]
    raise UserError(f"scale {experiment.scale.name} trains no MSPN at 256x192: Figure 4 has nothing to show")


def most_visible(joints: np.ndarray) -> int:
    """The first person with the most visible joints; ``joints`` is (N, K, 3) with v last."""
    return int((joints[..., 2] == 2).sum(axis=1).argmax())


def make_stages(experiment: Experiment, path: Path) -> None:
    """Run the network on one validation person and write ``path``.

    ``image`` (H, W, 3) uint8 BGR; ``targets`` and ``maps`` (S, H/4, W/4): the largest value over the joints of
    each stage's finest scale, target and prediction; ``truth`` (K, 3) x, y, v and ``predicted`` (S, K, 2) x, y in
    pixels of the input.
    """
    import torch

    from mspn.data.batches import evaluation_batches, normalise
    from mspn.data.geometry import transform
    from mspn.data.load import load_split
    from mspn.weights import load_network

    run, seed = stage_run(experiment), experiment.scale.seeds[0]
    network, header = load_network(experiment.training_folder(run, seed) / "weights.safetensors")
    size = experiment.input_size(run)
    persons = load_split(experiment.scale.datasets["coco"], experiment.data_folder("coco"), "val")
    person = persons.select(np.array([most_visible(persons.joints)]))
    images, matrices, _ = next(iter(evaluation_batches(person, input_size=size, batch=1)))
    with torch.inference_mode():
        maps = network(normalise(images), all_stages=True)[0, :, -1].float()
    truth = person.joints[0].astype(np.float64).copy()
    truth[:, :2] = transform(truth[None, :, :2], np.asarray(matrices))[0]
    arrays: dict[str, Any] = {
        "image": images[0].numpy(),
        "targets": _targets(truth, run, len(maps), size),
        "maps": maps.amax(dim=1).numpy(),
        "truth": truth,
        "predicted": _peaks(maps.numpy()),
        "run": np.array(run.run),
        "seed": np.array(seed),
        "tensor_hash": np.array(header["tensor_hash"]),
    }
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _targets(truth: np.ndarray, run: Run, stages: int, size: tuple[int, int]) -> np.ndarray:
    """(S, H/4, W/4) each stage's finest target, the largest over joints."""
    import torch

    from mspn.targets import make_targets

    _, earlier, last = SUPERVISIONS[run.supervision]
    kernels = (*(earlier[-1] for _ in range(stages - 1)), last[-1])
    targets = make_targets(torch.from_numpy(truth[None].astype(np.float32)), kernels, size)
    return np.asarray(targets[0].amax(dim=1).numpy())


def _peaks(maps: np.ndarray) -> np.ndarray:
    """(S, K, 2) x, y in input pixels of each map's highest pixel; ``maps`` is (S, K, H/4, W/4)."""
    stages, joints, _, width = maps.shape
    peaks = maps.reshape(stages, joints, -1).argmax(axis=-1)
    return np.stack([peaks % width, peaks // width], axis=-1) * 4 + 2.0


def load_stages(path: Path) -> dict[str, np.ndarray] | None:
    """The file's arrays; None where it is absent; UserError where it is not such a file."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in KEYS}
    except (KeyError, ValueError, OSError) as error:
        raise UserError(f"{path}: not what `mspn report stages` writes: {error}") from None
