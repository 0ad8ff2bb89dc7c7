"""How a training uses a machine: processes, threads, layouts, compilation; no part of a run's identity.

The options change speed and memory. On one machine with the same options a training is repeated bit for bit
on the CPU. Another option, number of threads or processes, or kind of processor takes floating-point sums in
another order; training amplifies that, so that the weights come out as another seed's would, and the losses
alike. The record of a training names all of these. Batch norm's running statistics, which end in the weights,
follow the first group of ``norm_batch`` samples of each step, as the released code's are those of its first
GPU.
"""

import os
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.utils.checkpoint import checkpoint

from mspn.errors import UserError
from mspn.experiment.provenance import machine
from mspn.training.allocator import keep_freed_memory


@dataclass(frozen=True)
class Options:
    """The speed and memory options of a training on one device."""

    threads: int = 1
    channels_last: bool = True
    compile: str = "off"  # or "on", or "cuda-graphs"
    gradient_checkpointing: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For the record of a run's environment."""
        return asdict(self)

    @property
    def layout(self) -> torch.memory_format:
        """The memory format of images and weights."""
        return torch.channels_last if self.channels_last else torch.contiguous_format


@dataclass(frozen=True)
class Processes:
    """This process among those that train together, as torchrun's environment tells it."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0

    @classmethod
    def from_environment(cls) -> "Processes":
        """RANK, WORLD_SIZE and LOCAL_RANK; one process where torchrun did not start us."""
        defaults = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0}
        return cls(*(int(os.environ.get(name, value)) for name, value in defaults.items()))


@contextmanager
def joined(processes: Processes, device: torch.device) -> Iterator[None]:
    """Join the group of processes for the length of the block: NCCL between GPUs, gloo between CPUs."""
    if processes.world == 1:
        yield
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def micro_batches(batch: int, norm_batch: int | None, world: int) -> tuple[int, int]:
    """(samples per micro-batch, micro-batches per step) of each process; together the global batch.

    A micro-batch is what batch norm normalises together, so that the number of processes changes nothing:
    ``norm_batch`` samples, or without it the whole batch, which one process alone can take. UserError where
    they do not divide a process's share.
    """
    size = norm_batch or batch
    if batch % (size * world):
        raise UserError(
            f"batch norm sees {size} samples of the global batch of {batch} at once, which {world} processes "
            f"cannot share; use one of {_divisors(batch // size)} processes, or another norm_batch in the "
            "recipe (another training)"
        )
    return size, batch // (size * world)


def _divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]


def set_up(device: torch.device, options: Options, precision: str = "fp32") -> None:
    """Process-wide settings of a training: CPU threads, memory, and on a GPU the arithmetic."""
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    set_arithmetic(device, precision)


def set_arithmetic(device: torch.device, precision: str) -> None:
    """On a GPU: cuDNN's search for fast kernels, and what fp32 numbers are multiplied as.

    ``fp32`` is what it says, where torch by itself lets convolutions round to tf32; ``tf32`` rounds the
    factors of convolutions and matrix products to 10 bits and adds up in fp32. Nothing happens on a CPU,
    which knows no tf32: there ``tf32`` is fp32.
    """
    if device.type != "cuda":
        return
    torch.cuda.set_device(device)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """A network within the block computes in bf16 where ``precision`` says so, else in its weights' type."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


def check_options(options: Options, kind: str, micro: int = 1) -> None:
    """UserError for options that do not go together, or not with ``micro`` micro-batches of a step on a
    device of that kind.
    """
    if options.compile == "cuda-graphs" and kind != "cuda":
        raise UserError("--compile cuda-graphs needs a GPU; on the CPU leave --compile off")
    if options.compile == "cuda-graphs" and micro > 1:
        raise UserError(
            f"--compile cuda-graphs with {micro} micro-batches a step: a replayed graph overwrites gradients "
            "that are still to be added up; use more processes, or --compile on"
        )
    if options.compile != "off" and options.gradient_checkpointing:
        raise UserError(
            "--compile with --gradient-checkpointing: torch cannot compile the second computation, in which "
            "batch norm is frozen; choose one of the two"
        )


def prepare(network: nn.Module, device: torch.device, options: Options) -> nn.Module:
    """The network on its device with the options applied; names of weights do not change.

    UserError for options that do not go together. ``Learner`` compiles.
    """
    check_options(options, device.type)
    network = network.to(device).to(memory_format=options.layout)  # type: ignore[call-overload]
    if options.gradient_checkpointing:
        checkpoint_gradients(network)
    return network


def checkpoint_gradients(network: nn.Module) -> None:
    """Keep only each stage's parts' inputs for the backward pass and compute the rest again.

    Parts are the modules a stage consists of: its down path, up path, heads, aggregation. The second
    computation must not move batch norm's running statistics a second time.
    """
    stages: Any = getattr(network, "stages", None)
    if stages is None:
        raise UserError(
            "--gradient-checkpointing: the network has no attribute `stages` that names its parts"
        )
    for stage in stages:
        for part in stage.children():
            for module in part if isinstance(part, nn.ModuleList) else [part]:
                module.forward = _recomputed(module, module.forward)


@contextmanager
def frozen_statistics(network: nn.Module) -> Iterator[None]:
    """Batch norm's running statistics stay as they are within the block."""
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    before = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, momentum, count in before:
            norm.momentum, norm.num_batches_tracked = momentum, count


def _recomputed(module: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        return checkpoint(
            forward,
            *arguments,
            use_reentrant=False,
            preserve_rng_state=False,  # no network draws random numbers
            context_fn=lambda: (nullcontext(), frozen_statistics(module)),
        )

    return call


def pick_device(name: str, local_rank: int = 0) -> torch.device:
    """``auto`` (the GPU where there is one), ``cpu`` or ``cuda``; UserError where there is no such device."""
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise UserError("--device cuda: torch sees no CUDA device here; use --device cpu or check the driver")
    if name == "cpu" or not there:
        return torch.device("cpu")
    if local_rank >= torch.cuda.device_count():
        raise UserError(f"process {local_rank} has no GPU: this machine has {torch.cuda.device_count()}")
    return torch.device("cuda", local_rank)


def describe_device(device: torch.device) -> dict[str, Any]:
    """The device's name and what decides its arithmetic: CUDA and cuDNN, or the CPU's instructions."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        return {
            "device": name,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "gpu_memory_gib": round(torch.cuda.get_device_properties(device).total_memory / 2**30, 1),
        }
    return {"device": machine()["cpu"], "instructions": torch.backends.cpu.get_cpu_capability()}


def peak_memory(device: torch.device) -> int:
    """Bytes: the most that the process held on the GPU, or of resident memory on the CPU, so far."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
