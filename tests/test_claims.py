"""The claims: true of the paper's own figures, and judged by the stated rules on what was measured."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mspn.errors import UserError
from mspn.experiment.grid import load_grid
from mspn.experiment.load import load_experiment
from mspn.experiment.paper import load_figures
from mspn.experiment.provenance import commit_of
from mspn.report.budgets import budgets, last_doubling
from mspn.report.claim_parts import CLAIMS, DET, Ask, contrast_of
from mspn.report.claims import VERDICTS, StatementResult, evaluate, paper_ask
from mspn.report.claims_view import write_claims
from mspn.report.draws import Draws
from mspn.report.noise import Spread, additive_residuals, spread
from mspn.report.planned import deviations
from mspn.report.results import Results, collect, is_partial
from mspn.report.rules import RULES, load_rules
from mspn.report.verdicts import evidence, holm, interval
from tests import report_tree

STATEMENTS = {claim.name(s): s for claim in CLAIMS for s in claim.statements}


def judge(name: str, **fill) -> dict[str, StatementResult]:
    """Every statement of a scale by its name."""
    results = collect(load_experiment(name))
    found = evaluate(results, load_figures(), Draws(results), **fill)
    return {s.name: s for claim in found for s in claim.statements}


# ---- what the claims state ----


def test_the_papers_own_figures_bear_each_statement_out():
    """And each claim's sizes, as its text states them, come out of its statements."""
    figures, sizes = load_figures(), {}
    for name, statement in STATEMENTS.items():
        try:
            sizes[name] = round(contrast_of(statement, paper_ask(figures, statement.split)), 3)
        except KeyError:
            assert name in ("9a",), name  # no figure on one split for both
    assert (sizes["2a"], sizes["2b"], sizes["2c"]) == (0.3, 1.4, 1.1)
    assert (sizes["3a"], sizes["3b"]) == (2.8, 5.8)
    assert [sizes[n] for n in ("6a", "6b", "6c", "6d", "6e")] == [0.9, 1.2, 0.3, 0.5, 0.2]
    assert [sizes[n] for n in ("7a", "7b", "8a", "8b", "9b", "9c")] == [0.3, 0.2, 0.5, 0.6, 1.0, 1.0]
    # 73.1 above the line from 71.5 at 4.4 to 73.6 at 11.2 GFLOPs; and 1.4 per 10.3 GFLOPs up from 74.5.
    assert sizes["1a"] == pytest.approx(73.1 - (71.5 + 2.1 * 3.1 / 6.8), abs=1e-3)
    assert sizes["4b"] == pytest.approx(74.5 + 1.4 * 1.0 / 10.3 - 71.3, abs=1e-3)
    assert all(size > 0 for name, size in sizes.items() if STATEMENTS[name].kind == "gain" and name != "10a")


def test_the_plans_name_runs_of_the_grid():
    grid = load_grid()
    assert all(set(plan.runs) <= set(grid) for plan in load_rules().plans.values())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("level: 0.95", "level: 95", "level: Input should be less than 1"),
        ("  small: 0.10", "  tiny: 0.10", "margins"),
        ("looks: [2, 3]", "looks: [1, 3]", "plans.lsp.looks: .*the first look needs 2 seeds"),
        ("looks: [2, 3]", "looks: [3, 2]", "must be positive and rising"),
        ("draws:", "drows:", "drows: Extra inputs"),
    ],
)
def test_wrong_rules_are_named(tmp_path, old, new, message):
    text = Path("workflow/config/claims.yaml").read_text()
    assert old in text
    path = tmp_path / "claims.yaml"
    path.write_text(text.replace(old, new))
    with pytest.raises(UserError, match=message):
        load_rules(path)


# ---- the rules, on draws ----

NORMAL = np.random.default_rng(0).normal(size=20_000)


@pytest.mark.parametrize(
    ("kind", "value", "deviation", "verdict"),
    [
        ("gain", 0.3, 0.1, "supported"),
        ("gain", 0.1, 0.1, "undecided"),
        ("gain", -0.25, 0.1, "undecided"),  # below 0 for sure, but not beyond the margin
        ("gain", -1.3, 0.1, "contradicted"),
        ("matches", -0.7, 0.1, "supported"),
        ("matches", -1.1, 0.1, "undecided"),
        ("matches", -1.3, 0.1, "contradicted"),
        ("saturates", 0.7, 0.1, "supported"),
        ("saturates", -9.0, 0.1, "supported"),  # falling is saturated, too
        ("saturates", 1.3, 0.1, "contradicted"),
        ("small", 0.7, 0.1, "supported"),
        ("small", -9.0, 0.1, "contradicted"),
        ("small", 0.0, 3.0, "undecided"),  # far too noisy to be small; that contradicts nothing
    ],
)
def test_each_verdict_by_its_rule(kind, value, deviation, verdict):
    """With a margin of 1 at the level of 95 %; the interval says the same as the evidence."""
    draws = value + deviation * NORMAL
    supported, contradicted = evidence(kind, draws, 1.0)
    low, high = interval(draws, 0.05)
    inside = {"gain": low > 0, "matches": low > -1, "saturates": high < 1, "small": low > -1 and high < 1}[
        kind
    ]
    wrong = {"gain": high < -1, "matches": high < -1, "saturates": low > 1, "small": low > 1 or high < -1}[
        kind
    ]
    found = "supported" if supported <= 0.05 else "contradicted" if contradicted <= 0.05 else "undecided"
    assert found == verdict == ("supported" if inside else "contradicted" if wrong else "undecided")


def test_holms_levels_by_hand():
    """0.05 over 4 planned, of which 3 are measured: 0.0125, 0.0167, then 0.025 where it fails."""
    levels = holm(np.array([0.02, 0.001, 0.03]), 0.05, 4)
    np.testing.assert_allclose(levels, [0.05 / 3, 0.05 / 4, 0.05 / 3])
    levels = holm(np.array([0.016, 0.001, 0.03]), 0.05, 4)
    np.testing.assert_allclose(levels, [0.05 / 3, 0.05 / 4, 0.05 / 2])
    np.testing.assert_allclose(holm(np.array([[0.5], [0.001]]), 0.05, 1), [[0.05], [0.05]])


# ---- noise ----


def test_the_images_noise_is_taken_out_of_the_seeds_spread():
    """For two seeds of two runs: s2 of their interaction, less what the replicates' is."""
    rng = np.random.default_rng(0)
    values = {("a", 0): 10.0, ("a", 1): 12.0, ("b", 0): 20.0, ("b", 1): 21.0}
    many = {key: value + rng.normal(0, 0.3, 5000) for key, value in values.items()}
    found = spread([{key: (values[key], many[key]) for key in values}])
    gaps = [many[name, 1] - many[name, 0] for name in "ab"]
    assert found.freedom == 1  # a seed is a block: what both runs share is not the noise of a training
    assert found.variance == pytest.approx(((12 - 10) - (21 - 20)) ** 2 / 4)
    assert found.images == pytest.approx(np.var(gaps[0] - gaps[1], ddof=1) / 4)
    assert found.population == pytest.approx((found.variance - found.images) ** 0.5)
    assert Spread(0.01, 0.02, 5).population == 0


def test_draws_of_nobody_are_left_out_of_the_noise():
    """With a handful of images some draws hold no person; their AP is NaN."""
    rng = np.random.default_rng(0)
    table = {(run, seed): (rng.normal(50), rng.normal(50, 0.1, 4000)) for run in "ab" for seed in (0, 1)}
    holes = {
        key: (value, np.where(np.arange(4000) % 9, many, np.nan)) for key, (value, many) in table.items()
    }
    assert spread([holes]).images == pytest.approx(spread([table]).images, rel=0.1)


def test_degrees_of_freedom_of_unequal_seeds():
    keys = [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1), ("c", 0), ("c", 3), ("d", 1)]
    projection, freedom = additive_residuals(keys)
    # 8 APs less 4 runs and 4 seeds, plus one: runs and seeds share the mean.
    assert freedom == 8 - (4 + 4 - 1)
    constant = np.array([5.0 * (run == "a") + 2.0 * seed for run, seed in keys])
    np.testing.assert_allclose(projection @ constant, 0, atol=1e-9)


def test_each_training_counts_once(monkeypatch):
    """Neither detectors nor the ensemble add degrees of freedom: 27 trained runs, two seeds, one block."""
    monkeypatch.chdir(report_tree.shared("madeup", (0, 1)))
    draws = Draws(collect(load_experiment("madeup")))
    runs = [run for run in draws.results.experiment.trained if run.joint_set == "coco"]
    assert draws.spread.freedom == len(runs) - 1
    assert draws.spread_of_boxes.freedom == 3 * (3 - 1)


def test_draws_are_paired_over_images_and_share_the_training(monkeypatch):
    monkeypatch.chdir(report_tree.shared("madeup", (0, 1)))
    draws = Draws(collect(load_experiment("madeup")))
    a, b = ({(run, DET): 1.0} for run in ("mspn-3", "mspn-4"))
    apart = [draws.images(weights, (0, 1)) for weights in (a, b)]
    assert np.corrcoef(apart[0], apart[1])[0, 1] > 0.5  # the same images drawn for both
    drawn = draws.draw("mspn-4", DET) - draws.draw("mspn-3", DET)
    paired = draws.contrast({("mspn-4", DET): 1.0, ("mspn-3", DET): -1.0}, (0, 1)).population
    assert paired is not None
    np.testing.assert_allclose(drawn, paired)
    swap = {("mspn-4", "gt"): 1.0, ("mspn-4", DET): -1.0}
    both = draws.contrast(swap, (0, 1))
    runs = draws.contrast({("mspn-4", DET): 1.0, ("mspn-3", DET): -1.0}, (0, 1))
    assert both.here is not None and runs.here is not None and both.here.std() < runs.here.std()
    ensemble = {("mspn-4-384x288-ensemble", DET): 1.0, ("mspn-4-384x288-ext", DET): -1.0}
    noise = draws._training_noise(ensemble, here=True).std() / draws.spread.here
    assert noise == pytest.approx(0.5**0.5, rel=0.15)  # half of each member against the one: not 1 + 1


def test_kept_replicates_are_used_and_a_damaged_one_is_made_again(monkeypatch, tmp_path):
    monkeypatch.chdir(report_tree.make_root(tmp_path, "madeup", (0,)))
    experiment = report_tree.fill("madeup", runs=("mspn-2",))
    weights = {("mspn-2", "gt"): 1.0}
    first = Draws(collect(experiment)).images(weights, (0,))
    (kept,) = (experiment.results / "replicates").glob("*.f8")
    whole = kept.read_bytes()
    for damaged in (whole[:50], whole[:99] + bytes([whole[99] ^ 1]) + whole[100:]):
        kept.write_bytes(damaged)
        np.testing.assert_array_equal(Draws(collect(experiment)).images(weights, (0,)), first)
        assert kept.read_bytes() == whole
    numbers = (first + 1).tobytes()
    kept.write_bytes(hashlib.sha256(numbers).digest() + numbers)
    np.testing.assert_array_equal(Draws(collect(experiment)).images(weights, (0,)), first + 1)


# ---- statements on results ----


def test_statements_of_a_whole_tree(monkeypatch):
    """The made-up tree follows the paper's APs: what the paper claims clearly is supported in it."""
    monkeypatch.chdir(report_tree.shared("madeup", (0, 1)))
    found = judge("madeup")
    assert list(found) == list(STATEMENTS) and all(s.verdict in VERDICTS for s in found.values())
    assert all(found[name].verdict == "supported" for name in ("2b", "3a", "3b", "4b", "5b", "5d", "8a"))
    assert found["10a"].verdict == "not checkable here" and "server" in found["10a"].reason
    assert found["3a"].reason.startswith("convergence not measured")
    for s in found.values():
        if s.low is not None and s.high is not None and s.ours is not None:
            assert s.low < s.ours < s.high and s.level is not None and s.level >= 0.95


def test_a_line_is_drawn_over_the_flops_of_what_was_trained(monkeypatch):
    """And the statements of FLOPs themselves are of the full-size networks, whatever was trained."""
    monkeypatch.chdir(report_tree.shared("madeup", (0, 1)))
    results = collect(load_experiment("madeup"))
    costs = {"mspn-1": 1.0, "resnet-101": 2.0, "resnet-152": 5.0, "hourglass-2-wide": 0.1, "mspn-2": 9.0}
    trained = {run: {"gflops_paper_convention": cost} for run, cost in costs.items()}
    draws = Draws(replace(results, trained=trained))
    found = {s.name: s for claim in evaluate(draws.results, load_figures(), draws) for s in claim.statements}
    one, point, other = (draws.mean(run, DET) for run in ("mspn-1", "resnet-101", "resnet-152"))
    assert found["1a"].ours == pytest.approx(point - (0.75 * one + 0.25 * other))
    assert found["1b"].verdict == "not run" and "resnet-254 (GFLOPs as trained)" in found["1b"].reason
    (saved,) = [s for s in found.values() if s.statement.words == "FLOPs saved"]
    assert saved.ours == pytest.approx(contrast_of(saved.statement, paper_ask(load_figures(), "")), abs=0.01)


def test_what_cannot_be_judged_says_why(monkeypatch, tmp_path):
    monkeypatch.chdir(report_tree.make_root(tmp_path, "madeup", (0, 1)))
    report_tree.fill("madeup", runs=("mspn-2", "mspn-4"), quality={"mspn-2": 22.0})
    found = judge("madeup", ceiling=80.0)
    assert found["3a"].verdict == "not run" and "hourglass-2-wide (det-49.4)" in found["3a"].reason
    assert found["2b"].verdict == "below the floor" and "the floor is 8.0" in found["2b"].reason
    assert found["2b"].low is None


def test_without_two_trainings_to_compare_the_noise_is_unknown(monkeypatch, tmp_path):
    """An ensemble and one of its members: the ensemble is no training of its own."""
    monkeypatch.chdir(report_tree.make_root(tmp_path, "madeup", (0, 1)))
    report_tree.fill("madeup", runs=("mspn-4-384x288-ext", "mspn-4-384x288-ensemble"))
    found = judge("madeup")["9c"]
    assert found.verdict == "undecided" and "noise of training is unknown" in found.reason


def test_the_files_have_a_row_for_each_statement(monkeypatch, tmp_path):
    monkeypatch.chdir(report_tree.shared("madeup", (0, 1)))
    results = collect(load_experiment("madeup"))
    claims = evaluate(results, load_figures(), Draws(results))
    write_claims(claims, tmp_path)
    text = (tmp_path / "claims.csv").read_text()
    rows = pd.read_csv(tmp_path / "claims.csv").set_index("statement")
    assert list(rows.index) == list(STATEMENTS) and text.replace("×", "").replace("–", "").isascii()
    gain = claims[2].statements[0]
    assert rows.loc["3a", "low"] == gain.low and rows.loc["3a", "verdict"] == gain.verdict
    assert rows.loc["3a", "seeds"] == "0 1" and rows.low.isna()["3b"]
    record = json.loads((tmp_path / "claims.json").read_text())[9]
    assert record["summary"] == "1 not checkable here"


def test_the_rules_commit_is_told():
    found = commit_of(RULES)
    assert re.fullmatch("[0-9a-f]{40}", found["commit"]) and re.fullmatch(r"\d{4}-\d\d-\d\d", found["date"])
    assert commit_of(Path("/dev/null")) == {"commit": None, "date": None, "dirty": None}


def test_a_single_seed_is_about_these_weights(monkeypatch):
    monkeypatch.chdir(report_tree.shared("paper", (0,)))
    found = judge("paper")
    assert {s.verdict for s in found.values() if not s.statement.exact and not s.statement.hidden} == {
        "about these weights"
    }
    assert "single seed of mspn-2, hourglass-2-wide" in found["3a"].reason


def test_of_unequal_seeds_those_in_common_count(monkeypatch):
    """The figure is of the same seeds as its interval, and the trend's last point is the figure."""
    monkeypatch.chdir(report_tree.shared("madeup", (0, 1)))
    results = with_budgets("madeup", {run: {0.5: 60.0} for run in ("mspn-2", "mspn-4")})
    lacking = results.metrics.run.str.startswith("mspn-4") & (results.metrics.seed == 1)
    results = replace(results, metrics=results.metrics[~lacking])
    draws = Draws(results)
    found = {s.name: s for claim in evaluate(results, load_figures(), draws) for s in claim.statements}["2b"]
    first = {run: draws.by_seed(run, DET)[0] for run in ("mspn-2", "mspn-4")}
    assert found.verdict == "about these weights" and found.seeds == (0,)
    assert found.ours == pytest.approx(first["mspn-4"] - first["mspn-2"])
    assert found.ours != pytest.approx(first["mspn-4"] - draws.mean("mspn-2", DET))
    assert found.trend == ((800, pytest.approx(0)), (1600, pytest.approx(found.ours)))


def with_plan(draws: Draws, **changes) -> Draws:
    """The same draws by rules that have a plan of the tree: its own runs and budget, but for ``changes``."""
    own = draws.rules.plan(draws.results.experiment)
    plan = own.model_copy(update={"samples": [400, 800, 1600], **changes})
    return Draws(draws.results, draws.rules.model_copy(update={"plans": {"madeup": plan}}))


def test_looks_share_the_error(monkeypatch):
    monkeypatch.chdir(report_tree.shared("madeup", (0, 1)))
    draws, at = Draws(collect(load_experiment("madeup"))), {}
    for looks in ((2,), (2, 4), (3, 4)):
        found = evaluate(draws.results, load_figures(), with_plan(draws, looks=list(looks)))
        at[looks] = found[2].statements[0]
    assert at[2,].seeds == at[2, 4].seeds == (0, 1)
    assert at[2,].level == pytest.approx(0.95) and at[2, 4].level == pytest.approx(0.975)
    assert at[3, 4].verdict == "undecided" and at[3, 4].reason == "2 seeds; the first look is at 3"
    plan = load_rules().plans["bench"].model_copy(update={"looks": [2, 5]})
    assert [plan.look(n) for n in (1, 2, 4, 5, 9)] == [0, 2, 2, 5, 5]


def test_what_is_not_as_planned_is_told(monkeypatch):
    monkeypatch.chdir(report_tree.shared("madeup", (0, 1)))
    draws = Draws(collect(load_experiment("madeup")))
    date, no_plan = deviations(draws)  # the tree's trainings say 2024
    trainings = len(draws.results.trainings)
    assert date.startswith(f"{trainings} of {trainings} trainings began before") and "no plan" in no_plan
    runs = [run for run in draws.results.experiment.grid if run != "mspn-4-mpii"]
    assert len(deviations(with_plan(draws, runs=runs))) == 1
    odd = with_plan(draws, runs=[*runs, "resnet-999"], samples=[800], looks=[3])
    _, lacking, budgets, seeds = deviations(odd)
    assert lacking == "Planned and not evaluated: resnet-999."
    assert budgets.startswith("Trained on other than the 800 samples") and "mspn-2 1,600" in budgets
    assert seeds.startswith("Looks were planned at 3 seeds") and "mspn-2 (2)" in seeds


# ---- budgets ----


def with_budgets(name: str, aps: dict[str, dict[float, float]]) -> Results:
    """The tree's results with partial budgets: run -> share of its budget -> AP of both seeds."""
    results = collect(load_experiment(name))
    grid, frames = dict(results.experiment.grid), [results.metrics]
    for run, by_share in aps.items():
        for share, ap in by_share.items():
            iterations = int(share * results.experiment.recipe(grid[run]).iterations)
            changes = (("iterations", iterations),)
            partial = replace(grid[run], run=f"{run}-{share:g}", row=run, changes=changes)
            grid[partial.run] = partial
            rows = results.metrics[(results.metrics.run == run) & (results.metrics.metric == "AP")]
            frames.append(rows.assign(run=partial.run, value=ap))
    experiment = replace(results.experiment, grid=grid)
    return replace(results, experiment=experiment, metrics=pd.concat(frames))


def test_budgets_are_found_among_the_runs(monkeypatch):
    monkeypatch.chdir(report_tree.shared("madeup", (0, 1)))
    results = with_budgets("madeup", {"mspn-2": {0.25: 60.0, 0.5: 66.0}})
    grid = results.experiment.grid
    assert budgets(results, grid["mspn-2"]) == {400: "mspn-2-0.25", 800: "mspn-2-0.5", 1600: "mspn-2"}
    assert budgets(results, grid["mspn-2-0.5"]) == budgets(results, grid["mspn-2"])
    assert budgets(results, grid["mspn-4"]) == {1600: "mspn-4"}
    assert budgets(results, grid["mspn-4-384x288-ensemble"]) == {}
    assert is_partial(grid["mspn-2-0.5"]) and not is_partial(grid["mspn-2"])
    ap: Ask = {"mspn-2-0.25": 60.0, "mspn-2-0.5": 66.0, "mspn-2": 67.5}.get  # type: ignore[assignment]
    assert last_doubling(results, grid["mspn-2"], ap) == 1.5  # type: ignore[arg-type]
    quarter = {"mspn-2-0.25": 60.0, "mspn-2": 67.5}.get
    assert last_doubling(results, grid["mspn-2"], quarter) == 3.75  # 7.5 over two doublings
    assert last_doubling(results, grid["mspn-4"], {"mspn-4": 60.0}.get) is None


def test_a_contrast_counts_where_both_runs_have_converged(monkeypatch):
    monkeypatch.chdir(report_tree.shared("madeup", (0, 1)))
    means = {run: judge_mean(run) for run in ("mspn-2", "mspn-4", "hourglass-2-wide")}
    flat = {run: {0.25: ap - 3, 0.5: ap - 0.2} for run, ap in means.items()}
    steep = {**flat, "mspn-4": {0.25: means["mspn-4"] - 9, 0.5: means["mspn-4"] - 4}}
    plain, rising = (
        {s.name: s for claim in evaluate(r, load_figures(), Draws(r)) for s in claim.statements}
        for r in (with_budgets("madeup", flat), with_budgets("madeup", steep))
    )
    assert plain["2b"].verdict == "supported" and "convergence" not in plain["2b"].reason
    assert rising["2b"].verdict == "budget-limited" and "mspn-4 by 4.0" in rising["2b"].reason
    assert rising["3a"].verdict == "supported"  # its own runs have converged
    gap = means["mspn-4"] - means["mspn-2"]
    assert rising["2b"].trend == (
        (400, pytest.approx(gap - 6)), (800, pytest.approx(gap - 3.8)), (1600, pytest.approx(gap))
    )  # fmt: skip


def judge_mean(run: str) -> float:
    """The run's mean AP over seeds."""
    return Draws(collect(load_experiment("madeup"))).mean(run, DET)
