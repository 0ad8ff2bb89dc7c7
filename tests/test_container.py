"""The container recipe installs the lock, all of it and nothing beside it, on the Python that it is for."""

import re
import tomllib
from pathlib import Path

import yaml

RECIPE = Path("Dockerfile").read_text()
RUNS = re.sub(r"\\\n\s*", "", "\n".join(line for line in RECIPE.splitlines() if not line.startswith("#")))


def test_it_installs_the_lock_and_nothing_else():
    installs = re.findall(r"pip install[^&\n]*", RUNS)
    assert len(installs) == 2
    assert "--requirement requirements.lock" in installs[0]
    assert "--no-deps --editable ." in installs[1]
    assert RUNS.index("COPY requirements.lock") < RUNS.index("pip install") < RUNS.index("COPY . .")


def test_its_python_is_that_of_the_conda_environment_and_allowed_by_the_project():
    version = re.search(r"^FROM python:(\d+\.\d+)-slim$", RUNS, re.M)
    assert version
    environment = yaml.safe_load(Path("environment.yml").read_text())
    assert f"python={version[1]}" in environment["dependencies"]
    required = tomllib.loads(Path("pyproject.toml").read_text())["project"]["requires-python"]
    assert required == f">={version[1]}"


def test_nothing_large_or_generated_is_copied_in():
    ignored = Path(".dockerignore").read_text().split()
    assert {".venv", ".snakemake", "data", "results"} <= set(ignored)
