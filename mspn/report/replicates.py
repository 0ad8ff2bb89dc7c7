"""Bootstrap replicates of AP over images, kept between reports: at COCO's size they take seconds an
evaluation.
"""

import hashlib
from pathlib import Path

import numpy as np

from mspn.errors import UserError
from mspn.evaluation.metrics.bootstrap import ap_replicates
from mspn.evaluation.metrics.matches import load_matches
from mspn.files import atomic
from mspn.report.results import Evaluation, Results

CACHE = "replicates"  # folder beside the results; may be removed at any time


def replicates(results: Results, evaluation: Evaluation, protocol: str, count: int) -> np.ndarray:
    """(count,) replicates of AP, percent, on drawn images that are the same for every run of the scale.

    They are computed from ``matches.npz`` once and kept under the hash of that file's bytes.
    """
    path = evaluation.folder / "matches.npz"
    if not path.is_file():
        raise UserError(f"{path}: no such file; evaluate the run again")
    seed = int(evaluation.address.get("bootstrap", {}).get("seed", 0))
    name = hashlib.sha256(path.read_bytes() + f"/{protocol}/{seed}/{count}".encode()).hexdigest()[:32]
    kept = results.experiment.results / CACHE / f"{name}.f8"
    values = _load(kept, count)
    if values is None:
        matches = load_matches(path)
        if protocol not in matches:
            raise UserError(f"{path}: has no matches of protocol {protocol!r}; evaluate the run again")
        values = 100 * ap_replicates(matches[protocol], seed, count)
        _save(kept, values)
    return values


def _load(path: Path, count: int) -> np.ndarray | None:
    """What was kept; None where there is nothing, or nothing whole: the hash of the numbers comes first."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    digest, numbers = data[:_DIGEST], data[_DIGEST:]
    if hashlib.sha256(numbers).digest() != digest or len(numbers) != 8 * count:
        return None
    return np.frombuffer(numbers, "<f8")


def _save(path: Path, values: np.ndarray) -> None:
    numbers = values.astype("<f8").tobytes()
    with atomic(path) as temporary:
        temporary.write_bytes(hashlib.sha256(numbers).digest() + numbers)


_DIGEST = hashlib.sha256().digest_size
