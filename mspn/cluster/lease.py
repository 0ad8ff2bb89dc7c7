"""Leases on the GPUs of one machine, so that two trainings never share one unasked.

A lease is a lock (``flock``) on one file per device, held by the training's own process: however that process
ends, the kernel frees it. All users and all workflows of a machine share the files. Imports no torch.
"""

import fcntl
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mspn.errors import UserError

FOLDER = Path(tempfile.gettempdir()) / "mspn-gpus"


@dataclass(frozen=True)
class Lease:
    """Devices (names for ``CUDA_VISIBLE_DEVICES``) and the open files that hold them."""

    devices: list[str]
    descriptors: list[int]

    def release(self) -> None:
        """Give the devices back; a process that ends does so by itself."""
        for descriptor in self.descriptors:
            os.close(descriptor)


def list_devices() -> list[str]:
    """The machine's NVIDIA devices by UUID as ``nvidia-smi -L`` lists them; MIG parts for a parted GPU."""
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return []
    devices: list[str] = []
    parent = None
    for line in done.stdout.splitlines() if done.returncode == 0 else ():
        match = re.search(r"UUID: ((GPU|MIG)-[^)\s]+)", line)
        if not match:
            continue
        if match[2] == "MIG" and parent is not None and devices and devices[-1] == parent:
            devices.pop()
        devices.append(match[1])
        parent = match[1] if match[2] == "GPU" else parent
    return devices


def visible_devices(environment: Mapping[str, str], devices: list[str]) -> list[str]:
    """Those of the machine's devices that ``CUDA_VISIBLE_DEVICES`` leaves, in its order; all if unset.

    Entries are indices or UUIDs (or their beginnings); as in CUDA, the first that names no device ends it.
    """
    chosen = environment.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return devices
    visible: list[str] = []
    for entry in filter(None, chosen.split(",")):
        if entry.isdigit():
            matches = devices[int(entry) : int(entry) + 1]
        else:
            matches = [device for device in devices if device.startswith(entry)]
        if len(matches) != 1:
            break
        visible += matches
    return visible


def lease(count: int, devices: list[str], *, share: int = 1, wait_s: float | None = None) -> Lease:
    """Hold ``count`` of ``devices``, each with at most ``share`` holders; waits until so many are free.

    Raises UserError where there are fewer devices than asked for, or after ``wait_s`` seconds.
    """
    if count > len(devices):
        raise UserError(
            f"this job was promised {count} GPUs but sees {len(devices)} ({', '.join(devices) or 'none'}); "
            "check gpu of its rule in the profile, nvidia-smi -L on this node and CUDA_VISIBLE_DEVICES"
        )
    start, told = time.monotonic(), -60.0
    while True:
        held = _try(count, devices, share)
        if held is not None:
            return held
        waited = time.monotonic() - start
        if wait_s is not None and waited >= wait_s:
            raise UserError(
                f"no {count} of {len(devices)} GPUs are free after {waited:.0f} s: {_holders(devices)}"
            )
        if waited - told >= 60:
            print(f"waiting for {count} of {len(devices)} GPUs: {_holders(devices)}", flush=True)
            told = waited
        time.sleep(0.2 if waited < 10 else 2.0)


def _try(count: int, devices: list[str], share: int) -> Lease | None:
    """Lock ``count`` devices if so many are free, the least shared first; else none at all."""
    held = Lease([], [])
    for slot in range(share):
        for device in devices:
            if device in held.devices:
                continue
            descriptors = _lock_device(device, slot, share)
            if descriptors:
                held.devices.append(device)
                held.descriptors.extend(descriptors)
            if len(held.devices) == count:
                return held
    held.release()
    return None


def _lock_device(device: str, slot: int, share: int) -> list[int]:
    """Lock a device for this process alone, or one of its ``share`` places; nothing if that is taken."""
    if share == 1:
        alone = _lock(_file(device), fcntl.LOCK_EX)
        return [] if alone is None else [alone]
    place = _lock(_file(device, f".{slot}"), fcntl.LOCK_EX)
    if place is None:
        return []
    # Shared among those that agreed to share: whoever holds the device alone keeps them out, and they it.
    shared = _lock(_file(device), fcntl.LOCK_SH)
    if shared is None:
        os.close(place)
        return []
    return [place, shared]


def _file(device: str, suffix: str = "") -> Path:
    return FOLDER / f"{re.sub(r'[^A-Za-z0-9-]', '_', device)}{suffix}"


def _lock(path: Path, kind: int) -> int | None:
    """An open file that holds the lock and passes it on to the program that this process becomes."""
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    os.set_inheritable(descriptor, True)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor


def _open(path: Path) -> int:
    """Open or create a lock file that every user may use; nobody's link is followed in the shared folder."""
    if not FOLDER.exists():
        FOLDER.mkdir(exist_ok=True)
        FOLDER.chmod(0o1777)
    while True:
        with suppress(FileNotFoundError):
            # Without O_CREAT: Linux refuses that for another user's file in a folder like /tmp.
            return os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        with suppress(FileExistsError):
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CREAT | os.O_EXCL, 0o666)
            os.fchmod(descriptor, 0o666)
            return descriptor


def _holders(devices: list[str]) -> str:
    """Which process took which device last, for people."""
    files = [path for device in devices for path in sorted(FOLDER.glob(f"{_file(device).name}*"))]
    return ", ".join(f"{path.name} by process {path.read_text() or '?'}" for path in files) or "none is held"
