"""Named protocols, and the single steps from one to another."""

from dataclasses import fields

import pytest

from mspn.errors import UserError
from mspn.evaluation.protocols import PROTOCOLS, path, protocol, protocols_for


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


@pytest.mark.parametrize("end", list(PROTOCOLS))
def test_every_protocol_is_reached_from_the_paper_through_named_ones(end):
    assert [name for _, name in path("paper", end)][-1:] == ([end] if end != "paper" else [])


def test_what_cannot_be_split_says_so():
    with pytest.raises(UserError, match="no named protocol lies between"):
        path("paper+nms", "no-flip")
    with pytest.raises(UserError, match="unknown protocol 'papper'; there are: paper"):
        protocol("papper")


def test_mpii_has_neither_scores_nor_duplicates():
    assert set(PROTOCOLS) - set(protocols_for("mpii")) == {"paper+nms", "paper-no-box-score"}
    assert set(protocols_for("coco")) == set(PROTOCOLS)
