"""The peers, and how what they compute is held against dmc.

They are imported by name: the checkers of the main environment know nothing of them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

jax: Any = importlib.import_module("jax")
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_platforms", "cpu")
jnp: Any = importlib.import_module("jax.numpy")
lax: Any = importlib.import_module("jax.lax")
torch: Any = importlib.import_module("torch")

HERE = Path(__file__).parent / "programs"
ROOT = Path(__file__).parents[2]


def error(got: Any, wanted: Any, least: float = 0.0) -> float:
    """The largest difference, relative to the largest element wanted and at least to `least`.

    Infinite where shapes, NaNs or infinities differ.
    """
    got, wanted = np.asarray(got), np.asarray(wanted)
    if got.shape != wanted.shape or not np.array_equal(np.isnan(got), np.isnan(wanted)):
        return float("inf")
    wanted = wanted.astype(np.float64)
    difference = np.nan_to_num(np.abs(got - wanted), nan=0.0, posinf=0.0)
    if not np.array_equal(got[np.isinf(got)], wanted[np.isinf(got)]):
        return float("inf")
    scale = float(np.max(np.abs(wanted[np.isfinite(wanted)]), initial=least)) or 1.0
    return float(np.max(difference, initial=0.0)) / scale


def close(got: Any, wanted: Any, tolerance: float, what: str = "value", least: float = 0.0) -> None:
    off = error(got, wanted, least)
    assert off <= tolerance, f"{what} is off by {off:.2e}"


def leaves(tree: Any) -> dict[str, Any]:
    """The arrays of a record by dotted path; those of a tuple by position, of an array under ""."""
    if hasattr(tree, "items"):
        return dict(tree.items())
    if isinstance(tree, tuple):
        parts = [leaves(part) for part in tree]
        return {f"{i}.{path}": leaf for i, part in enumerate(parts) for path, leaf in part.items()}
    return {"": tree}


def all_close(got: Any, wanted: Mapping[str, Any], tolerance: float) -> None:
    """Every leaf of a record, tuple or array."""
    got = leaves(got)
    assert got.keys() == wanted.keys()
    for path, leaf in wanted.items():
        close(got[path], leaf, tolerance, path or "value")


def value_and_grad_close(
    got: tuple[Any, Any], function: Callable[..., Any], point: Any, tolerance: float
) -> None:
    """A dmc value and gradient against `jax.value_and_grad(function)` at the leaves of `point`."""
    value, gradient = jax.jit(jax.value_and_grad(function))(leaves(point))
    close(got[0], value, tolerance)
    all_close(got[1], gradient, tolerance)
