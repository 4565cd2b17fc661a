"""What a contraction is made of, and how it is tiled and divided."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dmc.dialects import arith, kernel
from dmc.ir.operation import Value
from dmc.ir.types import DType, dtype_of
from dmc.lowering.machine import Machine
from dmc.lowering.schedules.nest import Access, Nest

LONGEST_PART = 512
"""Longer sums go through memory in parts: a panel of the right operand should stay in the first
cache, a block of the left one in the second."""

LINE, PAGE, FIRST_CACHE = 64, 4096, 32 * 1024
"""Bytes of a line of a cache, of a page of memory, and of a first cache."""

NEAR_PAGES = 128
"""A column of the left operand in more pages is so slow to read that two panels repay packing."""

MOST_PARTS = 128
"""Sums of so many parts are parts themselves: the error does not grow with the length."""

BLOCK_BYTES = 192 * 1024
"""Of the left operand so much is packed at a time, in the half of a second cache of 512 KiB."""

GROUP_BYTES = 4 * 1024 * 1024
"""The most that a task packs of the right operand, and that its partial sums may take."""

FLOPS_PER_NANOSECOND = 100.0
PARALLEL_NANOSECONDS = 30_000
"""A shorter contraction runs on one thread."""

PROCESSORS = 4
"""The division into tasks weighs the time on one processor and on so many alike."""

TURN, MOVE, NARROW = 3.0, 3.0, 1.5
"""What it costs to pack an element that is transposed, and one that is not, in vectors of
fused multiply-adds: mostly the time that memory takes. In panels of a few rows it is more."""

APART = 3.0
"""What it costs to write or read an element of the result whose neighbours are not columns."""


@dataclass(frozen=True)
class Tile:
    """Rows and vectors of columns of the result held in registers."""

    rows: int
    vectors: int


@dataclass(frozen=True)
class Contraction:
    """`C[outer, m, n] = Σ_k A[outer, m, k] · B[outer, k, n]` as dimensions of `nest`.

    `m` may be None (one row). `n` runs along the lanes. k may be several dimensions, `summed`, in
    the order of the sum. `a` and `b` are the accesses; zeros of `a` absorb infinities and NaN of
    `b` if `a_absorbs`, and the other way round. Products that `gate` does not select count as 0,
    which they are unless they are NaN.
    """

    nest: Nest
    a: Access
    b: Access
    a_absorbs: bool
    b_absorbs: bool
    m: int | None
    n: int
    outer: tuple[int, ...]
    summed: tuple[int, ...]
    gate: Access | None = None

    @property
    def dtype(self) -> DType:
        """The type of the products: f32 where operands are f16 or bf16."""
        return self.a.dtype.wide

    @property
    def is_guarded(self) -> bool:
        """Whether the sum of plain products may be NaN where it should not be."""
        return self.a_absorbs or self.b_absorbs or self.gate is not None

    @property
    def rows(self) -> int:
        return 1 if self.m is None else self.nest.sizes[self.m]

    @property
    def columns(self) -> int:
        return self.nest.sizes[self.n]

    @property
    def length(self) -> int:
        """How many products an element is the sum of."""
        return math.prod(self.nest.sizes[d] for d in self.summed)


def as_contraction(nest: Nest, machine: Machine) -> Contraction | None:
    """The cheapest roles of dimensions, or None for what is left to the general reduction."""
    product = _product(nest)
    if product is None or nest.order or nest.stored or nest.combiners != ("add",):
        return None
    absorbs = (product.lhs_absorbs, product.rhs_absorbs)
    if not all(access.in_memory for access in nest.inputs) or 0 in nest.sizes:
        return None
    nest = nest.sorted().fused()
    if not nest.reduction_dims or not nest.outputs:
        return None
    reads = dict(zip(nest.body.args, nest.inputs, strict=True))
    left, right = (reads.pop(_factor(value)) for value in product.operands)
    gate = next(iter(reads.values()), None)
    best: tuple[float, Contraction] | None = None
    for a, b, turned in ((left, right, False), (right, left, True)):
        m = [d for d in nest.parallel_dims if a.strides[d] and not b.strides[d]]
        row = max(m, key=lambda d: nest.sizes[d], default=None)
        for n in nest.parallel_dims:
            if b.strides[n] and not a.strides[n]:
                outer = tuple(d for d in nest.parallel_dims if d not in (row, n))
                of_a, of_b = absorbs[::-1] if turned else absorbs
                roles = (row, n, outer, tuple(nest.reduction_dims))
                found = Contraction(nest, a, b, of_a, of_b, *roles, gate)
                cost = _cost(found, machine.lanes(a.dtype))
                if best is None or cost < best[0]:
                    best = cost, found
    return None if best is None else best[1]


def _cost(shape: Contraction, lanes: int) -> float:
    """What all matrices of the batch cost, in vectors of fused multiply-adds."""
    products = shape.rows * -(-shape.columns // lanes) * shape.length
    turned = TURN * shape.columns * shape.length * (shape.b.strides[shape.n] != 1)
    apart = sum(
        access.strides[shape.n] not in (0, 1)
        for access in (*shape.nest.outputs, *shape.nest.extras)
        if access.in_memory
    )
    batch = math.prod(shape.nest.sizes[d] for d in shape.outer)
    return batch * (products + turned + APART * apart * shape.rows * shape.columns)


def _product(nest: Nest) -> arith.Product | None:
    """The floating product of two arguments that the body is, perhaps behind a gate.

    Arguments that are f16 or bf16 may be widened.
    """
    value = nest.body.terminator.operands[0]
    read: list[Value] = []
    if isinstance(value.defining_op, kernel.Gate):
        selected, value = value.defining_op.operands
        read.append(selected)
    product = value.defining_op
    if not isinstance(product, arith.Product):
        return None
    read += map(_factor, product.operands)
    each_once = len(read) == len(nest.body.args) and {*read} == {*nest.body.args}
    floating = dtype_of(product.lhs.type) in (DType.F32, DType.F64)
    return product if each_once and floating else None


def _factor(value: Value) -> Value:
    """What is widened to give a factor, or the factor."""
    op = value.defining_op
    if isinstance(op, arith.Convert) and dtype_of(op.operand.type).is_half:
        return op.operand
    return value


@dataclass(frozen=True)
class Part:
    """What is summed at a time: some subscripts of one dimension, and all of those within it."""

    moving: int
    step: int
    around: tuple[int, ...]
    inner: tuple[int, ...]
    points: int


def part_of(shape: Contraction) -> Part:
    """The parts of a sum: about equal, and at most `LONGEST_PART` long."""
    sizes = shape.nest.sizes
    inside, position = 1, len(shape.summed) - 1
    while position > 0 and inside * sizes[shape.summed[position]] <= LONGEST_PART:
        inside *= sizes[shape.summed[position]]
        position -= 1
    moving = shape.summed[position]
    count = -(-sizes[moving] // max(1, LONGEST_PART // inside))
    step = -(-sizes[moving] // count)
    if inside == 1 and count > 1:
        step = -(-step // UNIT) * UNIT
    around, inner = shape.summed[:position], shape.summed[position + 1 :]
    return Part(moving, step, around, inner, step * inside)


UNIT = 16
"""Parts along one dimension are whole numbers of so many."""


@dataclass(frozen=True)
class Plan:
    """Tile, which operands are packed, and how the result is divided among tasks.

    A task takes `panels` panels of `tile.vectors` vectors and `tiles` tiles of rows, of which
    `block` are packed at a time.
    """

    lanes: int
    tile: Tile
    part: Part
    pack_left: bool
    pack_right: bool
    panels: int
    tiles: int
    block: int

    @property
    def width(self) -> int:
        """Columns of a panel."""
        return self.tile.vectors * self.lanes

    @property
    def rows(self) -> int:
        """Rows of a task."""
        return self.tiles * self.tile.rows


def make_plan(machine: Machine, shape: Contraction, lanes: int) -> Plan:
    """How to compute a contraction."""
    tile, part = _tile(machine, shape, lanes), part_of(shape)
    size, width = shape.dtype.bytes, tile.vectors * lanes
    pieces = -(-shape.rows // tile.rows), -(-shape.columns // width)
    right = _is_right_packed(machine, shape, tile, lanes)
    left = _is_left_packed(shape, part, size, pieces[1])
    block = max(1, BLOCK_BYTES // (part.points * tile.rows * size))
    row = shape.a.strides[shape.summed[-1]] == 1
    column = shape.b.strides[shape.n] == 1
    packing = left * NARROW * (TURN if row else MOVE), right * (MOVE if column else TURN)
    batch = math.prod(shape.nest.sizes[d] for d in shape.outer)
    processors = PROCESSORS if is_divided(shape) else 1

    def cost(tiles: int, panels: int) -> float:
        groups = batch * -(-pieces[0] // tiles) * -(-pieces[1] // panels)
        rows, columns = tiles * tile.rows, panels * width
        once = rows * columns / lanes + rows * packing[0] + columns * packing[1]
        return once * (groups + processors * -(-groups // processors))

    # Of a left operand in place, every tile passes all panels: they stay in the second cache.
    most = GROUP_BYTES if left else machine.l2_bytes // 2

    def fits(tiles: int, panels: int) -> bool:
        columns = panels * width * size
        sums = tiles * tile.rows * columns
        return tiles == panels == 1 or (part.points * columns <= most and sums <= GROUP_BYTES)

    divided = _shares(pieces[0]), _shares(pieces[1])
    choices = [(t, p) for t in divided[0] for p in divided[1] if fits(t, p)] or [(1, 1)]
    tiles, panels = min(choices, key=lambda choice: (cost(*choice), choice))
    # Groups are whole numbers of blocks, which are about equal.
    blocks = -(-tiles // block)
    block = -(-tiles // blocks)
    return Plan(lanes, tile, part, left, right, panels, blocks * block, block)


def _shares(pieces: int) -> list[int]:
    """The sizes of groups in which pieces can be divided evenly."""
    return sorted({-(-pieces // groups) for groups in range(1, pieces + 1)})


def _is_right_packed(machine: Machine, shape: Contraction, tile: Tile, lanes: int) -> bool:
    """Whether it is worth it to pack the right operand."""
    size, width = shape.dtype.bytes, tile.vectors * lanes
    if shape.b.strides[shape.n] != 1:
        return True
    if shape.b.dtype.is_half:  # to be widened once
        return shape.rows > tile.rows
    pitch, bytes_ = shape.b.strides[shape.summed[-1]], shape.length * shape.columns * size
    # Packed, sums over several dimensions are one loop.
    single = len(shape.summed) == 1
    if single and pitch <= width:  # rows lie as those of a panel do
        return False
    # A copy of what is large drives it out of the second cache.
    far = single and pitch * size <= PAGE // 4 and 2 * bytes_ > machine.l2_bytes
    return shape.rows >= (24 if far else 3) * tile.rows and bytes_ > 16 * 1024


def _is_left_packed(shape: Contraction, part: Part, size: int, panels: int) -> bool:
    """Whether rows of the left operand would come from many lines of a cache, or the same ones."""
    if shape.m is None:
        return False
    if shape.a.dtype.is_half:  # to be widened once
        return panels > 1
    stride = shape.a.strides[shape.summed[-1]] * size
    if stride != size and part.points * LINE > FIRST_CACHE // 4:
        return panels >= (2 if part.points * min(stride, PAGE) > NEAR_PAGES * PAGE else 4)
    return panels >= 4 and stride == size and shape.a.strides[shape.m] * size % PAGE == 0


def _tile(machine: Machine, shape: Contraction, lanes: int) -> Tile:
    """The register tile: as large as registers allow, and dividing the rows well."""
    sums = 24 if machine.vector_registers >= 32 else 12 if machine.has_fma else 8
    wide = 4 if machine.vector_registers >= 32 else 2
    vectors = -(-shape.columns // lanes)
    if shape.rows <= sums // wide // 2:
        return Tile(shape.rows, max(1, min(vectors, sums // max(2, shape.rows), 8)))
    wide = min(wide, vectors)
    most = min(sums // wide, 12)

    def cost(rows: int) -> float:
        whole, rest = divmod(shape.rows, rows)
        return whole * _step(rows, wide) + (_step(rest, wide) if rest else 0)

    best = min(range(max(2, most * 2 // 3), most + 1), key=lambda r: (cost(r), -r))
    return Tile(min(best, shape.rows), wide)


def _step(rows: int, vectors: int) -> float:
    """The time of a step of a tile, in rows.

    Its vectors come from the second cache, and each multiply-add waits for the one before it.
    """
    return max(rows, 4.5 if vectors == 4 else 8 / vectors) + 0.7


def is_divided(shape: Contraction) -> bool:
    """Whether it takes one core so long that tasks are worth it."""
    return 2.0 * shape.nest.points / FLOPS_PER_NANOSECOND >= PARALLEL_NANOSECONDS


Step = tuple[int, int]
"""A loop over a dimension that is summed over, by so many elements at a time."""


def levels_of(shape: Contraction, part: Part) -> list[list[Step]]:
    """The loops over parts of a sum, outermost first; the innermost level is the first.

    A level adds at most `MOST_PARTS` parts, each of which is a sum of the level before it.
    """
    found: list[list[Step]] = [[]]
    parts = 1
    for d, size in ((part.moving, part.step), *((d, 1) for d in reversed(part.around))):
        left = -(-shape.nest.sizes[d] // size)
        while left > 1:
            count = min(left, MOST_PARTS)
            if parts * count > MOST_PARTS:
                found.append([])
                parts = 1
            found[-1].insert(0, (d, size))
            parts *= count
            size *= count
            left = -(-left // count)
    return found
