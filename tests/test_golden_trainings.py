"""Results of short trainings and of the data's arithmetic: who moves them raises that part's revision."""

import json
from dataclasses import replace
from typing import Any

import pytest

from mspn.data import augment, batches
from mspn.experiment.identity import REVISIONS
from mspn.training import hardware, objective, targets
from mspn.training import train as loop
from tests import golden_trainings as golden

REMEDY = (
    "with the packages of requirements.lock (others round differently): raise the part's revision in "
    "mspn/experiment/identity.py, then python -m tests.golden_trainings"
)
PARTS = ("synth", "data", "training", "mspn", "hourglass", "simple_baseline", "hrnet")


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(golden.GOLDEN.read_text())
    return found


def test_the_goldens_are_of_these_revisions(kept):
    assert {part: kept["revisions"][part] for part in PARTS} == {part: REVISIONS[part] for part in PARTS}, (
        "a revision was raised: python -m tests.golden_trainings"
    )


# Relative: the first losses; the rest differs between processors, as Adam divides by small gradients.
TOLERANCES = {"first": 1e-4, "later": 0.02, "weights": 0.02, "statistics": 0.05}


def close(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Within the tolerances."""
    return found == {key: pytest.approx(value, rel=TOLERANCES[key]) for key, value in wanted.items()}


@pytest.mark.parametrize("name", golden.CASES)
def test_a_short_training_gives_what_it_gave(kept, name):
    assert close(golden.measured(name), kept[name]), REMEDY


def test_samples_stores_and_synthetic_persons_are_what_they_were(kept):
    found, wanted = json.loads(json.dumps(golden.measured("data"))), kept["data"]
    moved = [key for key in {*found, *wanted} if found.get(key) != wanted.get(key)]
    assert not moved, f"{moved}: {REMEDY}"


def changed(monkeypatch, what: str) -> None:
    """Plant one change that decides results."""
    if what == "a tenth of the learning rate in the loop":
        rate = loop.learning_rate
        monkeypatch.setattr(loop, "learning_rate", lambda recipe, step: 0.1 * rate(recipe, step))
    elif what == "batch norm's momentum in the second computation":
        recomputed = hardware._recomputed

        def moving(module, forward):
            call = recomputed(module, forward)

            def both(*arguments):
                module.train()
                forward(*arguments)  # moves the running statistics once more
                return call(*arguments)

            return both

        monkeypatch.setattr(hardware, "_recomputed", moving)
    elif what == "targets one pixel to the right":
        table = targets._blurred_impulses
        monkeypatch.setattr(
            targets, "_blurred_impulses", lambda kernel, length: shifted(table(kernel, length))
        )
        targets._tables.cache_clear()
    elif what == "another number of the augmentation":
        other = replace(augment.AUGMENTATIONS["released"], rotation=44.0)
        monkeypatch.setitem(augment.AUGMENTATIONS, "released", other)
    elif what == "another order of samples":
        epoch = batches._epoch
        monkeypatch.setattr(batches, "_epoch", lambda *key: (epoch(*key)[0][::-1], epoch(*key)[1]))
    elif what == "another scale of MSPN's heads":
        start = objective.starting_network
        monkeypatch.setattr(
            golden, "starting_network", lambda run, width, seed, scale: start(run, width, seed)
        )


def shifted(table):
    """A table of blurred impulses, each a pixel further."""
    moved = table.copy()
    moved[:, 1:] = table[:, :-1]
    return moved


@pytest.mark.parametrize(
    "what",
    [
        "a tenth of the learning rate in the loop",
        "batch norm's momentum in the second computation",
        "targets one pixel to the right",
        "another number of the augmentation",
        "another order of samples",
        "another scale of MSPN's heads",
    ],
)
def test_a_planted_change_is_seen(kept, monkeypatch, tmp_path, what):
    name = "mspn, gradient checkpointing, head scale"
    changed(monkeypatch, what)
    try:
        assert not close(golden.trained(name, tmp_path), kept[name])
    finally:
        targets._tables.cache_clear()
