"""What the rules can find: simulated experiments on the level of APs, and smallest detectable effects.

A simulated experiment draws, for every run and source of boxes, the deviation of its AP that the sample of
images makes, and for every training that of its seed; it then estimates the noise of training and judges
every statement by the functions that judge what was measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm, t

from mspn.experiment.grid import load_grid
from mspn.experiment.paper import Figures, load_figures
from mspn.report.claim_parts import CLAIMS, DET, TRAINED, Need, Statement
from mspn.report.claims import paper_ask
from mspn.report.draws import Draws
from mspn.report.noise import additive_residuals
from mspn.report.rules import Rules, load_rules
from mspn.report.verdicts import evidence, holm

POWER = 0.8  # the share of experiments in which a "detectable" effect is found
MOST_SEEDS = 99


@dataclass(frozen=True)
class Noise:
    """Standard deviations in AP: of one AP over samples of images (what runs do not share of it), of one
    training over seeds.
    """

    images: float
    seeds: float


@dataclass(frozen=True)
class Design:
    """The K statements that have noise, over U APs (a run on a source of boxes) of R trainings.

    Runs that no statement needs are there for the spread between the weakest and the strongest.
    """

    names: tuple[str, ...]
    statements: tuple[Statement, ...]
    aps: tuple[Need, ...]
    weights: np.ndarray  # (K, U)
    trainings: np.ndarray  # (U, R): the training that an AP is of; an ensemble's are its members' shares
    paper: np.ndarray  # (U,) the paper's APs

    @property
    def effects(self) -> np.ndarray:
        """(K,) the paper's contrasts."""
        return np.asarray(self.weights @ self.paper)

    @property
    def main(self) -> np.ndarray:
        """(U,) whether the AP is on the boxes of the tables."""
        return np.array([what == DET for _, what in self.aps])

    @property
    def claims(self) -> dict[int, list[int]]:
        """Claim -> the places of its statements."""
        numbers = [int(name[:-1]) for name in self.names]
        return {n: [k for k, number in enumerate(numbers) if number == n] for n in dict.fromkeys(numbers)}

    def deviation(self, noise: Noise, seeds: int) -> np.ndarray:
        """(K,) the standard deviation of each measured contrast."""
        return np.sqrt(self._images(noise) + self._seeds(noise) / seeds)

    def _images(self, noise: Noise) -> np.ndarray:
        return np.asarray(noise.images**2 * (self.weights**2).sum(axis=1))

    def _seeds(self, noise: Noise) -> np.ndarray:
        return np.asarray(noise.seeds**2 * ((self.weights @ self.trainings) ** 2).sum(axis=1))


def paper_design(
    figures: Figures, names: frozenset[str] | None = None, runs: frozenset[str] | None = None
) -> Design:
    """The statements with noise (those of ``names``; default: all) at the paper's FLOPs and APs.

    ``runs`` (default: all) are those whose spread counts. An AP is COCO minival's where the paper prints it,
    else test-dev's.
    """
    minival, test_dev = paper_ask(figures, "COCO minival"), paper_ask(figures, "COCO test-dev")
    found = {
        claim.name(s): s
        for claim in CLAIMS
        for s in claim.statements
        if not (s.exact or s.hidden) and (names is None or claim.name(s) in names)
    }
    weights = [s.weights(lambda run: minival(run, TRAINED)) for s in found.values()]
    on_tables = {f.run for f in figures.values() if f.run and f.detector == DET}
    others = sorted(on_tables if runs is None else on_tables & runs)
    needs = [*(need for row in weights for need in row), *((run, DET) for run in others)]
    aps, grid = tuple(dict.fromkeys(needs)), load_grid()
    members = {run: grid[run].members or (run,) for run, _ in aps}
    trained = list(dict.fromkeys(name for names in members.values() for name in names))

    def printed(run: str, what: str) -> float:
        try:
            return minival(run, what)
        except KeyError:
            return test_dev(run, what)

    return Design(
        tuple(found),
        tuple(found.values()),
        aps,
        np.array([[row.get(need, 0.0) for need in aps] for row in weights]),
        np.array([[(n in members[run]) / len(members[run]) for n in trained] for run, _ in aps]),
        np.array([printed(*need) for need in aps]),
    )


def measured_noise(draws: Draws, design: Design) -> Noise | None:
    """The noise of what was measured: None before two seeds, or before a statement's runs, are there."""
    variances = []
    for row, statement in zip(design.weights, design.statements, strict=True):
        weights = {need: float(w) for need, w in zip(design.aps, row, strict=True) if w}
        seeds = draws.seeds(weights) if all(draws.has(*need) for need in statement.needs) else ()
        if seeds:
            variances.append(draws.images(weights, seeds).var() / (row**2).sum())
    if not variances or not draws.spread.freedom:
        return None
    return Noise(float(np.sqrt(np.mean(variances))), draws.spread.population)


def simulate(
    rules: Rules, design: Design, truth: np.ndarray, noise: Noise, looks: Sequence[int], experiments: int,
    seed: int = 0, draws: int = 4000,
) -> np.ndarray:  # fmt: skip
    """(L, E, K) verdicts of E experiments with the true APs ``truth`` (U,) at each look's number of seeds.

    1 is supported, -1 contradicted, 0 undecided.
    """
    rng = np.random.default_rng(seed)
    aps, runs = design.trainings.shape
    images = noise.images * rng.normal(size=(experiments, aps))
    trainings = noise.seeds * rng.normal(size=(experiments, max(looks), runs))
    of_images = noise.images * design.weights @ rng.normal(size=(aps, draws))
    of_training = design.weights @ design.trainings @ rng.normal(size=(runs, draws))
    verdicts = np.zeros((len(looks), experiments, len(design.names)), np.int8)
    for i, look in enumerate(looks):
        measured = truth + images + trainings[:, :look].mean(axis=1) @ design.trainings.T
        projection, freedom = additive_residuals([(str(r), s) for s in range(look) for r in range(runs)])
        values = trainings[:, :look].reshape(experiments, -1)
        deviation = np.sqrt(((values @ projection) * values).sum(axis=1) / freedom)
        scale = np.sqrt(freedom / rng.chisquare(freedom, draws) / look)
        among = measured[:, design.main]
        spread = among.max(axis=1) - among.min(axis=1)
        p = np.empty((2, experiments, len(design.names)))
        for k, s in enumerate(design.statements):
            centre = measured @ design.weights[k]
            for part in np.array_split(np.arange(experiments), max(1, experiments * draws // 2_000_000)):
                many = centre[part, None] + of_images[k] + deviation[part, None] * (of_training[k] * scale)
                p[:, part, k] = evidence(s.kind, many, rules.margins[s.kind] * spread[part])  # type: ignore
        verdicts[i] = _judged(rules, design, p, len(looks))
    return verdicts


def _judged(rules: Rules, design: Design, p: np.ndarray, looks: int) -> np.ndarray:
    """(E, K) verdicts from the p-values (2, E, K) of "supported" and "contradicted"."""
    verdicts = np.zeros(p.shape[1:], np.int8)
    for places in design.claims.values():
        own = p[:, :, places]
        levels = holm(own.min(axis=0) * looks, 1 - rules.level, len(places)) / looks
        verdicts[:, places] = np.where(own[0] <= levels, 1, np.where(own[1] <= levels, -1, 0))
    return verdicts


def false_verdicts(design: Design, verdicts: np.ndarray) -> np.ndarray:
    """Where a verdict (..., K) is false with all APs equal: each on a gain, "contradicted" on any other."""
    gains = np.array([s.kind == "gain" for s in design.statements])
    return np.where(gains, verdicts != 0, verdicts < 0)


def distances(rules: Rules, design: Design, spread: float) -> np.ndarray:
    """(K,) how far the paper's contrasts lie inside what "supported" says, at a scale of that spread in AP.

    The paper's contrast is taken as the same share of the spread.
    """
    among = design.paper[design.main]
    effects = design.effects * spread / (among.max() - among.min())
    found = []
    for s, effect in zip(design.statements, effects, strict=True):
        margin = rules.margins[s.kind] * spread  # type: ignore[index]
        inside = {"gain": effect, "matches": margin + effect, "saturates": margin - effect}
        found.append(inside.get(s.kind, margin - abs(effect)))
    return np.array(found)


def smallest_effects(rules: Rules, design: Design, noise: Noise, seeds: int, looks: int = 1) -> np.ndarray:
    """(K,) the distances that are found in `POWER` of experiments, at the strictest of Holm's levels.

    By the normal distribution for images and Student's t for the pooled deviation over seeds, with
    Satterthwaite's degrees of freedom.
    """
    family = {k: len(places) for places in design.claims.values() for k in places}
    error = (1 - rules.level) / looks / np.array([family[k] for k in range(len(design.names))])
    freedom = max(1, (design.trainings.shape[1] - 1) * (seeds - 1))
    deviation = design.deviation(noise, seeds)
    of_seeds = np.maximum(design._seeds(noise) / seeds, 1e-12)
    effective = freedom * (deviation**2 / of_seeds) ** 2
    return np.asarray((t.ppf(1 - error / 2, effective) + norm.ppf(POWER)) * deviation)


def seeds_needed(
    rules: Rules, design: Design, noise: Noise, wanted: np.ndarray, looks: int = 1
) -> list[int | None]:
    """The fewest seeds at which each distance (K,) is detectable; None where `MOST_SEEDS` are too few."""
    found: list[int | None] = [None] * len(wanted)
    for seeds in range(MOST_SEEDS, 1, -1):
        for k, enough in enumerate(smallest_effects(rules, design, noise, seeds, looks) <= wanted):
            if enough:
                found[k] = seeds
    return found


def power_table(noise: Noise, seeds: int, experiments: int) -> dict[str, Any]:
    """Chances by simulation, as JSON values.

    Of each statement's verdicts with the paper's APs as truth, and of a false verdict with all APs equal.
    """
    rules, design = load_rules(), paper_design(load_figures())
    equal = np.full(len(design.aps), design.paper.mean())
    found, none = (
        simulate(rules, design, truth, noise, (seeds,), experiments, draws=rules.draws)[0]
        for truth in (design.paper, equal)
    )
    false = false_verdicts(design, none)
    rows = [
        {
            "statement": name,
            "words": s.words,
            "kind": s.kind,
            "paper": float(effect),
            "supported": float((found[:, k] == 1).mean()),
            "contradicted": float((found[:, k] == -1).mean()),
        }
        for k, (name, s, effect) in enumerate(
            zip(design.names, design.statements, design.effects, strict=True)
        )
    ]
    return {
        "seeds": seeds,
        "image_deviation": noise.images,
        "seed_deviation": noise.seeds,
        "experiments": experiments,
        "statements": rows,
        "expected": float((found == 1).sum(axis=1).mean()),
        "false": {str(n): float(false[:, k].any(axis=1).mean()) for n, k in design.claims.items()},
        "false_any": float(false.any(axis=1).mean()),
    }
