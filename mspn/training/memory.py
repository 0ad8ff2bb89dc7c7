"""Whether a training's micro-batch fits into memory, said before the training starts.

Two real steps of a copy of the network on 2 and 4 samples give a straight line: a fixed part (weights,
gradients, Adam's moments) and a part per sample (what the backward pass keeps). The line says what the
micro-batch will take.
"""

import copy
from pathlib import Path

import psutil
import torch
from torch import nn

from mspn.data.batches import Batch
from mspn.errors import UserError
from mspn.experiment.config import Recipe
from mspn.training.hardware import Options, peak_memory, prepare
from mspn.training.objective import Learner, Objective, accumulate_gradients
from mspn.training.optimiser import make_optimiser, take_step

# Of the memory that is free, this share may be planned with: allocators cut it into pieces.
USABLE = 0.9
STORE_SHARE = 0.5  # of the free memory that a crop store may take: training needs the rest
GIB = 2**30


def probe(
    network: nn.Module,
    objective: Objective,
    recipe: Recipe,
    *,
    joints: int,
    device: torch.device,
    options: Options,
    micro_batch: int,
) -> str:
    """One line that says that the micro-batch fits; UserError where it does not.

    The network is not changed.
    """
    usable = USABLE * free_memory(device)
    sizes = [2, 4]
    try:
        peaks = [step_peak(network, objective, recipe, joints, device, options, size) for size in sizes]
    except torch.OutOfMemoryError:
        raise UserError(f"{sizes[-1]} samples already do not fit into {usable / GIB:.1f} GiB") from None
    each = max(peaks[1] - peaks[0], 1) / (sizes[1] - sizes[0])
    fixed = peaks[0] - sizes[0] * each
    needed = fixed + micro_batch * each
    said = (
        f"a micro-batch of {micro_batch} takes about {needed / GIB:.1f} GiB ({fixed / GIB:.1f} fixed, "
        f"{each / GIB:.3f} per sample) of {usable / GIB:.1f} GiB usable"
    )
    if needed <= usable:
        return said + ": it fits"
    raise UserError(
        f"{said}; use --gradient-checkpointing, or a device with more memory: how many samples batch norm "
        "sees at once, the recipe's norm_batch, is a part of the experiment"
    )


def require_room(store_bytes: int, device: torch.device) -> None:
    """UserError where a crop store would take more than its share of the device's free memory."""
    free = free_memory(device)
    if store_bytes > STORE_SHARE * free:
        raise UserError(
            f"--store-on-device: the crops take {store_bytes / GIB:.1f} GiB, of {free / GIB:.1f} GiB free on "
            f"the device {STORE_SHARE:.0%} may go to them; leave it off, or lower the scale's oversampling"
        )


def step_peak(
    network: nn.Module,
    objective: Objective,
    recipe: Recipe,
    joints: int,
    device: torch.device,
    options: Options,
    samples: int,
) -> int:
    """Bytes that the process holds at most during a step of ``samples`` samples, Adam's moments included.

    On the CPU, the most that it ever held: call with growing numbers of samples.
    """
    if device.type == "cuda":
        torch.cuda.empty_cache()
    model = prepare(copy.deepcopy(network), device, options)
    learner = Learner(model, objective, device, options).train()
    optimiser = make_optimiser(model, recipe.weight_decay)
    height, width = objective.input_size
    batch = Batch(
        images=torch.zeros(samples, height, width, 3, dtype=torch.uint8),
        joints=torch.ones(samples, joints, 3),
        index=torch.arange(samples),
    )
    for number in range(2):  # in the second the moments are there, and fast kernels have been searched for
        if number and device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        accumulate_gradients(learner, [batch], global_batch=samples, micro=1, device=device)
        take_step(optimiser, 0.0)
    return peak_memory(device)


def free_memory(device: torch.device) -> int:
    """Bytes that this process may hold in all: on the GPU, or of the machine's and the job's memory."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free + torch.cuda.memory_reserved(device))
    own = psutil.Process().memory_info().rss
    return int(min(psutil.virtual_memory().available + own, *_job_limits(), 2**62))


def _job_limits() -> list[int]:
    """The memory limits in bytes of the control groups (version 2) that a cluster or container put us in."""
    root = Path("/sys/fs/cgroup")
    try:
        own = root / Path("/proc/self/cgroup").read_text().strip().rpartition("::/")[2]
        files = [folder / "memory.max" for folder in (own, *own.parents) if folder.is_relative_to(root)]
        texts = [file.read_text().strip() for file in files if file.exists()]
    except OSError:
        return []
    return [int(text) for text in texts if text.isdigit()]
