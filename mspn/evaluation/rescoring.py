"""An evaluation's figures from its matches, once and again: whoever reads them need not believe them.

Imports neither torch nor pycocotools.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mspn.data.skeletons import Skeleton
from mspn.errors import UserError
from mspn.evaluation.metrics import bootstrap, distances, mpii, pck
from mspn.evaluation.metrics.bootstrap import COCO_FIGURES, Matches
from mspn.evaluation.metrics.distances import Distances, Measure
from mspn.evaluation.metrics.matches import hashes, load_matches
from mspn.evaluation.metrics.resampling import interval
from mspn.files import is_sealed, sha256

MAIN = "paper"  # the protocol of predictions, pictures and the tables' figures
MATCHES = "matches.npz"
EVIDENCE = "evidence"  # the entry of metrics.json with the hashes of the files beside it
ROUNDING = 1e-6  # percent; another processor adds in another order


def evidence(folder: Path, by_protocol: Mapping[str, Matches | Distances]) -> dict[str, Any]:
    """What ties an evaluation's figures to its files: hashes of matches, by protocol, and of whole files."""
    names = [name for name in ("predictions.json", "stages.npz") if (folder / name).is_file()]
    return {
        "matches": hashes(by_protocol),
        "files": {name: sha256(folder / name) for name in names},
    }


def measures(by_protocol: Mapping[str, Matches | Distances], skeleton: Skeleton) -> dict[str, Measure | None]:
    """What is taken of each entry of a file of matches: a measure of distances, None for OKS-AP's figures.

    UserError where an entry is of a measure that the joint set does not have.
    """
    known = {one.name: pck.measure(one, skeleton) for one in skeleton.pck}
    found: dict[str, Measure | None] = {}
    for name, matches in by_protocol.items():
        _, _, length = name.partition(":")
        if isinstance(matches, Distances) and length not in known and not (skeleton.name == "mpii"):
            raise UserError(f"{name}: joint set {skeleton.name} has no such measure; evaluate the run again")
        found[name] = known.get(length, mpii.PCKH) if isinstance(matches, Distances) else None
    return found


def rescored(
    by_protocol: Mapping[str, Matches | Distances], skeleton: Skeleton
) -> dict[tuple[str, str], float]:
    """(protocol, metric) -> percent, NaN where no person counts, of all that a file of matches holds."""
    found: dict[tuple[str, str], float] = {}
    for name, measure in measures(by_protocol, skeleton).items():
        matches, protocol = by_protocol[name], name.partition(":")[0]
        if isinstance(matches, Distances):
            assert measure is not None
            figures = dict(zip(measure.figures, distances.figures(measure, matches).tolist(), strict=True))
        else:
            values = [math.nan if v < 0 else v for v in bootstrap.figures(matches).tolist()]
            figures = dict(zip(COCO_FIGURES, values, strict=True))
        found |= {(protocol, metric): 100 * value for metric, value in figures.items()}
    return found


def intervals(
    by_protocol: Mapping[str, Matches | Distances], skeleton: Skeleton, seed: int, count: int
) -> dict[tuple[str, str], tuple[float, float]]:
    """(protocol, metric) -> the ends of the bootstrap interval of ``count`` replicates, in percent."""
    found: dict[tuple[str, str], tuple[float, float]] = {}
    for name, measure in measures(by_protocol, skeleton).items():
        matches, protocol = by_protocol[name], name.partition(":")[0]
        if isinstance(matches, Distances):
            assert measure is not None
            names, drawn = measure.figures, distances.replicates(measure, matches, seed, count)
        else:
            names, drawn = COCO_FIGURES, bootstrap.replicates(matches, seed, count)
        found |= {(protocol, m): interval(100 * column) for m, column in zip(names, drawn.T, strict=True)}
    return found


def figure_rows(
    by_protocol: Mapping[str, Matches | Distances], skeleton: Skeleton, seed: int, count: int
) -> list[dict[str, Any]]:
    """A row for each protocol and figure: value and bootstrap interval of ``count`` replicates, percent.

    A figure of nobody is None: JSON has no NaN.
    """
    ends = intervals(by_protocol, skeleton, seed, count)
    rows = []
    for key, value in rescored(by_protocol, skeleton).items():
        numbers = dict(zip(("value", "low", "high"), (value, *ends[key]), strict=True))
        tidy = {name: None if math.isnan(number) else number for name, number in numbers.items()}
        rows.append({"protocol": key[0], "metric": key[1], **tidy})
    return rows


def check_evaluation(folder: Path, content: dict[str, Any], skeleton: Skeleton) -> bool:
    """Check an evaluation's figures against its files; whether hashes tie them to it, beyond their agreement.

    ``content`` is that of ``metrics.json``. Every figure is computed again from ``matches.npz``. Where that
    file is not there, as in a small bundle, and where an older version wrote the evaluation, hashes are
    absent and False is returned. UserError names the file that is not the one that was scored.
    """
    told = content.get(EVIDENCE) if is_sealed(content) else None
    path, remedy = folder / MATCHES, "evaluate the run again"
    for name, there in (told or {}).get("files", {}).items():
        if (folder / name).is_file() and sha256(folder / name) != there:
            raise UserError(
                f"{folder / name}: not the file that {folder / 'metrics.json'} speaks of; {remedy}"
            )
    if not path.is_file():
        return False
    by_protocol = load_matches(path)
    if told is not None:
        for name, digest in hashes(by_protocol).items():
            if told["matches"].get(name) != digest:
                raise UserError(f"{path}: {name}: not the matches that were scored; {remedy}")
    figures = rescored(by_protocol, skeleton)
    for row in content["rows"]:
        again = figures.get((row["protocol"], row["metric"]))
        value = math.nan if row["value"] is None else float(row["value"])
        if again is not None and not _same(again, value):
            raise UserError(
                f"{folder / 'metrics.json'}: {row['metric']} under {row['protocol']} is {value:.6g}, and "
                f"{again:.6g} by {path}: one of them was damaged or exchanged; {remedy}"
            )
    return told is not None


def _same(a: float, b: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or abs(a - b) <= ROUNDING
