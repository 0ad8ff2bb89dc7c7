"""The search for recipes, and the bench that is trained with what it found."""

import statistics

import pytest
import torch

from mspn.commands.cli import main
from mspn.data.skeletons import skeleton
from mspn.errors import UserError
from mspn.experiment.config import parse_size
from mspn.experiment.experiment import Experiment
from mspn.experiment.load import load_experiment
from mspn.experiment.networks import family, network_spec
from mspn.experiment.tuning import best_rates, search_table
from mspn.networks.build import construct
from mspn.networks.macs import count_by_formula
from tests import report_tree

SEARCH = """
lr: {mspn: 3.0e-2}
runs: [mspn-1, mspn-2, hourglass-1]
evaluate_on: [gt]
search: [{lr: 1.0e-2}, {lr: 2.0e-2}, {iterations: 50, precision: bf16}]
"""


def searching(monkeypatch, tmp_path) -> Experiment:
    """A made-up scale that searches, without results, in the working directory."""
    monkeypatch.chdir(report_tree.make_root(tmp_path, "own", seeds=(0,)))
    with (tmp_path / "workflow/config/scales/own.yaml").open("a") as file:
        file.write(SEARCH)
    return load_experiment("own")


def test_every_run_is_trained_once_with_every_candidate(monkeypatch, tmp_path):
    experiment = searching(monkeypatch, tmp_path)
    assert list(experiment.grid)[:4] == [
        "mspn-1-lr-0.01", "mspn-1-lr-0.02", "mspn-1-iterations-50-precision-bf16", "mspn-2-lr-0.01",
    ]  # fmt: skip
    assert len(experiment.trainings()) == len(experiment.evaluations()) == 9
    recipe = experiment.recipe(experiment.run("mspn-2-lr-0.02"))
    assert (recipe.lr, recipe.iterations, recipe.precision) == (0.02, 100, "fp32")
    recipe = experiment.recipe(experiment.run("mspn-2-iterations-50-precision-bf16"))
    assert (recipe.lr, recipe.iterations, recipe.precision) == (0.03, 50, "bf16")
    recipe = experiment.recipe(experiment.run("hourglass-1-iterations-50-precision-bf16"))
    assert recipe.lr == 0.05  # the recipe's own: the family has none


def test_the_table_tells_what_came_of_each_candidate(monkeypatch, tmp_path, capsys):
    experiment = searching(monkeypatch, tmp_path)
    with pytest.raises(UserError, match=r"mspn-1-lr-0\.01.*not there"):
        search_table(experiment)
    report_tree.fill("own", quality={"mspn-1-lr-0.02": 60, "mspn-2-lr-0.02": 62, "hourglass-1-lr-0.01": 75,
                                     "mspn-2-iterations-50-precision-bf16": 90})  # fmt: skip
    assert main(["tune", "--scale", "own", "--out", "search.csv"]) == 0
    assert "best: hourglass 0.01, mspn 0.01" in capsys.readouterr().out
    table = search_table(experiment)
    assert len(table) == 9 and set(table.family) == {"mspn", "hourglass"}
    assert (table.low < table.AP).all() and (table.high > table.AP).all()
    assert (tmp_path / "search.csv").read_text().count("\n") == 10
    row = table.query("network == 'mspn-2' and iterations == 50").iloc[0]
    assert (row.precision, row.train_s) == ("bf16", 12.5)
    assert table.AP.max() == row.AP
    assert best_rates(table)["mspn"] == 0.01  # the short one of highest AP is not compared with the others


def test_a_scale_without_a_search_is_refused(capsys):
    assert main(["tune", "--scale", "demo"]) == 2
    assert "no `search:`" in capsys.readouterr().err


def test_bench_lite_searches_on_data_that_nothing_else_uses():
    lite, search = load_experiment("bench-lite"), load_experiment("bench-lite-search")
    assert lite.data_identity("coco")["seed"] != search.data_identity("coco")["seed"]
    families = {family(run.network) for run in lite.trained}
    assert families == {family(run.network) for run in search.trained}
    tried = [{run.changes for run in search.trained if family(run.network) == name} for name in families]
    assert tried[0] == tried[1]  # the same effort for each
    recipes = [lite.recipe(run) for run in lite.trained]
    assert len({(recipe.batch, recipe.iterations) for recipe in recipes}) == 1  # equal budgets


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
