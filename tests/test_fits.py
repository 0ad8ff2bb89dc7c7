"""Curves through noisy points: laws that are known are found, and where nothing decides one it is said."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mspn.report import fits

X = np.array([1.0, 2.0, 4.0, 8.0])


def draws(values: np.ndarray, noise: float, count: int = 400) -> np.ndarray:
    return values + np.random.default_rng(0).normal(0, noise, (count, len(values)))


@pytest.mark.parametrize(("a", "b", "c"), [(76.0, 5.0, 0.6), (60.0, 30.0, 1.5), (50.0, 3.0, 3.0)])
def test_a_known_law_is_found(a, b, c):
    curve = fits.fit(X, draws(a - b * X**-c, 1e-4))
    assert curve.kind == "law" and curve.exponent is not None
    assert curve.exponent[0] == pytest.approx(c, rel=0.03)
    np.testing.assert_allclose(curve.middle, a - b * curve.grid**-c, atol=0.02 * b)


def test_the_band_covers_the_truth_as_often_as_it_says():
    truth, rng, covered = 70 - 10 * X**-0.8, np.random.default_rng(1), []
    for _ in range(60):
        seen = truth + rng.normal(0, 0.1, 4)  # one experiment, and the noise that is known of it
        curve = fits.fit(X, seen + rng.normal(0, 0.1, (300, 4)))
        low, high = curve.band
        covered.append((low <= 70 - 10 * curve.grid**-0.8) & (70 - 10 * curve.grid**-0.8 <= high))
    assert 0.88 < np.mean(covered) <= 1


def test_few_points_or_much_noise_give_an_envelope():
    rising = 70 - 10 * X**-0.8
    assert fits.fit(X[:3], draws(rising[:3], 0.01)).kind == "envelope"
    assert fits.fit(X, draws(rising, 5.0)).kind == "envelope"
    assert fits.fit(X, draws(rising[::-1], 0.01)).kind == "envelope"  # it falls: no law of this form


def test_the_envelope_by_hand():
    y = np.array([[10.0, 30.0, 20.0, 34.0]])
    found = fits.envelope(X, y, np.array([1.0, 1.5, 2.0, 4.0, 8.0]))
    np.testing.assert_allclose(found, [[10, 20, 30, 30 + 4 * 2 / 6, 34]])


@given(st.lists(st.floats(0, 80), min_size=2, max_size=6))
def test_an_envelope_rises_is_concave_and_lies_on_or_above_the_points(values):
    x, y = np.arange(1.0, len(values) + 1), np.array([values])
    grid = np.linspace(1, len(values), 41)
    curve = fits.envelope(x, y, grid)[0]
    assert (np.diff(curve) >= -1e-9).all() and (np.diff(curve, 2) <= 1e-9).all()
    assert (fits.envelope(x, y, x)[0] >= y[0] - 1e-9).all()
    assert curve[-1] == pytest.approx(max(values))


def test_families_are_subtracted_where_their_ranges_meet_and_draw_by_draw():
    shared = np.random.default_rng(0).normal(0, 3, (500, 1))  # an easy or hard sample of images moves both
    one, other = 72 - 10 * X**-0.8 + shared, 70 - 10 * (2 * X) ** -0.8 + shared
    found = fits.difference(X, one, 2 * X, other)
    assert found is not None and (found.grid[0], found.grid[-1]) == (2, 8)
    low, high = found.band
    np.testing.assert_allclose(found.middle, 2, atol=0.3)
    assert (high - low < 0.1).all()
    assert fits.difference(X, one, 100 * X, other) is None


def test_lines_are_straight_over_the_logarithm():
    assert fits.lines(np.array([1.0, 4.0]), np.array([[10.0, 20.0]]), np.array([2.0]))[0, 0] == 15


def test_the_front():
    y = np.array([[10.0, 20.0, 15.0, 30.0], [10.0, 20.0, 25.0, 30.0]])
    assert fits.pareto(X, y).tolist() == [1, 1, 0.5, 1]
    assert fits.pareto(np.array([1.0, 1.0]), np.array([[10.0, 20.0]])).tolist() == [0, 1]
