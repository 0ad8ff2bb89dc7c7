"""What a training's micro-batch takes of a GPU's memory: an estimate that needs no GPU."""

from typing import Any

import torch
from torch import Tensor

from mspn.cluster.costs import crop_stores, stored_bytes
from mspn.cluster.findings import Check
from mspn.data.skeletons import skeleton
from mspn.errors import UserError
from mspn.experiment.experiment import Experiment
from mspn.experiment.grid import SUPERVISIONS, Run
from mspn.networks.build import construct, count_stages, definition
from mspn.training.hardware import Options, check_options, micro_batches
from mspn.training.memory import STORE_SHARE, USABLE
from mspn.training.objective import Objective

# Bytes of a parameter in fp32: itself, its gradient, Adam's two moments.
PARAMETER_BYTES = 16
GPU_BYTES = 80e9  # of the GPUs that are not on this machine
META = torch.device("meta")


def check_training(
    experiment: Experiment, world: int, chosen: dict[str, Any], memory: float | None = None
) -> Check:
    """What a profile says of trainings goes together, and the largest micro-batch fits into a GPU.

    ``world``: the GPUs of a training. ``chosen``: ``compile``, ``gradient_checkpointing`` and
    ``store_on_device``. ``memory``: bytes of a GPU; those of this machine's, or of one of 80 GB where there
    is none here.
    """
    check = Check("trainings")
    options = Options(compile=chosen["compile"], gradient_checkpointing=chosen["gradient_checkpointing"])
    sizes: dict[tuple[str, str, tuple[int, int], int], Run] = {}
    for run in experiment.trained:
        recipe = experiment.recipe(run)
        try:
            size, micro = micro_batches(recipe.batch, recipe.norm_batch, max(world, 1))
            check_options(options, "cuda" if world else "cpu", micro)
        except UserError as error:
            check.wrong(str(error), "change train and trunk under set-resources of the profile")
            return check
        sizes.setdefault((run.network, run.supervision, experiment.input_size(run), size), run)
    at_once = sorted({key[3] for key in sizes})
    check.facts.append(f"batch norm sees {', '.join(map(str, at_once))} samples at once")
    if not world:
        return check
    room = float(_gpu_bytes() or GPU_BYTES) if memory is None else memory
    needs = {key: training_bytes(experiment, run, key[3]) for key, run in sizes.items()}
    largest = max(needs, key=lambda key: sum(needs[key]))
    fixed, kept = needs[largest]
    network, _, (height, width), size = largest
    said = (
        f"{size} samples of {network} at {height}x{width} at once take about {(fixed + kept) / 1e9:.1f} GB "
        f"({kept / 1e9:.1f} of activations) of a GPU's {room / 1e9:.0f}, the most of all runs (estimate)"
    )
    check.facts.append(said)
    if fixed + kept > USABLE * room and not options.gradient_checkpointing:
        check.wrong(said, 'gradient_checkpointing: "on" for train and trunk in the profile')
    stores = crop_stores(experiment)
    stored = max(
        sum(stored_bytes(size, stores.get((name, size), 0)) for name in run.datasets)
        for run in experiment.trained
        for size in [experiment.input_size(run)]
    )
    if chosen["store_on_device"] and stored > STORE_SHARE * room:
        check.wrong(
            f"store_on_device: the crops of a training take up to about {stored / 1e9:.0f} GB, more than "
            f"{STORE_SHARE:.0%} of a GPU's {room / 1e9:.0f} GB",
            'store_on_device: "off" for train and trunk in the profile',
        )
    return check


def _gpu_bytes() -> int:
    """The memory of this machine's first GPU; 0 where torch sees none."""
    return torch.cuda.get_device_properties(0).total_memory if torch.cuda.is_available() else 0


def training_bytes(experiment: Experiment, run: Run, samples: int) -> tuple[int, int]:
    """Bytes of weights, gradients and moments, and of what the backward pass keeps of ``samples`` samples.

    Counted on a network without numbers: every tensor that autograd saves, each memory once. Not in it are
    what lives for a moment only (gradients of features, cuDNN's workspaces), some tenth of it.
    """
    network, objective = _without_numbers(experiment, run)
    parameters = list(network.parameters())
    fixed = PARAMETER_BYTES * sum(parameter.numel() for parameter in parameters)
    kind = torch.bfloat16 if experiment.recipe(run).precision == "bf16" else torch.float32
    network.to(kind)  # as autocast computes features; losses are fp32 all the same
    own = {parameter.untyped_storage()._cdata for parameter in network.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage()._cdata not in own:
            kept.setdefault(tensor.untyped_storage()._cdata, tensor)
        return tensor

    images = torch.empty(samples, 3, *objective.input_size, dtype=kind, device=META)
    joints = torch.empty(samples, len(skeleton(run.joint_set).joints), 3, device=META)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        objective(network, images, joints).sum()
    return fixed, sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def _without_numbers(experiment: Experiment, run: Run) -> tuple[Any, Objective]:
    """The run's network on torch's ``meta`` device, and its objective."""
    _, earlier, last = SUPERVISIONS[run.supervision]
    defined, size = definition(run, experiment.scale.width), experiment.input_size(run)
    with META:
        network = construct(*defined).train()
    return network, Objective(size, count_stages(*defined, size), earlier, last)
