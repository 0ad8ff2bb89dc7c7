"""The rules by simulation: they seldom err where nothing differs, and find what the paper says where true."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from mspn.commands.cli import main
from mspn.commands.power import describe
from mspn.experiment.paper import load_figures
from mspn.report.power import (
    Design,
    Noise,
    distances,
    false_verdicts,
    paper_design,
    seeds_needed,
    simulate,
    smallest_effects,
)
from mspn.report.rules import Rules, load_rules

AS_STATED = Noise(images=0.15, seeds=0.15)
MAIN = ("2a", "2b", "2c", "3a", "5a", "5c", "8a", "8b", "9b", "9c")  # of claims 2, 3, 5, 8 and 9


@pytest.fixture(scope="module")
def rules() -> Rules:
    return load_rules()


@pytest.fixture(scope="module")
def design() -> Design:
    return paper_design(load_figures())


def check_null(rules: Rules, design: Design, noise: Noise, looks: tuple[int, ...], experiments: int) -> float:
    """Each claim's chance of a false verdict at any look is at most 5 %, and that over all claims.

    A share of E experiments has a standard deviation of at most sqrt(0.05 * 0.95 / E) where the chance is at
    most 5 %; four of them are exceeded once in 30,000 claims.
    """
    equal = np.full(len(design.aps), 70.0)
    verdicts = simulate(rules, design, equal, noise, looks, experiments)
    false = np.any(false_verdicts(design, verdicts), axis=0)
    over_all = float(np.any(false, axis=1).mean())
    allowed = 0.05 + 4 * math.sqrt(0.05 * 0.95 / experiments)
    chances = {n: float(np.any(false[:, places], axis=1).mean()) for n, places in design.claims.items()}
    assert all(chance <= allowed for chance in chances.values()), chances
    print(f"{noise}, looks at {looks}: {chances}, any claim {over_all:.2f}")
    return over_all


@pytest.mark.parametrize(
    ("noise", "looks"),
    [(AS_STATED, (5,)), (Noise(0.15, 0.6), (2,)), (Noise(0.0, 0.15), (5,)), (AS_STATED, (2, 3, 4))],
    ids=["as stated", "two noisy seeds", "on these images", "three looks"],
)
def test_with_all_aps_equal_false_verdicts_are_rare(rules, design, noise, looks):
    over_all = check_null(rules, design, noise, looks, 700)
    assert 0.05 < over_all < 0.4  # over all claims it is larger, and nothing is tested that never errs


@pytest.mark.slow
def test_with_all_aps_equal_false_verdicts_are_rare_to_a_fifth_of_a_percent(rules, design):
    check_null(rules, design, AS_STATED, (5,), 10_000)


def test_with_the_papers_aps_as_truth_its_main_statements_are_supported(rules, design):
    """Found in four experiments of five or more; and so are the three statements of FLOPs, without noise."""
    verdicts = simulate(rules, design, design.paper, AS_STATED, (5,), 700)[0]
    power = dict(zip(design.names, (verdicts == 1).mean(axis=0), strict=True))
    found = {name for name, chance in power.items() if chance >= 0.8 - 3 * math.sqrt(0.8 * 0.2 / 700)}
    assert len(found) >= 12 and found.issuperset(MAIN), power
    assert ((verdicts == 1).sum(axis=1) >= 12).mean() > 0.99
    assert (verdicts == -1).mean() < 0.002


def test_what_is_said_to_be_detectable_is_found(rules, design):
    """The formula against the simulation: statements on their own, so that Holm's first level is theirs."""
    names = ("3a", "9b", "6a")
    for name in names:
        k = design.names.index(name)
        alone = Design(
            (name,), (design.statements[k],), design.aps, design.weights[[k]], design.trainings, design.paper
        )
        smallest = smallest_effects(rules, alone, AS_STATED, 3)[0]
        truth = design.paper.copy()
        need = max(alone.statements[0].needs, key=lambda n: alone.weights[0, design.aps.index(n)])
        truth[design.aps.index(need)] += smallest - alone.effects[0]
        found = simulate(rules, alone, truth, AS_STATED, (3,), 2000, draws=10_000)[0] == 1
        assert found.mean() == pytest.approx(0.8, abs=0.04), name


def test_effects_and_seeds_by_hand(rules, design):
    """One difference of two runs: variance 2 (0.3^2 + 0.2^2 / n); images alone may be too noisy for any n."""
    k = design.names.index("3a")
    noise = Noise(0.3, 0.2)
    assert design.deviation(noise, 4)[k] == pytest.approx(math.sqrt(2 * (0.09 + 0.01)))
    at = distances(rules, design, 25.4)  # twice the paper's spread of 12.7
    assert at[k] == pytest.approx(5.6)
    assert at[design.names.index("5a")] == pytest.approx(2 * 0.1 + 0.05 * 25.4)
    assert at[design.names.index("8b")] == pytest.approx(0.10 * 25.4 - 2 * 0.6)
    needed = seeds_needed(rules, design, noise, at)
    assert needed[k] == 2 and needed[design.names.index("7b")] is None
    wanted = smallest_effects(rules, design, noise, 7)
    assert seeds_needed(rules, design, noise, wanted + 1e-9)[k] == 7


def test_a_scales_runs_alone(design):
    """Statements of other runs are left out; a run that no statement needs still counts for the spread."""
    few = paper_design(load_figures(), frozenset({"2b", "3a"}), frozenset({"mspn-2", "hourglass-1"}))
    assert few.names == ("2b", "3a")
    assert {run for run, _ in few.aps} == {"mspn-2", "mspn-4", "hourglass-2-wide", "hourglass-1"}


def test_the_verb_prints_its_table(capsys):
    assert main(["power", "--experiments", "20", "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert table["experiments"] == 20 and len(table["statements"]) == 26
    assert "| 3a | MSPN 2 minus widened Hourglass 2 | gain | 2.80 | 100% | 0% |" in describe(table)
    assert main(["power", "--seeds", "1"]) == 2
    assert "--seeds must be 2 or more" in capsys.readouterr().err


@pytest.mark.slow
def test_the_docs_have_what_the_verb_prints(capsys):
    assert main(["power"]) == 0
    assert capsys.readouterr().out.strip() in Path("docs/verdicts.md").read_text()
