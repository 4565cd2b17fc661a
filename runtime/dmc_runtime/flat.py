"""Trees as vectors: what minimisers and solvers that know nothing of records work on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar, cast

import numpy as np

from dmc_runtime.arguments import shallow, shown
from dmc_runtime.errors import ArgumentError
from dmc_runtime.leafwise import as_array, dtype_of, is_float, params
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
    tree_leaves,
    with_children,
)

T = TypeVar("T", bound=Tree)


def flatten(tree: T) -> tuple[Array, Callable[[Array], T]]:
    """The differentiable leaves of a record (or array, or tuple of them) as one vector, and back.

    `unflatten(vector)` gives the record with these leaves in place of its own, each in its own
    dtype; state, frozen and integer leaves stay. The vector has the widest dtype of the leaves. A
    gradient has the leaves of its model, so the two flatten alike.
    """
    with shallow("`dmc.flatten`: the tree"):
        leaves = tree_leaves(params(tree))
    if not leaves:
        raise ArgumentError("`dmc.flatten`: there is no leaf that is differentiable")
    dtype = np.result_type(*map(dtype_of, leaves))
    vector = np.concatenate([np.asarray(leaf).reshape(-1) for leaf in leaves]).astype(dtype)

    def unflatten(vector: Array | Sequence[float]) -> T:
        count = sum(np.size(leaf) for leaf in leaves)
        given = as_array(vector)
        if given is None or given.shape != (count,):
            raise ArgumentError(f"unflatten takes a vector of {count} numbers, not {_told(vector)}")
        return cast("T", with_params(tree, _parts(given, leaves)))

    return vector, unflatten


def _told(value: object) -> str:
    if isinstance(value, np.ndarray):
        array = cast("Array", value)
        return f"{array.dtype}{list(array.shape)}"
    return shown(value)


def _parts(vector: Array, leaves: list[Leaf]) -> Iterator[Leaf]:
    """The vector cut into arrays (and numbers) like the leaves."""
    start = 0
    for leaf in leaves:
        part = vector[start : start + np.size(leaf)].reshape(np.shape(leaf)).astype(dtype_of(leaf))
        yield part if isinstance(leaf, np.ndarray) else part[()]
        start += np.size(leaf)


def with_params(tree: Tree, leaves: Iterator[Leaf]) -> Tree:
    """The tree with other differentiable leaves, in order; see `params`."""
    kind = kind_of(tree)
    if kind is Kind.LEAF:
        return next(leaves) if is_float(cast("Leaf", tree)) else tree
    if kind is Kind.NONE:
        return None
    children = [child for _, child in children_of(tree)]
    fixed = (
        [field.role in (Role.STATE, Role.FROZEN) for field in spec_of(tree).fields]
        if isinstance(tree, Node)
        else [False] * len(children)
    )
    changed = [
        child if stays else with_params(child, leaves)
        for child, stays in zip(children, fixed, strict=True)
    ]
    return with_children(tree, changed)
