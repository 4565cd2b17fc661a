"""Sums of products become contractions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from math import prod

from dmc.dialects import arith, tensor
from dmc.dialects.elementwise import splat_of
from dmc.ir import Builder, Module, Operation, TensorType, Value, dtype_of, shape_of
from dmc.ir.passes import Pass
from dmc.ir.rewriter import pattern, rewrite
from dmc.transforms.batch import erase_between
from dmc.transforms.canonicalize import PATTERNS


@dataclass(frozen=True)
class RecognizeContractions(Pass):
    """Rewrite `Σ a·b` over broadcast factors as `dot_general`.

    Every term of a sum stays the product that the program states, factor by factor in its order:
    nothing is taken out of a sum, and no product is associated anew, for either could overflow
    where the program does not. A factor that is a product itself is computed along its own axes
    alone; when each of the two has an axis that the other lacks, and both have every summed axis,
    their sum is a contraction. A contraction that is summed along a batching axis contracts it.
    A selection of products or zero selects elements of one factor: of what is not selected there is
    no product.
    """

    name = "recognize-contractions"

    def run(self, module: Module) -> None:
        # Whether a contraction is only summed shows when what else read it is gone.
        while rewrite(module, [*PATTERNS, _sum_of_products, _sum_of_contraction]):
            pass


@dataclass(frozen=True, slots=True)
class _Factor:
    """A value whose axis i runs along axis `axes[i]` of the summed tensor.

    `absorbs`: its zeros absorb infinities and NaN of other factors.
    """

    value: Value
    axes: tuple[int, ...]
    absorbs: bool = False

    @property
    def spans(self) -> frozenset[int]:
        return frozenset(self.axes)

    @property
    def size(self) -> int:
        return prod(shape_of(self.value.type))


@dataclass
class _Product:
    """What a summed tensor is a product of; `masks` select where it is not zero."""

    factors: list[_Factor]
    masks: list[_Factor]
    negative: bool = False


@pattern(tensor.Reduce)
def _sum_of_products(op: Operation, builder: Builder) -> Sequence[Value] | None:
    assert isinstance(op, tensor.Reduce)
    if op.kind is not tensor.Kind.SUM:
        return None
    start = op.previous
    found = _contraction(op, builder)
    if found is None and op.parent is not None:
        erase_between(op.parent, start, op)
    return found


def _contraction(op: tensor.Reduce, builder: Builder) -> Sequence[Value] | None:
    rank = len(shape_of(op.operand.type))
    product = _factors(builder, op.operand, rank)
    if product is None:
        return None
    after = [mask for mask in product.masks if mask.spans.isdisjoint(op.dimensions)]
    masks = [mask for mask in product.masks if mask not in after]
    found = _mask(builder, _joined(builder, product.factors), masks)
    if found is None:
        return None
    factors, selected = found
    spans = frozenset[int]().union(*(factor.spans for factor in factors))
    summed = spans.intersection(op.dimensions)
    match factors:
        case [one] if len(one.spans) < rank:
            total = _sum(builder, one, summed)
        case [lhs, rhs] if summed and summed <= lhs.spans & rhs.spans:
            total = _dot(builder, lhs, rhs, summed, selected)
        case _:
            return None
    value = _finish(builder, op, total, product.negative, factors)
    for mask in after:
        value = _chosen(builder, _Factor(value, op.kept), mask)
    return [value]


def _factors(builder: Builder, value: Value, rank: int) -> _Product | None:
    """The two factors of each term, below changes of sign and selections of nothing else."""
    product = _Product([], [])
    factor = _stripped(builder, _Factor(value, tuple(range(rank))))
    while len(factor.spans) == rank:
        op = factor.value.defining_op
        match op:
            case arith.Product():
                sides = ((op.lhs, op.lhs_absorbs), (op.rhs, op.rhs_absorbs))
                product.factors = [
                    _narrowed(builder, _Factor(each, factor.axes, absorbs))
                    for each, absorbs in sides
                ]
                return product
            case arith.Negate():
                product.negative = not product.negative
                inner = op.operand
            case arith.Select() if splat_of(op.on_false) == 0:
                product.masks.append(_stripped(builder, _Factor(op.predicate, factor.axes)))
                inner = op.on_true
            case _:
                return None
        factor = _stripped(builder, _Factor(inner, factor.axes))
    return None


def _narrowed(builder: Builder, factor: _Factor) -> _Factor:
    """The same values along as few axes as a product of broadcast factors has."""
    factor = _stripped(builder, factor)
    op = factor.value.defining_op
    if not isinstance(op, arith.Product | arith.Negate):
        return factor
    parts = [_narrowed(builder, _Factor(each, factor.axes)) for each in op.operands]
    spans = frozenset[int]().union(*(part.spans for part in parts))
    if len(spans) == len(factor.axes):
        return factor
    shape = shape_of(factor.value.type)
    kept = [i for i, axis in enumerate(factor.axes) if axis in spans]
    sizes = [shape[i] for i in kept]
    axes = tuple(factor.axes[i] for i in kept)
    values = [_spread(builder, part, axes, sizes) for part in parts]
    made = builder.insert(type(op)(values, op.attributes)).results[0]
    return replace(factor, value=made, axes=axes)


def _stripped(builder: Builder, factor: _Factor) -> _Factor:
    """Without repetition and transposition."""
    while True:
        op = factor.value.defining_op
        match op:
            case tensor.BroadcastInDim():
                repeated = op.repeated
                shape = shape_of(op.operand.type)
                kept = [i for i, d in enumerate(op.broadcast_dimensions) if d not in repeated]
                value = op.operand
                if len(kept) < len(shape):
                    value = tensor.reshape(builder, value, [shape[i] for i in kept])
                axes = tuple(factor.axes[op.broadcast_dimensions[i]] for i in kept)
                factor = replace(factor, value=value, axes=axes)
            case tensor.Transpose():
                places = {p: d for d, p in enumerate(op.permutation)}
                axes = tuple(factor.axes[places[p]] for p in range(len(places)))
                factor = replace(factor, value=op.operand, axes=axes)
            case _:
                return factor


def _joined(builder: Builder, factors: Sequence[_Factor]) -> list[_Factor]:
    """The product as one factor where one side has all axes of the other."""
    lhs, rhs = factors
    wide = lhs if rhs.spans <= lhs.spans else rhs
    if not lhs.spans | rhs.spans <= wide.spans:
        return [lhs, rhs]
    sizes = shape_of(wide.value.type)
    x, y = (_spread(builder, factor, wide.axes, sizes) for factor in (lhs, rhs))
    return [_Factor(arith.product(builder, x, y, lhs.absorbs, rhs.absorbs), wide.axes)]


def _spread(builder: Builder, factor: _Factor, axes: Sequence[int], sizes: Sequence[int]) -> Value:
    """`factor` repeated to `axes` of `sizes`, in their order."""
    order = sorted(range(len(factor.axes)), key=lambda i: axes.index(factor.axes[i]))
    value = tensor.transpose(builder, factor.value, order)
    places = sorted(axes.index(axis) for axis in factor.axes)
    return tensor.broadcast_in_dim(builder, value, sizes, places)


def _mask(
    builder: Builder, factors: list[_Factor], masks: Sequence[_Factor]
) -> tuple[list[_Factor], Value | None] | None:
    """Which elements of the first factor returned take part; None if no factor spans the masks.

    What is not selected of a single factor is zero at once.
    """
    if not masks:
        return factors, None
    spanned = frozenset(axis for mask in masks for axis in mask.axes)
    able = [factor for factor in factors if spanned <= factor.spans]
    if not able:
        return None
    first = min(able, key=lambda factor: factor.size)
    others = [factor for factor in factors if factor is not first]
    if not others:
        for mask in masks:
            first = replace(first, value=_chosen(builder, first, mask))
        return [first], None
    sizes = shape_of(first.value.type)
    parts = [_spread(builder, mask, first.axes, sizes) for mask in masks]
    return [first, *others], reduce(partial(arith.logical_and, builder), parts)


def _chosen(builder: Builder, factor: _Factor, mask: _Factor) -> Value:
    """`factor` where `mask` holds, zero elsewhere."""
    wide = _spread(builder, mask, factor.axes, shape_of(factor.value.type))
    zero = arith.zeros(builder, factor.value.type)
    return arith.select(builder, wide, factor.value, zero)


def _sum(builder: Builder, factor: _Factor, summed: frozenset[int]) -> _Factor:
    """The factor summed over those of its axes."""
    dims = [i for i, axis in enumerate(factor.axes) if axis in summed]
    value = tensor.reduce_sum(builder, factor.value, dims)
    left = tuple(axis for axis in factor.axes if axis not in summed)
    return replace(factor, value=value, axes=left)


def _dot(
    builder: Builder,
    lhs: _Factor,
    rhs: _Factor,
    summed: frozenset[int],
    selected: Value | None = None,
) -> _Factor:
    """The contraction over `summed`, axes of both; `selected` tells what of `lhs` takes part."""
    shared = [axis for axis in lhs.axes if axis in rhs.spans]

    def places(chosen: Sequence[int]) -> tuple[list[int], list[int]]:
        return [lhs.axes.index(a) for a in chosen], [rhs.axes.index(a) for a in chosen]

    batch = [axis for axis in shared if axis not in summed]
    contracted = [axis for axis in shared if axis in summed]
    absorb = (lhs.absorbs, rhs.absorbs)
    value = tensor.dot_general(
        builder,
        lhs.value,
        rhs.value,
        places(batch),
        places(contracted),
        absorb,
        () if selected is None else (selected,),
    )
    left = [axis for axis in lhs.axes if axis not in shared]
    right = [axis for axis in rhs.axes if axis not in shared]
    return _Factor(value, (*batch, *left, *right))


def _finish(
    builder: Builder,
    op: tensor.Reduce,
    total: _Factor,
    negative: bool,
    groups: Sequence[_Factor],
) -> Value:
    """The result of `op` from `total`, over all axes that are left."""
    shape, kept = shape_of(op.operand.type), op.kept
    type_ = TensorType(tuple(shape[d] for d in kept), dtype_of(op.operand.type))
    value = _spread(builder, total, kept, type_.shape)
    # Along an axis that no factor in the sum has, equal terms add up.
    missing = set(op.dimensions) - {axis for group in groups for axis in group.axes}
    times = prod(shape[d] for d in missing)
    if times != 1:
        value = arith.multiply(builder, value, arith.constant(builder, times, type_))
    return arith.negate(builder, value) if negative else value


@pattern(tensor.Reduce)
def _sum_of_contraction(op: Operation, builder: Builder) -> Sequence[Value] | None:
    """A summed batching axis is contracted."""
    assert isinstance(op, tensor.Reduce)
    if op.kind is not tensor.Kind.SUM:
        return None
    rank = len(shape_of(op.operand.type))
    factor = _Factor(op.operand, tuple(range(rank)))
    turn = op.operand.defining_op
    if isinstance(turn, tensor.Transpose):
        places = {p: d for d, p in enumerate(turn.permutation)}
        factor = _Factor(turn.operand, tuple(places[p] for p in range(rank)))
    dot = factor.value.defining_op
    if not isinstance(dot, tensor.DotGeneral) or _has_others(factor.value, op.operand, op):
        return None
    # Contracted axes of the operands are numbered behind those of the result.
    contracted = tuple(range(rank, rank + len(dot.lhs_contracting_dimensions)))
    batches = factor.axes[: len(dot.lhs_batching_dimensions)]
    middle = len(batches) + len(dot.lhs_free)
    lhs = _labelled(
        dot.lhs,
        (dot.lhs_batching_dimensions, batches),
        (dot.lhs_free, factor.axes[len(batches) : middle]),
        (dot.lhs_contracting_dimensions, contracted),
        absorbs=dot.lhs_absorbs,
    )
    rhs = _labelled(
        dot.rhs,
        (dot.rhs_batching_dimensions, batches),
        (dot.rhs_free, factor.axes[middle:]),
        (dot.rhs_contracting_dimensions, contracted),
        absorbs=dot.rhs_absorbs,
    )
    both = frozenset(op.dimensions) & lhs.spans & rhs.spans
    if not both:
        return None
    selected = next(iter(dot.selected), None)
    total = _dot(builder, lhs, rhs, both.union(contracted), selected)
    total = _sum(builder, total, frozenset(op.dimensions) - both)
    return [_finish(builder, op, total, False, (lhs, rhs))]


def _has_others(dot: Value, turned: Value, reader: Operation) -> bool:
    """Whether a contraction is needed for more than its sum; what is dead does not count."""
    readers = [user for value in (dot, turned) for user in value.users]
    living = [u for u in readers if u is not turned.owner and any(v.uses for v in u.results)]
    ends = [u for u in readers if not u.results]
    return bool(ends) or any(user is not reader for user in living)


def _labelled(value: Value, *groups: tuple[Sequence[int], Sequence[int]], absorbs: bool) -> _Factor:
    """`value` with the labels given for groups of its axes."""
    labels: dict[int, int] = {}
    for dims, axes in groups:
        labels.update(zip(dims, axes, strict=True))
    return _Factor(value, tuple(labels[d] for d in range(len(labels))), absorbs)
