"""Results of kernels lie in memory in the order in which they are read."""

from __future__ import annotations

from dataclasses import dataclass

from dmc.dialects import kernel
from dmc.ir import AffineMap, ArrayAttr, Module, TensorType, Value
from dmc.ir.passes import Pass


@dataclass(frozen=True)
class Orient(Pass):
    """Store a contraction transposed where every reader is a kernel that reads it so.

    A contraction writes its result in either order at the same cost, but reading against the order
    of memory costs something each time. Other kernels store as they read.
    """

    name = "orient"

    def run(self, module: Module) -> None:
        for op in module.walk():
            if isinstance(op, kernel.Generic) and op.contraction() is not None:
                for result in op.results:
                    order = _wanted_order(result)
                    if order is not None:
                        _store_in(op, result, order)


def _wanted_order(result: Value) -> tuple[int, ...] | None:
    """The axes in the order in which all readers step through them; None to leave it alone."""
    type_ = result.type
    if not isinstance(type_, TensorType) or type_.rank < 2 or not result.uses:
        return None
    orders: set[tuple[int, ...]] = set()
    for user, index in result.uses:
        if not isinstance(user, kernel.Generic):
            return None
        picked = user.operand_maps[index].picked()
        if picked is None or len(set(picked)) < len(picked):
            return None
        by_dimension = sorted(zip(picked, range(type_.rank), strict=True))
        orders.add(tuple(axis for _, axis in by_dimension))
    order = orders.pop()
    return None if orders or list(order) == sorted(order) else order


def _store_in(op: kernel.Generic, result: Value, order: tuple[int, ...]) -> None:
    """Permute the axes of `result`, where it is made and where it is read."""
    type_ = result.type
    assert isinstance(type_, TensorType)
    position = len(op.operands) + result.index
    _permute(op, position, order)
    result.type = TensorType(tuple(type_.shape[axis] for axis in order), type_.dtype)
    for user, index in result.uses:
        assert isinstance(user, kernel.Generic)
        _permute(user, index, order)


def _permute(op: kernel.Generic, position: int, order: tuple[int, ...]) -> None:
    """Reorder the subscripts of one map of `op`."""
    maps = list(op.affine_maps)
    old = maps[position]
    maps[position] = AffineMap(old.dimensions, tuple(old.results[axis] for axis in order))
    op.attributes["maps"] = ArrayAttr(tuple(maps))
