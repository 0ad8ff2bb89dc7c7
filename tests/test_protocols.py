"""Named protocols, and the single steps from one to another."""

from dataclasses import fields
from itertools import pairwise

import pytest

from mspn.evaluation.protocols import PROTOCOLS, STEPS, Protocol, protocols_for


def differ(a: Protocol, b: Protocol) -> int:
    """In how many fields two protocols differ."""
    return sum(getattr(a, f.name) != getattr(b, f.name) for f in fields(a))


def test_the_paper_protocol_is_what_the_paper_and_its_code_say():
    paper = PROTOCOLS["paper"]
    assert (paper.flip, paper.shift, paper.filter, paper.offset) == (True, 0, True, "second")
    assert (paper.nms, paper.box_score) == (False, True)


@pytest.mark.parametrize("name", ["no-flip", "no-filter", "paper+nms", "paper-no-box-score"])
def test_the_others_differ_from_the_paper_in_one_thing(name):
    assert differ(PROTOCOLS["paper"], PROTOCOLS[name]) == 1


def test_no_protocol_is_there_twice():
    assert len(set(PROTOCOLS.values())) == len(PROTOCOLS)


def test_each_step_to_the_other_test_changes_one_thing():
    names = ["paper", *(name for _, name in STEPS)]
    assert names[-1] == "shift-1"
    assert [differ(PROTOCOLS[a], PROTOCOLS[b]) for a, b in pairwise(names)] == [1] * len(STEPS)


def test_mpii_has_neither_scores_nor_duplicates():
    assert set(PROTOCOLS) - set(protocols_for("mpii")) == {"paper+nms", "paper-no-box-score"}
    assert set(protocols_for("coco")) == set(PROTOCOLS)
