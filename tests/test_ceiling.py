"""The scale's ceiling: perfect heat maps decoded as a network's are, against positions worked out by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from mspn.commands.cli import main
from mspn.data.persons import Persons, Picture
from mspn.data.skeletons import COCO
from mspn.evaluation.ceiling import ceilings, perfect_joints
from mspn.evaluation.protocols import PROTOCOLS
from mspn.experiment.load import load_experiment
from tests import report_tree

RUNS = "runs: [mspn-2, mspn-4-384x288]\n"


def person(x: float, y: float, width: float, height: float) -> Persons:
    """One person with its first joint labelled at (x, y), in the middle of a box of that size at (0, 0)."""
    joints = np.zeros((1, 17, 3), np.float32)
    joints[0, 0] = x, y, 2
    one = np.ones(1, np.float32)
    return Persons(
        "made up", COCO, {1: Picture(Path("1.jpg"), 640, 480)}, np.array([1]), np.array([1]),
        np.array([[0, 0, width, height]], np.float32), joints, one, one, one,
    )  # fmt: skip


def test_a_joint_comes_back_from_its_pixel_and_a_quarter():
    """A box that fills the input of 64x48 after its enlargement: input pixels are picture pixels, shifted."""
    width, height = 48 / 1.09, 64 / 1.135
    shift = np.array([24 - width / 2, 32 - height / 2])  # picture -> input
    truth = person(21.0 - shift[0], 38.5 - shift[1], width, height)
    x, y, score = perfect_joints(truth, (64, 48), PROTOCOLS["no-flip"])[0, 0]
    # Heat map pixel (5, 9); its four neighbours are equally high, and the first in reading order, above, is
    # taken for the second highest: 4 x (9 - 0.25) + 2.
    np.testing.assert_allclose(np.array([x, y]) + shift, [22.0, 37.0], atol=1e-4)
    assert score == pytest.approx(1.5)
    # Mirrored, 21 becomes 26 and falls into pixel 6, which is pixel 5 mirrored back: nothing changes. At 20.5
    # it is 26.5 and does so, too; at 23.5 it is 23.5, pixel 5, mirrored back 6: the mean's peaks are 5 and 6.
    both = perfect_joints(truth, (64, 48), PROTOCOLS["paper"])[0, 0]
    np.testing.assert_allclose(both[:2] + shift, [22.0, 37.0], atol=1e-4)
    truth = person(23.5 - shift[0], 38.5 - shift[1], width, height)
    both = perfect_joints(truth, (64, 48), PROTOCOLS["paper"])[0, 0]
    np.testing.assert_allclose(both[:2] + shift, [4 * 5.25 + 2, 4 * 9 + 2], atol=1e-4)


def test_every_joint_inside_is_within_its_pixel():
    rng = np.random.default_rng(0)
    truth = person(0, 0, 44, 56)
    truth.joints[0, :, :2] = rng.uniform((2, 2), (42, 54), (17, 2))
    truth.joints[0, :, 2] = 1
    found = perfect_joints(truth, (64, 48), PROTOCOLS["no-flip"])
    away = np.abs(found[0, :, :2] - truth.joints[0, :, :2])
    assert away.max() < 4 and away.max() > 1


def test_a_larger_input_has_a_higher_ceiling_and_the_verb_writes_it(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(report_tree.make_root(tmp_path, "madeup", (0,)))
    sizes = "{256x192: 64x48, 384x288: 512x384}"
    (tmp_path / "own.yaml").write_text(f"extends: madeup\nname: madeup\ninputs: {sizes}\n" + RUNS)
    experiment = load_experiment("own.yaml")
    report_tree.write_pictures(experiment)
    small, _, large, unflipped = ceilings(experiment)
    assert (small["protocol"], unflipped["protocol"]) == ("paper", "no-flip")
    assert (small["input"], large["input"]) == ("64x48", "512x384")
    assert (small["metric"], small["persons"]) == ("AP", 8)
    assert 0 < small["value"] < large["value"] <= 100
    assert main(["ceiling", "--scale", "own.yaml", "--out", "results/madeup/ceiling.json"]) == 0
    assert f"coco at 64x48, paper: AP {small['value']:.1f} (8 persons)" in capsys.readouterr().out
    document = json.loads((tmp_path / "results/madeup/ceiling.json").read_text())
    assert [one["value"] for one in document["ceilings"]][::2] == [small["value"], large["value"]]
