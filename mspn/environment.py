"""Where a result was made: versions, machine, device, commit; torch is imported only where needed."""

import os
import platform
import resource
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mspn.errors import UserError

if TYPE_CHECKING:
    import torch

_ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("mspn", "torch", "numpy", "opencv-python-headless", "pycocotools", "safetensors", "scipy")


def versions() -> dict[str, str | None]:
    """Python's version and those of the packages that a result may depend on; None where not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def commit() -> dict[str, Any]:
    """The commit of the source and whether the working tree differs from it; both None outside a checkout."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(_ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != _ROOT:  # inside another checkout
            return {"commit": None, "dirty": None}
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}


def machine() -> dict[str, Any]:
    """The operating system, the processor, its cores that this process may use, and the memory in GiB."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if "model name" in line), cpu)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"platform": platform.platform(), "cpu": cpu, "cores": cores, "memory_gib": round(memory, 1)}


def describe() -> dict[str, Any]:
    """All that is known without torch: versions, machine, commit and dirty flag."""
    return {"versions": versions(), "machine": machine(), **commit()}


def pick_device(name: str, local_rank: int = 0) -> "torch.device":
    """``auto`` (the GPU where there is one), ``cpu`` or ``cuda``; UserError where there is no such device."""
    import torch

    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise UserError("--device cuda: torch sees no CUDA device here; use --device cpu or check the driver")
    if name == "cpu" or not there:
        return torch.device("cpu")
    if local_rank >= torch.cuda.device_count():
        raise UserError(f"process {local_rank} has no GPU: this machine has {torch.cuda.device_count()}")
    return torch.device("cuda", local_rank)


def describe_device(device: "torch.device") -> dict[str, Any]:
    """The device's name and what decides its arithmetic: CUDA and cuDNN, or the CPU's instructions."""
    import torch

    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        return {
            "device": name,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "gpu_memory_gib": round(torch.cuda.get_device_properties(device).total_memory / 2**30, 1),
        }
    return {"device": machine()["cpu"], "instructions": torch.backends.cpu.get_cpu_capability()}


def peak_memory(device: "torch.device") -> int:
    """Bytes: the most that the process held on the GPU, or of resident memory on the CPU, so far."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
