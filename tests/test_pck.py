"""PCK of a named length on cases worked out by hand, and against plain loops over its definition."""

import math

import numpy as np
import pytest

from mspn.data.skeletons import LSP
from mspn.evaluation.metrics import distances, pck

K = LSP.joints.index
TORSO, HEAD = LSP.pck


def persons(count, seed=0):
    """Annotated joints, some not, and predictions about a fifth of a torso away; persons per image differ."""
    rng = np.random.default_rng(seed)
    truth = np.concatenate([rng.uniform(0, 150, (count, 14, 2)), np.full((count, 14, 1), 2.0)], axis=2)
    truth[rng.random((count, 14)) < 0.25] = 0
    joints = truth + np.concatenate([rng.normal(0, 12, (count, 14, 2)), np.ones((count, 14, 1))], axis=2)
    return truth, joints, rng.integers(0, max(count // 2, 1), count) * 5


def scores(what, truth, joints, images=None):
    images = np.arange(len(truth)) if images is None else images
    measure = pck.measure(what, LSP)
    values = distances.figures(measure, pck.pack(what, truth, images, joints))
    return dict(zip(measure.figures, values.tolist(), strict=True))


def test_a_case_with_a_known_answer():
    truth = np.zeros((2, 14, 3))
    truth[:, :, 0], truth[:, :, 2] = np.arange(14) * 10, 2
    truth[:, K("left_shoulder"), :2], truth[:, K("right_hip"), :2] = (30, 40), (0, 0)  # a torso of 50
    truth[1, K("neck"), 2] = 0  # the second person has no head to measure by
    joints = truth.copy()
    joints[0, K("right_wrist"), 1] += 10  # a fifth of 50: right
    joints[0, K("left_wrist"), 1] += 10.01
    joints[1, K("left_ankle"), 0] = np.nan
    torso, head = (scores(what, truth, joints) for what in (TORSO, HEAD))
    assert torso["PCK@0.2 wrist"] == (1 + 1 / 2) / 2 and torso["PCK@0.2 ankle"] == (1 + 1 / 2) / 2
    assert torso["PCK@0.2 neck"] == torso["PCK@0.2 hip"] == 1
    assert torso["PCK@0.2"] == 25 / 27
    # The head of the first person is 10 long: its two wrists are wrong within half of that.
    assert head["PCKh@0.5 wrist"] == 0 and head["PCKh@0.5"] == 12 / 14
    packed = [pck.pack(what, truth, np.arange(2), joints).without_length for what in (TORSO, HEAD)]
    assert packed == [0, 1]


@pytest.mark.parametrize(
    ("what", "share"), [(TORSO, 0.2), (HEAD, 0.5)], ids=lambda value: getattr(value, "name", "")
)
def test_agrees_with_a_loop_over_the_definition(what, share):
    truth, joints, images = persons(60)
    truth[7, what.ends[0]] = truth[7, what.ends[1]]  # both ends at one place: no length
    got = scores(what, truth, joints, images)
    ends = {"PCK@0.2": ("left_shoulder", "right_hip"), "PCKh@0.5": ("neck", "head_top")}[what.name]
    away = {}
    for n in range(60):
        (ax, ay, av), (bx, by, bv) = (truth[n, K(name)] for name in ends)
        length = math.hypot(ax - bx, ay - by)
        if not (av and bv and length):
            continue
        for k in range(14):
            if truth[n, k, 2]:
                dx, dy = joints[n, k, 0] - truth[n, k, 0], joints[n, k, 1] - truth[n, k, 1]
                away[n, k] = math.hypot(dx, dy) / length

    def rate(names, limit=share):
        near = [d <= limit for (_, k), d in away.items() if LSP.joints[k] in names]
        return sum(near) / len(near)

    for kind in ("ankle", "knee", "hip", "wrist", "elbow", "shoulder"):
        expected = (rate([f"left_{kind}"]) + rate([f"right_{kind}"])) / 2
        assert got[f"{what.name} {kind}"] == pytest.approx(expected), kind
    assert got[f"{what.name} neck"] == pytest.approx(rate(["neck"]))
    curve = [rate(LSP.joints, share * i / 50) for i in range(51)]
    assert got[what.name] == pytest.approx(curve[-1])
    assert 0.2 < got[what.name] < 0.9
    assert got[f"{what.name} AUC"] == pytest.approx(np.trapezoid(curve, np.linspace(0, 1, 51)))
    without = pck.pack(what, truth, images, joints).without_length
    assert without == 60 - len({n for n, _ in away})


def test_a_replicate_is_the_figures_of_the_drawn_persons():
    truth, joints, images = persons(40)
    measure, packed = pck.measure(TORSO, LSP), pck.pack(TORSO, truth, images, joints)
    count = len(packed.image_ids)
    weights = np.random.default_rng(1).multinomial(count, np.full(count, 1 / count))
    rows = np.repeat(np.arange(40), weights[packed.image])
    drawn = pck.pack(TORSO, truth[rows], images[rows], joints[rows])
    assert distances.figures(measure, packed, weights).tolist() == distances.figures(measure, drawn).tolist()
    replicates = distances.replicates(measure, packed, 0, 30)
    assert replicates.shape == (30, len(measure.figures)) == (30, 10)


def test_nobody_with_a_length_gives_no_figure():
    truth, joints, images = persons(3)
    truth[:, K("right_hip"), 2] = 0
    assert all(map(math.isnan, scores(TORSO, truth, joints, images).values()))
