"""Where a scale is to run: a Snakemake profile, and the cluster that it submits to."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mspn.cluster.launch import promised
from mspn.cluster.profiles import Cluster, ask_cluster
from mspn.errors import UserError, shown
from mspn.experiment.plain_yaml import read_yaml


@dataclass(frozen=True)
class Site:
    """Where the scale is to run: what a profile says, and what its cluster has (None: this machine)."""

    profile: dict[str, Any]
    cluster: Cluster | None

    def gpus(self) -> int:
        """GPUs of one training."""
        train = self.profile.get("set-resources", {}).get("train", {})
        return promised(int(train.get("gpu", 0)), str(train.get("gres", "")))

    def training_options(self) -> dict[str, Any]:
        """The options of speed and memory of trainings: compile, gradient_checkpointing, store_on_device."""
        train = self.profile.get("set-resources", {}).get("train", {})
        switches = {
            key: train.get(key) in ("on", True) for key in ("gradient_checkpointing", "store_on_device")
        }
        compiled = train.get("compile", "off")  # YAML reads a bare on as true
        return {"compile": {True: "on", False: "off"}.get(compiled, compiled), **switches}

    def memory_mb(self) -> int:
        """The most that any rule asks for, at its first attempt."""
        rules = [*self.profile.get("set-resources", {}).values(), self.profile.get("default-resources", {})]
        # A number, or an expression such as min(8000 * attempt, 60000).
        numbers = [re.search(r"\d+", str(rule.get("mem_mb", ""))) for rule in rules]
        return max((int(number[0]) for number in numbers if number), default=0)


def read_site(folder: Path | None) -> Site:
    """A profile and the cluster that it submits to; without a profile, this machine."""
    if folder is None:
        return Site({}, None)
    path = folder / "config.yaml" if folder.is_dir() else folder
    try:
        profile = read_yaml(path) or {}
    except FileNotFoundError:
        raise UserError(f"--profile {folder}: no such profile; `mspn profile` writes one") from None
    try:
        site = Site(profile, None)
        site.gpus(), site.training_options(), site.memory_mb()
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        words = shown(str(error))
        raise UserError(f"{path}: not a profile of resources ({words}); `mspn profile` writes one") from None
    if profile.get("executor") != "slurm":
        return site
    partition = profile.get("default-resources", {}).get("slurm_partition")
    if not partition:
        raise UserError(
            f"{path}: default-resources names no slurm_partition; `mspn profile` writes one that does"
        )
    return Site(profile, ask_cluster(str(partition)))
