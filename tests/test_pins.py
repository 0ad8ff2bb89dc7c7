"""The lock, the conda environment and the project's own list name the same packages."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import yaml


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(lines: list[str]) -> dict[str, str]:
    return {normal(name): number for name, number in (line.split("==") for line in lines)}


LOCK = pins(Path("requirements.lock").read_text().split())


def test_conda_and_pip_list_the_same_packages_at_the_same_versions():
    environment = yaml.safe_load(Path("environment.yml").read_text())
    (pip,) = (entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert pins(pip) == LOCK


def test_every_dependency_is_pinned_and_torch_is_the_one_that_is_tried():
    project = tomllib.loads(Path("pyproject.toml").read_text())
    named = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    named += project["project"]["optional-dependencies"]["export"]
    missing = {normal(re.split(r"[<>=]", name)[0]) for name in named} - set(LOCK)
    assert not missing
    assert LOCK["torch"] == "2.13.0"
    assert "torchvision" not in LOCK


def test_the_environment_at_hand_is_the_pinned_one():
    different = {name: version(name) for name in LOCK if version(name).split("+")[0] != LOCK[name]}
    assert not different
