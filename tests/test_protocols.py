"""Named protocols and how a gap between two of them is split."""

from dataclasses import fields

import pytest

from mspn.errors import UserError
from mspn.evaluation.protocols import PROTOCOLS, path, protocol, protocols_for, split_gap


def test_the_paper_protocol_is_what_the_paper_and_its_code_say():
    paper = protocol("paper")
    assert (paper.flip, paper.shift, paper.filter, paper.offset) == (True, 0, True, "second")
    assert (paper.nms, paper.box_score) == (False, True)


@pytest.mark.parametrize("name", ["no-flip", "no-filter", "paper+nms", "paper-no-box-score"])
def test_the_others_differ_from_the_paper_in_one_thing(name):
    paper, other = protocol("paper"), protocol(name)
    assert sum(getattr(paper, f.name) != getattr(other, f.name) for f in fields(paper)) == 1


def test_no_protocol_is_there_twice():
    assert len(set(PROTOCOLS.values())) == len(PROTOCOLS)


def test_a_gap_splits_into_single_steps_that_sum_to_it():
    values = {"paper": 70.0, "paper+shift": 70.6, "paper+shift-no-filter": 69.9, "shift-1": 70.2}
    rows = split_gap(values, "paper", "shift-1")
    assert [row["protocol"] for row in rows] == list(values)
    changes = [float(row["change"]) for row in rows]
    assert changes == pytest.approx([0, 0.6, -0.7, 0.3]) and sum(changes) == pytest.approx(0.2)
    assert rows[2]["step"] == "no Gaussian filter"
    assert split_gap({"paper": 1.0}, "paper", "paper") == [
        {"step": "paper", "protocol": "paper", "value": 1.0, "change": 0.0}
    ]


@pytest.mark.parametrize("end", list(PROTOCOLS))
def test_every_protocol_is_reached_from_the_paper_through_named_ones(end):
    assert [name for _, name in path("paper", end)][-1:] == ([end] if end != "paper" else [])


def test_what_cannot_be_split_says_so():
    with pytest.raises(UserError, match="no named protocol lies between"):
        path("paper+nms", "no-flip")
    with pytest.raises(UserError, match=r"no figure for protocol paper\+shift"):
        split_gap({"paper": 1.0, "shift-1": 2.0}, "paper", "shift-1")
    with pytest.raises(UserError, match="unknown protocol 'papper'; there are: paper"):
        protocol("papper")


def test_mpii_has_neither_scores_nor_duplicates():
    assert set(PROTOCOLS) - set(protocols_for("mpii")) == {"paper+nms", "paper-no-box-score"}
    assert set(protocols_for("coco")) == set(PROTOCOLS)
