"""The claims: true of the paper's own figures, and judged by the stated rule on what was measured."""

from typing import Literal

import numpy as np
import pytest

from mspn.experiment.load import load_experiment
from mspn.experiment.paper import FLOPS, load_figures
from mspn.report.claim_parts import CLAIMS, Claim, Part
from mspn.report.claims import VERDICTS, evaluate, paper_ask
from mspn.report.draws import Draws
from mspn.report.results import collect
from tests import report_tree


class Stub:
    """Draws with given means and noise, in place of results."""

    def __init__(self, means: dict, noise: float = 0.1, seeds: int = 3) -> None:
        self.means, self.noise, self.count = means, noise, seeds

    def compares(self, needs: tuple[tuple[str, str], ...]) -> bool:
        return True

    def has(self, run: str, what: str) -> bool:
        return what == FLOPS or run in self.means

    def seeds(self, run: str, what: str) -> tuple[int, ...]:
        return tuple(range(self.count))

    def mean(self, run: str, what: str) -> float:
        return {"a": 10.0, "b": 12.0}[run] if what == FLOPS else self.means[run]

    def draw(self, run: str, what: str):
        if what == FLOPS:
            return self.mean(run, what)
        return self.means[run] + np.random.default_rng(len(run) + ord(run[0])).normal(0, self.noise, 4000)


def judge(
    monkeypatch,
    a: float,
    b: float,
    *,
    kind: Literal["positive", "small"] = "positive",
    printed: float = 1.0,
    **options,
) -> str:
    """The verdict of "a minus b", of which the paper prints ``printed``."""
    part = Part(
        "a minus b", (("a", "gt"), ("b", "gt")), lambda ask: ask("a", "gt") - ask("b", "gt"), kind=kind
    )
    claim = Claim(1, "a beats b", (part,))
    monkeypatch.setattr("mspn.report.claims.CLAIMS", (claim,))
    monkeypatch.setattr(
        "mspn.report.claims.paper_ask", lambda figures, split: lambda run, what: {"a": printed, "b": 0.0}[run]
    )
    stub = Stub({"a": a, "b": b}, **options)
    (result,) = evaluate(None, {}, stub)  # type: ignore[arg-type]
    return result.verdict


@pytest.mark.parametrize("claim", [c for c in CLAIMS if c.parts], ids=lambda c: f"claim-{c.number}")
def test_the_papers_own_figures_bear_each_claim_out(claim):
    figures = load_figures()
    printed = 0
    for part in claim.parts:
        try:
            value = part.quantity(paper_ask(figures, part.split))
        except KeyError:
            continue
        printed += 1
        assert value > (-part.slack if part.kind == "positive" else 0), part.words
    assert printed >= 2


def test_quantities_are_the_papers_words():
    """Each claim's sizes, as design and text state them, come out of its parts."""
    figures = load_figures()
    sizes: dict[str, float | None] = {}
    for claim in CLAIMS:
        for part in claim.parts:
            try:
                sizes[part.words] = round(float(part.quantity(paper_ask(figures, part.split))), 3)
            except KeyError:
                sizes[part.words] = None
    assert sizes["Hourglass, 4 to 8 stages"] == 0.3 and sizes["MSPN, 2 to 4 stages"] == 1.4
    assert sizes["MSPN 2 minus widened Hourglass 2"] == 2.8 and sizes["FLOPs saved"] == 5.8
    assert [sizes[w] for w in ("CTF, MSPN", "CTF, Hourglass", "CSFA, MSPN", "CSFA, Hourglass")] == [
        0.9,
        1.2,
        0.3,
        0.5,
    ]
    assert (sizes["7, 5 minus 7, 7"], sizes["7, 7 minus 5, 5"]) == (0.3, 0.2)
    assert (sizes["Boxes of 49.4 AP minus boxes of 41.1 AP"], sizes["True boxes minus boxes of 49.4 AP"]) == (
        0.5,
        0.6,
    )
    assert (sizes["External data"], sizes["Ensemble"]) == (1.0, 1.0)
    assert sizes["384×288 minus 256×192"] is None  # no figure on one split for both


def test_each_verdict_by_its_rule(monkeypatch):
    assert judge(monkeypatch, 71.0, 70.0) == "holds"
    assert judge(monkeypatch, 70.4, 70.0, noise=0.05) == "holds in direction"  # less than half of 1.0
    assert judge(monkeypatch, 70.4, 70.0, noise=1.0) == "within noise"
    assert judge(monkeypatch, 69.0, 70.0) == "contradicted"
    assert judge(monkeypatch, 71.0, 70.0, seeds=1) == "not enough runs"
    assert judge(monkeypatch, 71.5, 70.0, kind="small") == "holds"  # at most twice 1.0
    assert judge(monkeypatch, 73.0, 70.0, kind="small") == "contradicted"


def _gain_over_z(run: str):
    return lambda ask: ask(run, "gt") - ask("z", "gt")


def test_one_doubtful_part_does_not_contradict(monkeypatch):
    """Many parts, each undecided, are together improbable: that is noise, not a contradiction."""
    parts = tuple(Part(f"{r} minus z", ((r, "gt"), ("z", "gt")), _gain_over_z(r)) for r in "abcdefgh")
    monkeypatch.setattr("mspn.report.claims.CLAIMS", (Claim(1, "all beat z", parts),))
    stub = Stub(dict.fromkeys("abcdefghz", 70.0), noise=1.0)
    (result,) = evaluate(None, load_figures(), stub)  # type: ignore[arg-type]
    assert result.probability is not None and result.probability < 0.2
    assert result.verdict == "within noise"


def run_claims(name: str):
    experiment = load_experiment(name)
    return {
        r.claim.number: r for r in evaluate(collect(experiment), load_figures(), Draws(collect(experiment)))
    }


def test_claims_of_a_whole_tree(monkeypatch):
    """The made-up tree follows the paper's APs: what the paper claims clearly holds in it."""
    monkeypatch.chdir(report_tree.shared("madeup", (0, 1)))
    results = run_claims("madeup")
    assert set(results) == set(range(1, 11)) and all(r.verdict in VERDICTS for r in results.values())
    assert results[1].verdict == results[3].verdict == "holds"
    assert results[10].verdict == "not enough runs" and "server" in results[10].reason
    for result in results.values():
        for part in result.parts:
            if part.low is not None and part.high is not None and part.ours is not None:
                assert part.low < part.ours < part.high


def test_one_seed_is_not_enough_yet_the_probability_is_told(monkeypatch):
    monkeypatch.chdir(report_tree.shared("paper", (0,)))
    results = run_claims("paper")
    assert {r.verdict for r in results.values()} == {"not enough runs"}
    assert "single seed" in results[3].reason and results[3].probability == 1.0


def test_a_missing_run_is_named(monkeypatch, tmp_path):
    monkeypatch.chdir(report_tree.make_root(tmp_path, "madeup", (0, 1)))
    report_tree.fill("madeup", runs=("mspn-2",))
    results = run_claims("madeup")
    assert results[3].verdict == "not enough runs" and "hourglass-2-wide (det-49.4)" in results[3].reason
    assert results[3].probability is None


def test_draws_are_paired_over_images_and_shared_over_detectors(monkeypatch):
    monkeypatch.chdir(report_tree.shared("madeup", (0, 1)))
    draws = Draws(collect(load_experiment("madeup")))
    a, b = (np.asarray(draws.draw(run, "det-49.4")) for run in ("mspn-3", "mspn-4"))
    assert len(a) == draws.size and a.mean() == pytest.approx(draws.mean("mspn-3", "det-49.4"), abs=0.6)
    assert np.corrcoef(a, b)[0, 1] > 0.5  # the same images drawn for both
    assert (a - b).std() < 0.7 * np.hypot(a.std(), b.std())
    gt = np.asarray(draws.draw("mspn-4", "gt"))
    assert np.corrcoef(b, gt)[0, 1] > 0.5
    deviation, freedom = draws.spread
    assert freedom == sum(
        1
        for _ in draws.results.metrics.query("protocol == 'paper' and metric == 'AP'").groupby(
            ["run", "detector"]
        )
    )
    assert 0 < deviation < 5


def test_kept_replicates_are_used_and_a_damaged_one_is_made_again(monkeypatch, tmp_path):
    monkeypatch.chdir(report_tree.make_root(tmp_path, "madeup", (0,)))
    experiment = report_tree.fill("madeup", runs=("mspn-2",))
    first = np.asarray(Draws(collect(experiment)).draw("mspn-2", "gt"))
    (kept,) = (experiment.results / "replicates").glob("*.npy")
    kept.write_bytes(kept.read_bytes()[:50])
    again = np.asarray(Draws(collect(experiment)).draw("mspn-2", "gt"))
    np.testing.assert_array_equal(first, again)
    np.save(kept, first + 1)
    np.testing.assert_array_equal(np.asarray(Draws(collect(experiment)).draw("mspn-2", "gt")), first + 1)
