"""The search for recipes, and the bench that is trained with what it found."""

import json
import statistics

import pytest
import torch

from mspn.commands.cli import main
from mspn.data.skeletons import skeleton
from mspn.experiment.config import parse_size
from mspn.experiment.experiment import Experiment
from mspn.experiment.load import load_experiment
from mspn.experiment.networks import network_spec
from mspn.experiment.tuning import round_evaluations, round_file, search_table, searched
from mspn.networks.build import construct
from mspn.networks.macs import count_by_formula
from mspn.training.schedule import learning_rate
from tests import report_tree

SEARCH = """
tuned: {mspn: {lr: 3.0e-2}, mspn-2: {head_scale: 5}}
runs: [mspn-1, mspn-2, hourglass-1]
evaluate_on: [gt]
search:
  candidates: [{lr: 1.0e-2}, {lr: 2.0e-2}, {precision: bf16, lr: 4.0e-2}]
  rounds: [{iterations: 20, keep: 2}, {iterations: 100, keep: 1}]
"""


def searching(monkeypatch, tmp_path) -> Experiment:
    """A made-up scale that searches, without results, in the working directory."""
    monkeypatch.chdir(report_tree.make_root(tmp_path, "own", seeds=(0,), more=SEARCH))
    return load_experiment("own")


def test_every_run_has_every_candidate_in_every_round(monkeypatch, tmp_path):
    experiment = searching(monkeypatch, tmp_path)
    assert list(experiment.grid)[:4] == [
        "mspn-1-lr-0.01-320", "mspn-1-lr-0.01-2k", "mspn-1-lr-0.02-320", "mspn-1-lr-0.02-2k",
    ]  # fmt: skip
    assert len(experiment.trainings()) == len(experiment.evaluations()) == 18
    recipe = experiment.recipe(experiment.run("mspn-2-lr-0.02-320"))
    assert (recipe.lr, recipe.iterations, recipe.precision, recipe.head_scale) == (0.02, 20, "fp32", 5)
    assert searched(experiment) == ["mspn-1", "mspn-2", "hourglass-1"]


def test_the_better_half_goes_on(monkeypatch, tmp_path, capsys):
    experiment = searching(monkeypatch, tmp_path)
    decide = ["tune", "--scale", "own", "--run", "mspn-1"]
    assert main(decide) == 2
    assert "mspn-1-lr-0.01-320/seed-0/gt/metrics.json: not there" in capsys.readouterr().err
    good = {"mspn-1-lr-0.02-320": 60.0, "mspn-1-lr-0.04-precision-bf16-320": 50, "mspn-1-lr-0.01-320": 40,
            "mspn-1-lr-0.04-precision-bf16-2k": 70, "mspn-1-lr-0.02-2k": 65}  # fmt: skip
    report_tree.fill("own", quality=good)
    assert main([*decide, "--out", str(round_file(experiment, "mspn-1", 1))]) == 0
    outcome = json.loads(round_file(experiment, "mspn-1", 1).read_text())
    assert outcome["kept"] == ["lr 0.02", "lr 0.04, precision bf16"]
    second = round_evaluations(experiment, "mspn-1", 2, lambda row, number: outcome["kept"])
    assert [run.run for run, _, _ in second] == ["mspn-1-lr-0.02-2k", "mspn-1-lr-0.04-precision-bf16-2k"]
    for row in searched(experiment):
        for number in (1, 2):
            path = round_file(experiment, row, number)
            assert (
                main(["tune", "--scale", "own", "--run", row, "--round", str(number), "--out", str(path)])
                == 0
            )
    assert main(["tune", "--scale", "own", "--out", "search.csv"]) == 0
    assert "mspn-1 lr 0.04, precision bf16" in capsys.readouterr().out
    table = search_table(experiment)
    assert len(table) == 3 * (3 + 2) and sum(row["best"] for row in table) == 3
    assert all(row["low"] < row["AP"] < row["high"] and row["train_s"] == 12.5 for row in table)
    assert (tmp_path / "search.csv").read_text().count("\n") == 16


def test_partial_budgets_are_runs_that_share_a_trunk():
    experiment = load_experiment("bench")
    whole, half = experiment.run("mspn-2"), experiment.run("mspn-2-35k")
    assert (half.row, half.changes, half.detectors) == ("mspn-2", (("iterations", 1100),), ("det-49.4",))
    assert experiment.training_id(whole, 0) != experiment.training_id(half, 0)
    assert experiment.trunk_id(whole, 0) == experiment.trunk_id(half, 0)
    assert experiment.trunks()[experiment.trunk_id(whole, 0)][2] == [440, 880, 1760]
    assert len(experiment.trainings()) == 3 * len(experiment.trunks())


def test_a_scale_without_a_search_is_refused(capsys):
    assert main(["tune", "--scale", "demo"]) == 2
    assert "no `search:`" in capsys.readouterr().err


def test_the_bench_searches_on_data_and_seeds_that_nothing_else_uses():
    bench, search = load_experiment("bench"), load_experiment("bench-search")
    assert bench.data_identity("coco", "train")["seed"] != search.data_identity("coco", "train")["seed"]
    assert not set(bench.scale.seeds) & set(search.scale.seeds)
    rows = searched(search)
    tried = [sorted(run.changes for run in search.trained if run.row == row) for row in rows]
    assert all(changes == tried[0] for changes in tried)  # the same effort for each
    recipes = [bench.recipe(run) for run in bench.trained if not run.row]
    assert len({(recipe.batch, recipe.iterations) for recipe in recipes}) == 1  # equal budgets


@pytest.mark.parametrize("scale", ["bench", "bench-search"])
def test_no_trunk_reaches_the_cool_down_of_the_run_that_trains_it(scale):
    """Two rounds of a search once had a trunk go on by the shorter round's schedule, at rates below 0."""
    experiment = load_experiment(scale)
    for run, _, steps in experiment.trunks().values():
        recipe = experiment.recipe(run)
        assert steps[-1] == recipe.cooldown_start
        rates = [learning_rate(recipe, step) for step in range(recipe.warmup_iterations, steps[-1])]
        assert set(rates) == {recipe.lr}


@pytest.mark.slow
def test_narrow_networks_keep_the_proportions_of_their_flops():
    """The bench's networks cost, relative to each other, what the full ones do, within 15 %."""
    experiment = load_experiment("bench")
    shares = {}
    for run in experiment.trained:
        constructor, keywords = network_spec(run.network)
        joints = len(skeleton(run.joint_set).joints)
        counts = []
        for width, size in (
            (1.0, parse_size(run.input)),
            (experiment.scale.width, experiment.input_size(run)),
        ):
            with torch.device("meta"):
                more = {"joints": joints, "scales": 4, "width": width}
                network = construct(constructor, {**keywords, **more}).eval()
                counts.append(count_by_formula(network, torch.zeros(1, 3, *size))[0])
        shares[run.run] = counts[1] / counts[0]
    middle = statistics.median(shares.values())
    assert {name for name, share in shares.items() if abs(share / middle - 1) > 0.15} == set()
