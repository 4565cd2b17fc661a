"""Contestants must agree before they are timed."""

import numpy as np
import pytest

from benchmarks.agreement import difference, disagreement
from benchmarks.workload import Arrays

RIGHT: Arrays = {"value": np.array(3.0), "w": np.array([3.0, 4.0])}


@pytest.mark.parametrize(
    "wrong",
    [[3.0, 4.001], [3.0, np.nan], [3.0, np.inf], [3.0]],
    ids=["far", "nan", "infinite", "shape"],
)
def test_a_wrong_output_is_named(wrong: list[float]) -> None:
    found = disagreement(RIGHT, {**RIGHT, "w": np.array(wrong)}, 1e-4)
    assert found is not None
    assert found.startswith("w differs by ")


def test_a_missing_output_is_named() -> None:
    assert disagreement(RIGHT, {"value": RIGHT["value"]}, 1.0) == "outputs differ in w"


def test_rounding_is_not_disagreement() -> None:
    assert disagreement(RIGHT, {k: v * (1 + 1e-9) for k, v in RIGHT.items()}, 1e-8) is None


def test_differences_are_relative_to_the_norm() -> None:
    assert difference(np.array([3e-9, 4e-9]), np.array([3e-9, 5e-9])) == pytest.approx(0.2)
    assert difference(np.zeros(2), np.zeros(2)) == 0.0
    assert difference(np.zeros(0), np.zeros(0)) == 0.0
