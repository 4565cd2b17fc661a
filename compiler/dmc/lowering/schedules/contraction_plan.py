"""What a contraction is made of, and how it is tiled and divided."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dmc.dialects import arith, kernel
from dmc.ir.operation import Value
from dmc.ir.types import DType, dtype_of
from dmc.lowering.machine import Machine
from dmc.lowering.schedules.nest import Access, Nest

LONGEST_PANEL = 2048
"""Sums over more elements go through memory in parts: a panel should stay in the second cache."""

PART = 1024
MOST_PARTS = 128
"""Sums of so many parts are parts themselves: the error does not grow with the length."""

FLOPS_PER_NANOSECOND = 100.0
SHORTEST_SCATTERED = 16
"""Results whose columns are apart in memory are worth it for sums of at least so many terms."""

PARALLEL_NANOSECONDS = 30_000
"""A shorter contraction runs on one thread."""


@dataclass(frozen=True)
class Tile:
    """Rows and vectors of columns of the result held in registers."""

    rows: int
    vectors: int


@dataclass(frozen=True)
class Contraction:
    """`C[outer, m, n] = Σ_k A[outer, m, k] · B[outer, k, n]` as dimensions of `nest`.

    `m` may be None (one row). `n` runs along the lanes. Windows leave further dimensions to sum
    over, `around` k. `a` and `b` are the accesses; zeros of `a` absorb infinities and NaN of `b`
    if `a_absorbs`, and the other way round. Products that `gate` does not select count as 0, which
    they are unless they are NaN.
    """

    nest: Nest
    a: Access
    b: Access
    a_absorbs: bool
    b_absorbs: bool
    m: int | None
    n: int
    k: int
    outer: tuple[int, ...]
    around: tuple[int, ...] = ()
    gate: Access | None = None

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
        return self.nest.sizes[self.k]


def as_contraction(nest: Nest) -> Contraction | None:
    """The roles of dimensions, or None for what is left to the general reduction."""
    product = _product(nest)
    if product is None or nest.order or nest.combiners != ("add",):
        return None
    absorbs = (product.lhs_absorbs, product.rhs_absorbs)
    if not all(access.in_memory for access in nest.inputs) or 0 in nest.sizes:
        return None
    nest = nest.sorted().fused()
    if not nest.reduction_dims or not nest.outputs:
        return None
    *around, inner = nest.reduction_dims
    reads = dict(zip(nest.body.args, nest.inputs, strict=True))
    left, right = reads.pop(product.lhs), reads.pop(product.rhs)
    gate = next(iter(reads.values()), None)
    out = nest.outputs[0].strides
    best: tuple[float, Contraction] | None = None
    for a, b, turned in ((left, right, False), (right, left, True)):
        m = [d for d in nest.parallel_dims if a.strides[d] and not b.strides[d]]
        row = max(m, key=lambda d: nest.sizes[d], default=None)
        for n in nest.parallel_dims:
            if b.strides[n] and not a.strides[n]:
                # Writing neighbours matters most where sums are short.
                scattered = out[n] != 1
                if scattered and nest.sizes[-1] < SHORTEST_SCATTERED:
                    continue
                score = 4.0 * (not scattered) + 2.0 * (b.strides[n] == 1) + (nest.sizes[n] >= 16)
                outer = tuple(d for d in nest.parallel_dims if d not in (row, n))
                of_a, of_b = absorbs[::-1] if turned else absorbs
                roles = (row, n, inner, outer, tuple(around))
                found = Contraction(nest, a, b, of_a, of_b, *roles, gate)
                if best is None or score > best[0]:
                    best = score, found
    return None if best is None else best[1]


def _product(nest: Nest) -> arith.Product | None:
    """The floating product of two arguments that the body is, perhaps behind a gate."""
    value = nest.body.terminator.operands[0]
    read: list[Value] = []
    if isinstance(value.defining_op, kernel.Gate):
        selected, value = value.defining_op.operands
        read.append(selected)
    product = value.defining_op
    if not isinstance(product, arith.Product) or nest.body.first is not product:
        return None
    read += product.operands
    each_once = len(read) == len(nest.body.args) and {*read} == {*nest.body.args}
    floating = dtype_of(product.lhs.type) in (DType.F32, DType.F64)
    return product if each_once and floating else None


@dataclass(frozen=True)
class Plan:
    """Tile, whether the right operand is packed, and how the result is divided among tasks.

    A task takes `panels` panels of `tile.vectors` vectors and `rows` rows.
    """

    lanes: int
    tile: Tile
    pack: bool
    panels: int
    rows: int

    @property
    def width(self) -> int:
        """Columns of a panel."""
        return self.tile.vectors * self.lanes


def make_plan(machine: Machine, shape: Contraction, lanes: int, contiguous: bool) -> Plan:
    """How to compute a contraction; `contiguous`: columns of B are neighbours in memory."""
    tile = _tile(machine, shape, lanes)
    size = shape.a.dtype.bytes
    worth = shape.rows >= 3 * tile.rows and shape.length * shape.columns * size > 16 * 1024
    columns = -(-shape.columns // (tile.vectors * lanes))
    outer = math.prod(shape.nest.sizes[d] for d in shape.outer)
    wanted = _wanted_tasks(nanoseconds(shape))
    part = PART if shape.length > LONGEST_PANEL else shape.length
    room = machine.l2_bytes // 2 // (part * tile.vectors * lanes * size)
    panels = min(4, columns, max(1, room))
    while panels > 1 and outer * -(-columns // panels) < min(wanted, 8):
        panels //= 2
    # Dividing rows repeats the packing, which is dearer when it transposes.
    tiles = -(-shape.rows // tile.rows)
    fewest = 4 if contiguous else 16
    parts = max(1, min(wanted // (outer * -(-columns // panels)), tiles // fewest))
    rows = -(-tiles // parts) * tile.rows
    return Plan(lanes, tile, worth or not contiguous, panels, rows)


def _wanted_tasks(time: float) -> int:
    """Enough to keep some cores busy when there is little work, many when there is much."""
    return max(1, min(16, int(time // 40_000)), min(64, int(time // 300_000)))


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
        return -(-shape.rows // rows) * (rows + 0.7)

    best = min(range(max(2, most * 2 // 3), most + 1), key=lambda r: (cost(r), -r))
    return Tile(min(best, shape.rows), wide)


def nanoseconds(shape: Contraction) -> float:
    """About how long one core takes."""
    return 2.0 * shape.nest.points / FLOPS_PER_NANOSECOND


Step = tuple[int, int]
"""A loop over a dimension that is summed over, by so many elements at a time."""


def levels_of(shape: Contraction, part: int) -> list[list[Step]]:
    """The loops over parts of a sum, outermost first; the innermost level is the first.

    A level adds at most `MOST_PARTS` parts, each of which is a sum of the level before it or of
    `part` neighbours along `k`.
    """
    found: list[list[Step]] = [[]]
    parts = 1
    for d, size in ((shape.k, part), *((d, 1) for d in reversed(shape.around))):
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
