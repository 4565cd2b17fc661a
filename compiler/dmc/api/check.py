"""Checking gradients numerically."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np

from dmc.api.conversion import PythonValue, refuse
from dmc.api.differentiate import function_of, jvp, value_and_grad
from dmc.api.function import Function
from dmc.api.operators import Wrt
from dmc.diagnostics.diagnostic import Diagnostic, Label
from dmc.diagnostics.errors import error
from dmc_runtime.arguments import integer, number
from dmc_runtime.records import Leaf, Tree, TreeDef, tree_flatten, tree_paths, tree_unflatten


@dataclass(frozen=True)
class GradientCheck:
    """One leaf: the largest difference between the gradient and central differences.

    `error` is relative to the largest component of the leaf's gradient, or to 1 if that is less;
    `norm` is that of the leaf's gradient. `checked` components were compared; `kinks` were left
    out: the function bends within the step there, as `relu` does at 0, so differences say nothing.
    A leaf of which nothing could be compared has not `passed`.
    """

    path: str
    count: int
    norm: float
    error: float
    passed: bool
    checked: int = 1
    kinks: int = 0

    @property
    def nothing_checked(self) -> str:
        """Why nothing was compared, where nothing was."""
        if self.count == 0:
            return "it has no elements"
        return "it bends at every place tried" if self.kinks else "no samples were taken"


_OTHER_POINT = "give arguments with elements, away from kinks, or leave the part out of `wrt`"


@dataclass(frozen=True)
class Tolerances:
    """Step of the differences and largest errors; None takes what suits the element type."""

    step: float | None = None
    tolerance: float | None = None

    def __post_init__(self) -> None:
        """Raises dmc.Error for what is no positive number."""
        for name, value in (("step", self.step), ("tolerance", self.tolerance)):
            if value is not None:
                number(value, f"`dmc.check_grads`: `{name}`")

    def of(self, dtype: np.dtype[Any]) -> tuple[float, float]:
        """Step and largest error for leaves of `dtype`."""
        step, largest = (2e-2, 1e-2) if dtype.itemsize < 8 else (1e-3, 1e-6)
        return self.step or step, self.tolerance or largest


def check_grads(
    f: Function,
    *arguments: PythonValue,
    wrt: Wrt = None,
    step: float | None = None,
    tolerance: float | None = None,
    samples: int = 32,
    seed: int = 0,
) -> list[GradientCheck]:
    """Hold the gradient of `f` against central differences, and forward against reverse mode.

    At most `samples` components of each leaf are perturbed, chosen by `seed`. The defaults of
    `step` and `tolerance` suit the element type. Raises dmc.Error naming the leaves that fail.
    """
    tolerances = Tolerances(step, tolerance)
    checks = compare_gradients(f, arguments, wrt, tolerances, samples, seed)
    wrong = [check for check in checks if not check.passed and check.checked]
    if wrong:
        table = ", ".join(f"`{check.path}` by {check.error:.1e}" for check in wrong)
        title = f"the gradient of `{f.checked.name}` disagrees with finite differences in {table}"
        raise error(Diagnostic("grad.check", title, Label(f.checked.span), at_call=True))
    unchecked = [check for check in checks if not check.passed]
    if unchecked:
        listed = ", ".join(f"`{check.path}`: {check.nothing_checked}" for check in unchecked)
        title = f"nothing of the gradient of `{f.checked.name}` could be checked in {listed}"
        raise refuse("grad.check", title, f.checked.span, _OTHER_POINT)
    return checks


def compare_gradients(
    f: Function,
    arguments: tuple[PythonValue, ...],
    wrt: Wrt = None,
    tolerances: Tolerances | None = None,
    samples: int = 32,
    seed: int = 0,
) -> list[GradientCheck]:
    """What `check_grads` finds, leaf by leaf and then mode against mode, passed or not."""
    f = function_of(f, "check_grads", wrt)
    tolerances = tolerances or Tolerances()
    samples = integer(samples, "`dmc.check_grads`: `samples`", 0)
    rng = np.random.default_rng(integer(seed, "`dmc.check_grads`: `seed`", 0))
    paths = (
        (f.checked.parameters[0].name,) if wrt is None else (wrt,) if isinstance(wrt, str) else wrt
    )
    checks: list[GradientCheck] = []
    for path in paths:
        checks += _compare(f, arguments, path, tolerances, samples, rng)
    return checks


def _compare(
    f: Function,
    arguments: tuple[PythonValue, ...],
    wrt: str,
    tolerances: Tolerances,
    samples: int,
    rng: np.random.Generator,
) -> list[GradientCheck]:
    value, gradient = value_and_grad(f, wrt)(*arguments)
    middle = _first(value)
    if not np.isfinite(middle):
        title = f"{f.checked.name}: the result is {middle} for these arguments"
        hint = "give arguments where it is finite; differences say nothing here"
        raise refuse("grad.check", title, f.checked.span, hint)
    position, path = _position(f, wrt)
    leaves, treedef = tree_flatten(gradient)
    names = tree_paths(gradient)
    target = _at(arguments[position], path)
    checks: list[GradientCheck] = []
    for name, leaf in zip(names, leaves, strict=True):
        bar = np.asarray(leaf)
        h, limit = tolerances.of(bar.dtype)
        scale = max(1.0, float(np.max(np.abs(bar), initial=0.0)))

        def at(flat: int, offset: float, name: str = name) -> float:
            return _value(f, arguments, position, path, _moved(target, name, flat, offset))

        worst, kinks = 0.0, 0
        picked = rng.permutation(bar.size)[:samples]
        for flat in picked:
            slope = _slope(partial(at, int(flat)), middle, h, limit * scale)
            if slope is None:
                kinks += 1
                continue
            # `nan` must not look like agreement, which `max` would let it.
            difference = abs(slope - float(bar.reshape(-1)[flat]))
            worst = difference if not difference <= worst else worst
        where = ".".join(filter(None, (f.checked.parameters[position].name, path, name)))
        norm = float(np.linalg.norm(bar.astype(np.float64)))
        relative = worst / scale
        checked = len(picked) - kinks
        passed = checked > 0 and relative <= limit
        checks.append(GradientCheck(where, bar.size, norm, relative, passed, checked, kinks))
    checks.append(_modes_agree(f, arguments, wrt, leaves, treedef, rng))
    return checks


def _slope(at: Callable[[float], float], middle: float, h: float, limit: float) -> float | None:
    """A derivative from central differences at two steps, extrapolated (Richardson).

    Where the function bends within the step, smaller ones are tried; None when it bends there, too.
    It bends when the two estimates disagree, or when the slopes to either side do and do not draw
    closer with the step, as at the very point of a kink. `middle` is `at(0)`.
    """
    for step in (h, h / 8):
        high, low = at(step), at(-step)
        higher, lower = at(step / 2), at(-step / 2)
        coarse, fine = (high - low) / (2 * step), (higher - lower) / step
        bend, finer_bend = (
            (high + low - 2 * middle) / step,
            (higher + lower - 2 * middle) / step * 2,
        )
        is_smooth = abs(bend) <= limit or abs(finer_bend) < 0.75 * abs(bend)
        if is_smooth and not abs(coarse - fine) > limit:
            return (4 * fine - coarse) / 3
    return None


def _modes_agree(
    f: Function,
    arguments: tuple[PythonValue, ...],
    wrt: str,
    leaves: list[Leaf],
    treedef: TreeDef,
    rng: np.random.Generator,
) -> GradientCheck:
    """The derivative along a random direction against its product with the gradient."""
    arrays = [np.asarray(leaf) for leaf in leaves]
    direction = [rng.standard_normal(a.shape).astype(a.dtype) for a in arrays]
    along = tree_unflatten(treedef, [d if d.ndim else d[()] for d in direction])
    _, pushed = jvp(f, along, wrt)(*arguments)
    terms = [a.astype(np.float64) * d for a, d in zip(arrays, direction, strict=True)]
    product = sum(float(np.sum(term)) for term in terms)
    size = sum(float(np.sum(np.abs(term))) for term in terms)
    single = any(a.dtype == np.float32 for a in arrays)
    difference = abs(float(pushed) - product) / max(size, 1e-30)
    limit = 1e-4 if single else 1e-10
    path = f"{wrt} (forward mode)"
    return GradientCheck(path, 1, abs(product), difference, difference <= limit)


def _position(f: Function, wrt: str) -> tuple[int, str]:
    name, _, path = wrt.partition(".")
    return [p.name for p in f.checked.parameters].index(name), path


def _at(value: PythonValue, path: str) -> PythonValue:
    for step in filter(None, path.split(".")):
        value = getattr(value, step)
    return value


def _moved(tree: Tree, name: str, flat: int, h: float) -> Tree:
    """`tree` with one component of the leaf `name` moved by `h`."""
    leaves, treedef = tree_flatten(tree)
    index = tree_paths(tree).index(name)
    leaf = np.array(leaves[index])
    leaf.reshape(-1)[flat] += h
    moved: list[Leaf] = list(leaves)
    moved[index] = leaf if leaf.ndim else leaf[()]
    return tree_unflatten(treedef, moved)


def _value(
    f: Function, arguments: tuple[PythonValue, ...], position: int, path: str, part: PythonValue
) -> float:
    changed = list(arguments)
    changed[position] = _put(changed[position], path.split(".") if path else [], part)
    return _first(f(*changed))


def _first(result: PythonValue) -> float:
    if isinstance(result, tuple):
        result = cast("tuple[PythonValue, ...]", result)[0]
    return float(result)


def _put(value: PythonValue, steps: list[str], part: PythonValue) -> PythonValue:
    if not steps:
        return part
    inner = _put(getattr(value, steps[0]), steps[1:], part)
    return value.replace(**{steps[0]: inner})
