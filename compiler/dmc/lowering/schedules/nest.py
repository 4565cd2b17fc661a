"""A perfect nest of loops over buffers: the form that maps and reductions are scheduled from.

Buffers are contiguous, so an affine subscript of each axis is one linear function of the loop
variables: a stride for each dimension and an offset. In that form dimensions can be dropped,
reordered and fused without looking at shapes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from dmc.dialects import kernel
from dmc.dialects.loop import strides_of
from dmc.ir.affine import AffineExpr, AffineMap
from dmc.ir.affine_set import AffineSet
from dmc.ir.attributes import DenseElements
from dmc.ir.operation import Block, Value
from dmc.ir.types import DType, MemRefType, dtype_of
from dmc.lowering.loop_builder import Linear, LoopBuilder


@dataclass(frozen=True)
class Access:
    """`buffer[Σ strides[d] · i_d + offset]`, or a scalar in a register (no strides matter)."""

    buffer: Value
    strides: tuple[int, ...]
    offset: Linear = field(default_factory=Linear)

    @property
    def dtype(self) -> DType:
        return dtype_of(self.buffer.type)

    @property
    def in_memory(self) -> bool:
        return isinstance(self.buffer.type, MemRefType)


@dataclass(frozen=True)
class Nest:
    """Scalar code run over `sizes`, of which the first `parallel` dimensions are independent.

    `body` yields one value for each of `outputs`, or, when there are reduction dimensions, for
    each of `combiners`; `epilogue` then turns the combined values, with `extras` read at the
    parallel point, into what is stored. `index_of` says which dimension a `kernel.index` means, and
    a dimension of `domain`, None where the subscript can only be 0. `domain` are the points that
    count, where the inputs and extras follow as further dimensions; `outside` are the values
    elsewhere. `captured` gives the buffers that bodies load from; `order` is the kernel's. What the
    body of a reduction yields beyond its combiners is `stored` at every point.
    """

    sizes: tuple[int, ...]
    parallel: int
    inputs: tuple[Access, ...]
    outputs: tuple[Access, ...]
    body: Block
    combiners: tuple[str, ...] = ()
    extras: tuple[Access, ...] = ()
    epilogue: Block | None = None
    index_of: tuple[int | None, ...] = ()
    captured: Mapping[Value, Value] = field(default_factory=dict[Value, Value])
    domain: AffineSet = field(default_factory=AffineSet)
    outside: tuple[DenseElements, ...] = ()
    order: tuple[int, ...] = ()
    stored: tuple[Access, ...] = ()

    @property
    def parallel_dims(self) -> range:
        return range(self.parallel)

    @property
    def reduction_dims(self) -> range:
        return range(self.parallel, len(self.sizes))

    @property
    def accesses(self) -> tuple[Access, ...]:
        return (*self.inputs, *self.extras, *self.outputs, *self.stored)

    @property
    def points(self) -> int:
        return math.prod(self.sizes)

    def indexed(self) -> set[int]:
        """Dimensions whose subscript the bodies read, or that the domain depends on."""
        blocks = [self.body] if self.epilogue is None else [self.body, self.epilogue]
        read = {op.dim for block in blocks for op in block if isinstance(op, kernel.Index)}
        bounded = {d for d in self.domain.dims() if d < len(self.index_of)}
        return {own for d in (*read, *bounded) if (own := self.index_of[d]) is not None}

    def rearranged(self, order: Sequence[int]) -> Nest:
        """The dimensions in another order (parallel ones still first)."""

        def move(access: Access) -> Access:
            return replace(access, strides=tuple([access.strides[d] for d in order]))

        position = {old: new for new, old in enumerate(order)}
        return replace(
            self,
            sizes=tuple(self.sizes[d] for d in order),
            inputs=tuple(map(move, self.inputs)),
            extras=tuple(map(move, self.extras)),
            outputs=tuple(map(move, self.outputs)),
            stored=tuple(map(move, self.stored)),
            index_of=tuple(None if d is None else position[d] for d in self.index_of),
            order=tuple(position[d] for d in self.order),
        )

    def fused(self, reductions: bool = True) -> Nest:
        """Without dimensions of size 1, and with neighbours fused that are one in every access.

        Only parallel neighbours, unless `reductions`.
        """
        nest = self.shrunk()
        d = 0
        while d + 1 < (len(nest.sizes) if reductions else nest.parallel):
            if nest._can_fuse(d):
                nest = nest._fuse(d)
            else:
                d += 1
        return nest

    def is_one(self, access: Access, dims: Sequence[int]) -> bool:
        """Whether neighbouring dimensions are one in an access."""
        strides = access.strides
        return all(strides[d] == strides[d + 1] * self.sizes[d + 1] for d in dims[:-1])

    def can_join(self, count: int) -> bool:
        """Whether the last `count` dimensions are one in every access."""
        dims = range(len(self.sizes))[-count:]
        apart = self.indexed().intersection(dims) if count > 1 else ()
        return not apart and all(self.is_one(access, dims) for access in self.accesses)

    def flattened(self, count: int) -> Nest:
        """The last `count` dimensions as one, by the last stride of every access."""
        first = len(self.sizes) - count

        def cut(access: Access) -> Access:
            return replace(access, strides=(*access.strides[:first], access.strides[-1]))

        return replace(
            self,
            sizes=(*self.sizes[:first], math.prod(self.sizes[first:])),
            inputs=tuple(map(cut, self.inputs)),
            extras=tuple(map(cut, self.extras)),
            outputs=tuple(map(cut, self.outputs)),
            stored=tuple(map(cut, self.stored)),
            index_of=tuple(None if d is None else min(d, first) for d in self.index_of),
            order=(),
        )

    def shrunk(self) -> Nest:
        """Without dimensions of size 1."""
        keep = [d for d, n in enumerate(self.sizes) if n != 1]

        def cut(access: Access) -> Access:
            return replace(access, strides=tuple(access.strides[d] for d in keep))

        position = {old: new for new, old in enumerate(keep)}
        return replace(
            self,
            sizes=tuple(self.sizes[d] for d in keep),
            parallel=sum(d < self.parallel for d in keep),
            inputs=tuple(map(cut, self.inputs)),
            extras=tuple(map(cut, self.extras)),
            outputs=tuple(map(cut, self.outputs)),
            stored=tuple(map(cut, self.stored)),
            index_of=tuple(None if d is None else position.get(d) for d in self.index_of),
            order=tuple(position[d] for d in self.order if d in position),
        )

    def _can_fuse(self, d: int) -> bool:
        if d + 1 == self.parallel or {d, d + 1} & self.indexed():
            return False
        inner = self.sizes[d + 1]
        return all(a.strides[d] == a.strides[d + 1] * inner for a in self.accesses)

    def _fuse(self, d: int) -> Nest:
        def join(access: Access) -> Access:
            s = access.strides
            return replace(access, strides=(*s[:d], *s[d + 1 :]))

        return replace(
            self,
            sizes=(*self.sizes[:d], self.sizes[d] * self.sizes[d + 1], *self.sizes[d + 2 :]),
            parallel=self.parallel - (d < self.parallel),
            inputs=tuple(map(join, self.inputs)),
            extras=tuple(map(join, self.extras)),
            outputs=tuple(map(join, self.outputs)),
            stored=tuple(map(join, self.stored)),
            index_of=tuple(None if i is None else i - (i > d) for i in self.index_of),
            order=(),
        )

    def sorted(self, reductions: bool = True) -> Nest:
        """Parallel dimensions as the first output lies in memory, reductions as the first input.

        Only parallel dimensions, unless `reductions`.
        """
        leader = self.outputs[0].strides
        outer = sorted(self.parallel_dims, key=lambda d: -leader[d])
        by = next((a.strides for a in self.inputs if a.in_memory), (0,) * len(self.sizes))
        inner = sorted(self.reduction_dims, key=lambda d: -abs(by[d]))
        return self.rearranged([*outer, *(inner if reductions else self.reduction_dims)])


def access_through(b: LoopBuilder, memref: Value, map_: AffineMap) -> Access:
    """The elements of a contiguous buffer (or the register) that an affine map picks."""
    if not isinstance(memref.type, MemRefType):
        return Access(memref, (0,) * map_.dimensions)
    assert map_.is_affine, "quasi-affine reads are loads by now"
    strides = [0] * map_.dimensions
    offset = 0
    for stride, subscript in zip(strides_of(memref.type), map_.results, strict=True):
        offset += stride * subscript.constant
        for d, c in enumerate(subscript.coefficients):
            strides[d] += stride * c
    return Access(b.flat(memref), tuple(strides), Linear((), offset))


def _columns(b: LoopBuilder, buffer: Value, map_: AffineMap, count: int) -> list[Access]:
    """Where the values go that one result takes at each point."""
    if not count:
        return [access_through(b, buffer, map_)]
    first = AffineMap(map_.dimensions, (*map_.results, AffineExpr.number(map_.dimensions, 0)))
    access = access_through(b, buffer, first)
    return [replace(access, offset=access.offset + k) for k in range(count)]


def nest_of(
    b: LoopBuilder, op: kernel.Generic, buffers: Sequence[Value], captured: Mapping[Value, Value]
) -> Nest:
    """The nest of a kernel whose operands and results are `buffers`, in order."""
    count = len(op.operands)
    inputs = [access_through(b, v, m) for v, m in zip(buffers, op.operand_maps, strict=False)]
    written = zip(buffers[count:], op.result_maps, strict=True)
    columns = op.columns or (0,) * len(op.results)
    outputs = [
        access
        for (buffer, map_), number in zip(written, columns, strict=True)
        for access in _columns(b, buffer, map_, number)
    ]
    finished = len(outputs) - len(op.stored)
    return Nest(
        sizes=op.space,
        parallel=len(op.parallel),
        inputs=tuple(inputs[: op.body_count]),
        extras=tuple(inputs[op.body_count :]),
        outputs=tuple(outputs[:finished]),
        stored=tuple(outputs[finished:]),
        body=op.body,
        combiners=op.combiner_names,
        epilogue=op.epilogue if op.reduction else None,
        index_of=tuple(range(len(op.space))),
        captured=captured,
        domain=op.domain,
        outside=op.constants_outside,
        order=op.order,
    )
