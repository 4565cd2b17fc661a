"""Every example reaches the figure that examples/README.md states."""

import pytest

from examples.attention import train
from examples.kalman import fit as kalman
from examples.orbit import fit as orbit


def test_attention_learns_to_reverse() -> None:
    assert train.main() == 1.0


def test_a_likelihood_finds_the_noise() -> None:
    push, measure, gain = kalman.main()
    assert push == pytest.approx(kalman.PUSH, rel=1 / 3)
    assert measure == pytest.approx(kalman.MEASURE, rel=1 / 3)
    assert gain > 1.5


def test_sightings_find_the_orbit() -> None:
    before, after, late = orbit.main()
    assert before > 0.1
    assert after < 1e-4
    assert late < 1e-3
