"""Results of kernels lie in memory in the order in which they are read."""

from __future__ import annotations

from dataclasses import dataclass

from dmc.dialects import kernel
from dmc.ir import AffineExpr, AffineMap, ArrayAttr, Module, Operation, TensorType, Value
from dmc.ir.passes import Pass

Order = tuple[int, ...]
"""The axes of a tensor, the one along which it is contiguous last."""


@dataclass(frozen=True)
class Orient(Pass):
    """Store a result with its axes in another order where that suits every reader.

    Reading against the order of memory costs something each time. A contraction wants the axes
    that number its matrices first, so that each lies in one piece; a kernel that walks its
    operands wants the axis last that it takes its steps along. A contraction stores its result in
    any order at the same cost; so does a map, but for the axis along which it reads. Other kernels
    store as they read.
    """

    name = "orient"

    def run(self, module: Module) -> None:
        for op in module.walk():
            if isinstance(op, kernel.Generic) and not op.columns:
                for result in op.results:
                    order = _wanted_order(op, result)
                    if order is not None:
                        _store_in(op, result, order)


def _wanted_order(op: kernel.Generic, result: Value) -> Order | None:
    """The order that suits all readers; None to leave a result alone."""
    type_ = result.type
    if not isinstance(type_, TensorType) or type_.rank < 2 or not result.uses:
        return None
    readers: list[_Wish] = []
    for user, index in result.uses:
        reader = _wish(user, index)
        if reader is None:
            return None
        readers.append(reader)
    natural = tuple(range(type_.rank))
    made = _batch_first(op, op.result_maps[result.index])
    for order in (natural if made is None else made.wanted, natural, *(r.wanted for r in readers)):
        if all(reader.suits(order) for reader in readers):
            return order if order != natural and _stores_in(op, result, order) else None
    return None


@dataclass(frozen=True)
class _Wish:
    """An order that a kernel wants, of which it insists on the first axes, or on the last one."""

    wanted: Order
    first: int

    def suits(self, order: Order) -> bool:
        """Whether an order is as good as the one that is wanted."""
        if self.first:
            return order[: self.first] == self.wanted[: self.first]
        return order[-1] == self.wanted[-1]


def _wish(user: Operation, index: int) -> _Wish | None:
    """How a kernel reads an operand; None if not along one dimension for each axis."""
    if not isinstance(user, kernel.Generic):
        return None
    along = [_dimension(expr) for expr in user.operand_maps[index].results]
    if None in along or len(set(along)) < len(along):
        return None
    walked = [d for d in user.order or range(len(user.space)) if d in along]
    plain = _Wish(tuple(map(along.index, walked)), 0)
    return _batch_first(user, user.operand_maps[index]) or plain


def _batch_first(op: kernel.Generic, map_: AffineMap) -> _Wish | None:
    """The axes that number matrices before the others; None where there is but one."""
    product = op.matrix_product()
    along = [_dimension(expr) for expr in map_.results]
    first = [along.index(d) for d in product.batch if d in along] if product else []
    rest = [axis for axis in range(len(along)) if axis not in first]
    return _Wish((*first, *rest), len(first)) if first else None


def _stores_in(op: kernel.Generic, result: Value, order: Order) -> bool:
    """Whether a kernel stores in another order at the same cost."""
    if op.reduction:
        return op.matrix_product() is not None
    picked = op.result_maps[result.index].picked()
    assert picked is not None
    last = picked[-1]
    reads = (map_.results[-1] for map_ in op.operand_maps if map_.results)
    return order[-1] == len(order) - 1 or not any(last in expr.dims() for expr in reads)


def _dimension(expr: AffineExpr) -> int | None:
    """The only dimension that a subscript moves with, however clamped; None if it is not one."""
    dims = expr.dims()
    return min(dims) if len(dims) == 1 else None


def _store_in(op: kernel.Generic, result: Value, order: Order) -> None:
    """Permute the axes of `result`, where it is made and where it is read."""
    type_ = result.type
    assert isinstance(type_, TensorType)
    position = len(op.operands) + result.index
    _permute(op, position, order)
    result.type = TensorType(tuple(type_.shape[axis] for axis in order), type_.dtype)
    for user, index in result.uses:
        assert isinstance(user, kernel.Generic)
        _permute(user, index, order)


def _permute(op: kernel.Generic, position: int, order: Order) -> None:
    """Reorder the subscripts of one map of `op`."""
    maps = list(op.affine_maps)
    old = maps[position]
    maps[position] = AffineMap(old.dimensions, tuple(old.results[axis] for axis in order))
    op.attributes["maps"] = ArrayAttr(tuple(maps))
