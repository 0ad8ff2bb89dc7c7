"""What a profile says of trainings, and whether a micro-batch fits a GPU: known without one."""

import pytest

from mspn.cluster import gpu_memory
from mspn.cluster.gpu_memory import check_training, training_bytes
from mspn.experiment.load import load_experiment

OFF = {"compile": "off", "gradient_checkpointing": False, "store_on_device": False}


@pytest.fixture(scope="module")
def paper():
    return load_experiment("paper")


def problems(check):
    return [finding.problem for finding in check.findings]


def test_the_largest_network_at_the_larger_input_fits_80_gb_as_batch_norm_groups_it(paper):
    run = max(
        (r for r in paper.trained if r.network.startswith("mspn")),
        key=lambda r: (paper.input_size(r), r.network),
    )
    assert (run.network, paper.input_size(run)) == ("mspn-4", (384, 288))
    fixed, kept = training_bytes(paper, run, 32)
    assert fixed == pytest.approx(16 * 120e6, rel=0.05)
    assert 15e9 < kept < 0.9 * 80e9 - fixed
    assert training_bytes(paper, run, 64) == (fixed, pytest.approx(2 * kept, rel=0.01))


def test_options_that_do_not_go_together_are_found_before_any_job(paper):
    (said,) = problems(check_training(paper, 1, {**OFF, "compile": "cuda-graphs"}))
    assert "cuda-graphs with 8 micro-batches a step" in said
    (said,) = problems(check_training(paper, 8, {**OFF, "compile": "on", "gradient_checkpointing": True}))
    assert "--compile with --gradient-checkpointing" in said
    (said,) = problems(check_training(paper, 3, OFF))
    assert "which 3 processes cannot share" in said


def test_what_does_not_fit_a_gpu_is_found_before_any_job(paper, monkeypatch):
    monkeypatch.setattr(gpu_memory, "training_bytes", lambda *arguments: (2 * 10**9, 20 * 10**9))
    check = check_training(paper, 8, OFF, memory=80e9)
    assert problems(check) == [] and "take about 22.0 GB (20.0 of activations)" in check.facts[1]
    (said,) = problems(check_training(paper, 8, OFF, memory=24e9))
    assert "at once take about 22.0 GB" in said
    (said,) = problems(check_training(paper, 8, {**OFF, "store_on_device": True}, memory=80e9))
    assert "the crops of a training take up to about 150 GB, more than 50% of a GPU's 80 GB" in said
