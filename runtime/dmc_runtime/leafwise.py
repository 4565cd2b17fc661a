"""Leafwise arithmetic on records, and their differentiable part."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, cast

import numpy as np

from dmc_runtime.trees import (
    Array,
    Kind,
    Leaf,
    Node,
    Role,
    Tree,
    children_of,
    kind_of,
    spec_of,
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


def _missing(leaf: Leaf) -> None:
    del leaf


def arithmetic(operation: Operation, left: Tree, right: Tree) -> Tree:
    """`operation` on matching leaves of two records, or of a record and a scalar.

    Leaves must agree in shape and dtype; a scalar takes each leaf's dtype. Adding or subtracting
    a missing leaf changes nothing.
    """
    if isinstance(left, Node) and isinstance(right, Node):
        return _with_tree(operation, left, right, "")
    if isinstance(left, Node) and _is_scalar(right):
        return _with_scalar(lambda leaf: operation(leaf, _adapted(right, leaf)), left)
    if isinstance(right, Node) and _is_scalar(left):
        return _with_scalar(lambda leaf: operation(_adapted(left, leaf), leaf), right)
    return cast("Tree", NotImplemented)


def _with_scalar(function: Callable[[Leaf], Any], record: Node) -> Tree:
    def apply(leaf: Leaf) -> Leaf:
        result = function(leaf)
        return np.asarray(result) if isinstance(leaf, np.ndarray) else result

    return tree_map(apply, record)


def _is_scalar(value: object) -> bool:
    return isinstance(value, int | float | np.generic) or (
        isinstance(value, np.ndarray) and cast("Array", value).ndim == 0
    )


def _adapted(scalar: Any, leaf: Leaf) -> Any:
    """A scalar in the leaf's own dtype, as a literal in the language adapts; never a wider one."""
    dtype = dtype_of(leaf)
    if not is_float(leaf) and is_float(scalar):
        raise TypeError(f"a float does not combine with a leaf of {dtype.name}")
    return np.asarray(scalar).astype(dtype)[()]


def _with_tree(operation: Operation, left: Tree, right: Tree, path: str) -> Tree:
    """Leafwise `operation` on two trees; adding or subtracting what is missing changes nothing."""
    if left is None and right is None:
        return None
    if right is None and operation in (Operation.ADD, Operation.SUBTRACT):
        return left
    if left is None and operation is Operation.ADD:
        return right
    kind = kind_of(left)
    if kind is not kind_of(right) or not _same_fields(left, right):
        where = f"at `{path.removeprefix('.')}`" if path else "here"
        raise TypeError(f"records differ {where}: {brief(left)} and {brief(right)}")
    if kind is Kind.LEAF:
        return _on_leaves(operation, cast("Leaf", left), cast("Leaf", right), path)
    pairs = zip(children_of(left), children_of(right), strict=True)
    return with_children(
        left, [_with_tree(operation, a, b, path + step) for (step, a), (_, b) in pairs]
    )


def _same_fields(left: Tree, right: Tree) -> bool:
    if isinstance(left, Node) and isinstance(right, Node):
        return spec_of(left) == spec_of(right)
    return kind_of(left) is Kind.LEAF or [s for s, _ in children_of(left)] == [
        s for s, _ in children_of(right)
    ]


def _on_leaves(operation: Operation, left: Leaf, right: Leaf, path: str) -> Leaf:
    if np.shape(left) != np.shape(right) or dtype_of(left) != dtype_of(right):
        where = path.removeprefix(".")
        raise ValueError(f"leaf `{where}`: {brief(left)} does not meet {brief(right)}")
    result = operation(left, right)
    return np.asarray(result) if isinstance(left, np.ndarray) else result


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
