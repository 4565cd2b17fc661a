"""Leafwise arithmetic on records, and their differentiable part."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias, cast

import numpy as np

from dmc_runtime.errors import ArgumentError, MissingExtraError
from dmc_runtime.trees import (
    Array,
    Kind,
    Leaf,
    Node,
    Role,
    Tree,
    children_of,
    constants_of,
    kind_of,
    spec_of,
    tree_leaves,
    tree_map,
    with_children,
)


class Operation(Enum):
    """The arithmetic that lifts over records."""

    ADD = "+"
    SUBTRACT = "-"
    MULTIPLY = "*"
    DIVIDE = "/"
    POWER = "**"

    def __call__(self, left: Any, right: Any) -> Any:
        match self:
            case Operation.ADD:
                return left + right
            case Operation.SUBTRACT:
                return left - right
            case Operation.MULTIPLY:
                return left * right
            case Operation.DIVIDE:
                return left / right
            case Operation.POWER:
                return left**right


_SHORT_NAMES = {
    "float16": "f16",
    "bfloat16": "bf16",
    "float32": "f32",
    "float64": "f64",
    "int32": "i32",
    "int64": "i64",
    "bool": "bool",
}


def dtype_of(leaf: Leaf) -> np.dtype[Any]:
    """The element type of a leaf; Python numbers are `bool`, `int64` or `float64`."""
    return leaf.dtype if isinstance(leaf, np.ndarray | np.generic) else np.asarray(leaf).dtype


def as_array(value: object) -> Array | None:
    """An array, or a list that is one, of numbers; None for what is none."""
    if not isinstance(value, np.ndarray | list | tuple):
        return None
    try:
        array = np.asarray(cast("Any", value))
    except (ValueError, OverflowError, RecursionError):
        return None
    return array if is_numeric(array.dtype) else None


def is_numeric(dtype: np.dtype[Any]) -> bool:
    """Whether elements are numbers or truth values."""
    return dtype.kind in "biuf" or dtype.name == "bfloat16"


def bfloat16() -> np.dtype[Any]:
    """The element type of bf16. Raises MissingExtraError without the package ml_dtypes."""
    try:
        return np.dtype(importlib.import_module("ml_dtypes").bfloat16)
    except ImportError as error:
        raise MissingExtraError("ml_dtypes", "bf16", "an array of bf16") from error


def is_float(leaf: Leaf) -> bool:
    """Whether a leaf can carry a gradient."""
    dtype = dtype_of(leaf)
    return dtype.kind == "f" or dtype.name == "bfloat16"


def params(tree: Tree) -> Tree:
    """The float leaves outside `state` and `frozen` fields; `None` for the rest."""
    kind = kind_of(tree)
    if kind is Kind.LEAF:
        return tree if is_float(cast("Leaf", tree)) else None
    if kind is Kind.NONE:
        return None
    children = [params(child) for _, child in children_of(tree)]
    if isinstance(tree, Node):
        for index, field in enumerate(spec_of(tree).fields):
            if field.role in (Role.STATE, Role.FROZEN):
                children[index] = tree_map(_missing, children[index])
    return with_children(tree, children)


def states(tree: Tree, is_state: bool = False) -> list[bool]:
    """Which leaves are in `state` fields: what a model counts or averages while it trains."""
    kind = kind_of(tree)
    if kind in (Kind.LEAF, Kind.NONE):
        return [is_state] * (kind is Kind.LEAF)
    children = [child for _, child in children_of(tree)]
    roles = [None for _ in children]
    if isinstance(tree, Node):
        roles = [field.role for field in spec_of(tree).fields]
    pairs = zip(children, roles, strict=True)
    return [leaf for child, role in pairs for leaf in states(child, is_state or role is Role.STATE)]


def _missing(leaf: Leaf) -> None:
    del leaf


def arithmetic(operation: Operation, left: Tree, right: Tree) -> Tree:
    """`operation` on the differentiable leaves of two records, or of a record and a scalar.

    As in the language, everything else is that of the record which has more: the point that moves.
    Leaves must agree in shape and dtype; a scalar takes each leaf's dtype. Adding or subtracting a
    missing leaf changes nothing.
    """
    if not all(isinstance(part, Node) or _is_scalar(part) for part in (left, right)):
        return cast("Tree", NotImplemented)
    return lift(operation, left, right)


def lift(function: Callable[..., Any], *operands: Tree) -> Tree:
    """`function` on the differentiable leaves of records that have the same ones, and scalars."""
    point = max((part for part in operands if isinstance(part, Node)), key=_richness)
    parts = [part if isinstance(part, Node) else _Scalar(part) for part in operands]
    return _lift(function, point, parts, "")


@dataclass(frozen=True)
class _Scalar:
    """A number that is combined with every leaf."""

    value: Any

    def like(self, leaf: Leaf) -> Leaf:
        """In the dtype of a leaf, as a literal in the language adapts; never a wider one."""
        return np.asarray(self.value).astype(dtype_of(leaf))[()]


_Part: TypeAlias = "Tree | _Scalar"


def _richness(record: Node) -> tuple[int, int]:
    return len(tree_leaves(record)), len(constants_of(record))


def _is_scalar(value: object) -> bool:
    return isinstance(value, int | float | np.generic) or (
        isinstance(value, np.ndarray) and cast("Array", value).ndim == 0
    )


def _lift(function: Callable[..., Any], point: Tree, operands: Sequence[_Part], path: str) -> Tree:
    """`operands` are the parts at `path`, that of `point` among them, or scalars."""
    if kind_of(point) is Kind.LEAF:
        return _on_leaves(function, cast("Leaf", point), operands, path)
    if point is None:
        return None
    for other in operands:
        if not isinstance(other, _Scalar) and not _alike(point, other):
            raise ArgumentError(_difference(point, other, path))
    fields = spec_of(point).fields if isinstance(point, Node) else None
    children: list[Tree] = []
    for index, (step, child) in enumerate(children_of(point)):
        if fields is not None and fields[index].role in (Role.STATE, Role.FROZEN):
            children.append(child)
            continue
        parts = [o if isinstance(o, _Scalar) else children_of(o)[index][1] for o in operands]
        children.append(_lift(function, child, parts, path + step))
    return with_children(point, children)


def _alike(left: Tree, right: Tree) -> bool:
    """Whether two containers have the same parts."""
    if isinstance(left, Node) and isinstance(right, Node):
        return spec_of(left) == spec_of(right)
    return kind_of(left) is kind_of(right) and (
        [step for step, _ in children_of(left)] == [step for step, _ in children_of(right)]
    )


def _on_leaves(
    function: Callable[..., Any], point: Leaf, operands: Sequence[_Part], path: str
) -> Leaf:
    if not is_float(point):
        return point
    leaves: list[Leaf] = []
    for position, other in enumerate(operands):
        if other is None and _changes_nothing(function, position):
            return point
        if not isinstance(other, _Scalar) and kind_of(other) is not Kind.LEAF:
            raise ArgumentError(_difference(point, other, path))
        leaf = other.like(point) if isinstance(other, _Scalar) else cast("Leaf", other)
        fits = isinstance(other, _Scalar) or np.shape(leaf) == np.shape(point)
        if not fits or dtype_of(leaf) != dtype_of(point):
            where = path.removeprefix(".")
            raise ArgumentError(f"leaf `{where}`: {brief(point)} does not meet {brief(leaf)}")
        leaves.append(leaf)
    result = function(*leaves)
    return np.asarray(result) if isinstance(point, np.ndarray) else result


def _changes_nothing(function: Callable[..., Any], position: int) -> bool:
    """Whether a missing operand in this position leaves the other one as it is."""
    return function is Operation.ADD or (function is Operation.SUBTRACT and position == 1)


def _difference(left: Tree, right: Tree, path: str) -> str:
    where = f"at `{path.removeprefix('.')}`" if path else "here"
    return f"records differ {where}: {brief(left)} and {brief(right)}"


def same_leaf(left: Leaf, right: Leaf) -> bool:
    """Whether two leaves agree in shape, dtype and every value."""
    return dtype_of(left) == dtype_of(right) and np.array_equal(left, right)


def brief(tree: Tree) -> str:
    """One word for a value: `f32[64, 10]`, the number itself, or the name of a container."""
    if isinstance(tree, Node):
        return spec_of(tree).name
    if isinstance(tree, np.ndarray):
        array: Array = tree
        name = _SHORT_NAMES.get(array.dtype.name, array.dtype.name)
        return f"{name}({array[()]!s})" if array.ndim == 0 else f"{name}{list(array.shape)}"
    return str(tree) if kind_of(tree) in (Kind.LEAF, Kind.NONE) else type(tree).__name__
