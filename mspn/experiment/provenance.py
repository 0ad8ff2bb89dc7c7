"""Where a result was made: versions, machine, commit. Imports no torch."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from mspn.experiment.identity import code_hash

_ROOT = Path(__file__).resolve().parents[2]
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


def commit_of(path: Path) -> dict[str, Any]:
    """The commit that last changed a file, its date, whether it differs now; None outside a checkout."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(path.parent.resolve()), *arguments, "--", path.name]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()

    try:
        commit, _, date = git("log", "-1", "--format=%H %cs").partition(" ")
        return {"commit": commit or None, "date": date or None, "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "date": None, "dirty": None}


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
    """All that is known without torch: versions, machine, the code's hash, commit and dirty flag."""
    return {"versions": versions(), "machine": machine(), "code": code_hash("mspn", "baselines"), **commit()}
