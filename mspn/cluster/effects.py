"""Which effects a scale's planned seeds and images can find, and the seeds that the paper's effects need."""

import math
from typing import Any

from mspn.experiment.config import SynthData
from mspn.experiment.experiment import Experiment
from mspn.experiment.grid import Run
from mspn.experiment.paper import load_figures
from mspn.files import read_json
from mspn.report.claim_parts import CLAIMS, DET
from mspn.report.claims import is_planned
from mspn.report.draws import Draws
from mspn.report.power import (
    Noise,
    distances,
    measured_noise,
    paper_design,
    seeds_needed,
    smallest_effects,
)
from mspn.report.results import collect
from mspn.report.rules import Plan, load_rules

# Standard deviations in AP where nothing was measured, on COCO minival's images: an assumption.
ASSUMED, COCO_IMAGES = Noise(images=0.15, seeds=0.15), 5000
REPLICATES = 1000  # enough for a variance


def detectable(
    experiment: Experiment, image_deviation: float | None = None, seed_deviation: float | None = None
) -> dict[str, Any]:
    """The statements that the scale is planned to judge, as JSON values in AP.

    ``smallest`` is the distance from the verdict's boundary (0, or the margin) that comes out supported in
    four experiments of five at the last look; ``paper`` the paper's, as the same share of the spread;
    ``seeds`` how many it needs, None where no number is enough. The noise is what was measured at this scale,
    if anything was, unless it is given.
    """
    rules = load_rules()
    plan = rules.plan(experiment)
    names = planned_statements(experiment, plan)
    if not names:
        return {"seeds": plan.looks[-1], "looks": plan.looks, "statements": []}
    draws = Draws(collect(experiment), rules.model_copy(update={"draws": REPLICATES}))
    runs = frozenset(plan.runs) & frozenset(experiment.grid)
    design = paper_design(load_figures(), names, runs)
    measured = measured_noise(draws, design)
    images = count_images(experiment, experiment.grid[design.aps[0][0]])
    noise = measured or Noise(ASSUMED.images * math.sqrt(COCO_IMAGES / max(1, images)), ASSUMED.seeds)
    noise = Noise(
        noise.images if image_deviation is None else image_deviation,
        noise.seeds if seed_deviation is None else seed_deviation,
    )
    aps = [draws.mean(run, DET) for run in runs if draws.has(run, DET)] if measured else []
    among = design.paper[design.main]
    spread = max(aps) - min(aps) if aps else float(among.max() - among.min())
    looks, seeds = len(plan.looks), plan.looks[-1]
    wanted = distances(rules, design, spread)
    smallest = smallest_effects(rules, design, noise, seeds, looks)
    needed = seeds_needed(rules, design, noise, wanted, looks)
    columns = (design.names, design.statements, smallest, wanted, needed)
    return {
        "images": images,
        "seeds": seeds,
        "looks": plan.looks,
        "image_deviation": noise.images,
        "image_deviation_source": _source(image_deviation, measured),
        "seed_deviation": noise.seeds,
        "seed_deviation_source": _source(seed_deviation, measured),
        "spread": spread,
        "spread_source": "measured" if aps else "the paper's",
        "statements": [
            {
                "statement": name,
                "words": statement.words,
                "kind": statement.kind,
                "smallest": float(effect),
                "paper": float(distance),
                "seeds": number,
            }
            for name, statement, effect, distance, number in zip(*columns, strict=True)
        ],
    }


def planned_statements(experiment: Experiment, plan: Plan) -> frozenset[str]:
    """The names of the statements that the scale can and shall judge, those of FLOPs left out."""
    return frozenset(
        claim.name(s) for claim in CLAIMS for s in claim.statements
        if not s.exact and is_planned(experiment, s) and set(s.runs) <= set(plan.runs)
    )  # fmt: skip


def count_images(experiment: Experiment, run: Run) -> int:
    """The validation images that a run is scored on; COCO minival's where its annotations are not there."""
    name = run.datasets[0]
    data = experiment.scale.datasets[name]
    if isinstance(data, SynthData):
        return data.val_images
    there = [path for path in experiment.annotation_files(name, "val") if path.suffix == ".json"]
    files = [read_json(path, "annotation file") for path in there if path.is_file()]
    return sum(len(content["images"]) for content in files) or COCO_IMAGES


def _source(given: float | None, measured: Noise | None) -> str:
    return "given" if given is not None else "measured" if measured else "assumed"
