"""Checking gradients numerically."""

from __future__ import annotations

from functools import partial
from typing import cast

import numpy as np

from dmc.api.check_rules import compare_rules, rules_of
from dmc.api.conversion import PythonValue, refuse
from dmc.api.differentiate import function_of, jvp, value_and_grad
from dmc.api.donation import Donated
from dmc.api.function import Function
from dmc.api.operators import Wrt
from dmc.api.slopes import GradientCheck, Tolerances, slope
from dmc.diagnostics.diagnostic import Diagnostic, Label
from dmc.diagnostics.errors import error
from dmc.semantics.types import TensorType, TupleType
from dmc_runtime.arguments import integer
from dmc_runtime.records import Leaf, Tree, TreeDef, tree_flatten, tree_paths, tree_unflatten

_OTHER_POINT = "give arguments with elements, away from kinks, or leave the part out of `wrt`"


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

    Of a function with rules of its own, which may give an array, each rule is held against
    differences along random directions.

    At most `samples` components of each leaf are perturbed, chosen by `seed`. The defaults of
    `step` and `tolerance` suit the element type. Raises dmc.Error naming the leaves that fail.
    """
    tolerances = Tolerances(step, tolerance)
    checks = compare_gradients(f, arguments, wrt, tolerances, samples, seed)
    wrong = [check for check in checks if not check.passed and check.checked]
    if wrong:
        table = ", ".join(f"`{check.path}` by {check.error:.1e}" for check in wrong)
        title = f"the derivative of `{f.checked.name}` disagrees with finite differences in {table}"
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
    """What `check_grads` finds: rules, then leaf by leaf, then mode against mode, passed or not."""
    f = function_of(f, "check_grads", wrt)
    # Given to many calls, they stay whole.
    arguments = tuple(a.value if isinstance(a, Donated) else a for a in arguments)
    tolerances = tolerances or Tolerances()
    samples = integer(samples, "`dmc.check_grads`: `samples`", 0)
    rng = np.random.default_rng(integer(seed, "`dmc.check_grads`: `seed`", 0))
    paths = (
        (f.checked.parameters[0].name,) if wrt is None else (wrt,) if isinstance(wrt, str) else wrt
    )
    checks = compare_rules(f, arguments, tolerances, samples, rng)
    if rules_of(f) and not _gives_scalar(f):
        return checks
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
            found = slope(partial(at, int(flat)), middle, h, limit * scale)
            if found is None:
                kinks += 1
                continue
            # `nan` must not look like agreement, which `max` would let it.
            difference = abs(found - float(bar.reshape(-1)[flat]))
            worst = difference if not difference <= worst else worst
        where = ".".join(filter(None, (f.checked.parameters[position].name, path, name)))
        norm = float(np.linalg.norm(bar.astype(np.float64)))
        relative = worst / scale
        checked = len(picked) - kinks
        passed = checked > 0 and relative <= limit
        checks.append(GradientCheck(where, bar.size, norm, relative, passed, checked, kinks))
    checks.append(_modes_agree(f, arguments, wrt, leaves, treedef, rng))
    return checks


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
    narrowest = min(a.dtype.itemsize for a in arrays)
    difference = abs(float(pushed) - product) / max(size, 1e-30)
    limit = {2: 5e-2, 4: 1e-4}.get(narrowest, 1e-10)
    path = f"{wrt} (forward mode)"
    return GradientCheck(path, 1, abs(product), difference, difference <= limit)


def _gives_scalar(f: Function) -> bool:
    """Whether the first of what `f` gives is one number."""
    result = f.checked.result
    first = result.items[0] if isinstance(result, TupleType) else result
    return isinstance(first, TensorType) and not first.shape


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
    leaf = np.array(leaves[index], order="C")  # of which `reshape` is a view
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
