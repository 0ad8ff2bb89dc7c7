"""From draws of contrasts to verdicts: the evidence, Holm's levels over a claim's statements, the intervals.

Pure arithmetic on arrays, the same for what was measured and for simulations. Every function works along the
last axis, so that many simulated experiments go through at once.
"""

import numpy as np

from mspn.report.rules import Kind


def evidence(kind: Kind, draws: np.ndarray, margin: float | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The p-values of "supported" and of "contradicted" of draws (..., B) of a contrast.

    A p-value is twice the share of draws outside what the verdict says, so that an interval with two equal
    tails of that level together ends at the verdict's boundary.
    """
    edge = np.asarray(margin)[..., None]
    if kind == "gain":
        outside = _share(draws <= 0), _share(draws >= -edge)
    elif kind == "matches":
        outside = _share(draws <= -edge), _share(draws >= -edge)
    elif kind == "saturates":
        outside = _share(draws >= edge), _share(draws <= edge)
    else:
        below, above = draws <= -edge, draws >= edge
        outside = (
            np.maximum(_share(below), _share(above)),
            np.minimum(_share(~below), _share(~above)),
        )
    return np.minimum(1, 2 * outside[0]), np.minimum(1, 2 * outside[1])


def _share(truth: np.ndarray) -> np.ndarray:
    return np.asarray(truth.mean(axis=-1))


def holm(p: np.ndarray, error: float, family: int) -> np.ndarray:
    """The level at which Holm's step-down procedure tests each hypothesis: rejected where p is not above it.

    ``p`` is (..., m) with m at most ``family``, the number of hypotheses that were planned: those of which
    there are no data count as not rejected. Those that stay are tested at the level of the step that failed.
    """
    order = np.argsort(p, axis=-1, kind="stable")
    steps = error / (family - np.arange(p.shape[-1]))
    passed = np.cumprod(np.take_along_axis(p, order, axis=-1) <= steps, axis=-1).sum(axis=-1)
    rank = np.argsort(order, axis=-1, kind="stable")
    last = np.minimum(passed, p.shape[-1] - 1)
    levels: np.ndarray = steps[np.minimum(rank, last[..., None])]
    return levels


def interval(draws: np.ndarray, level: float) -> tuple[float, float]:
    """The interval of draws (B,) with two equal tails that together hold the share ``level``.

    Its ends are draws: it excludes a boundary exactly where twice the share of draws beyond is at most
    ``level``.
    """
    tail = int(level / 2 * len(draws) + 1e-9)
    ordered = np.sort(draws)
    return float(ordered[tail]), float(ordered[-1 - tail])
