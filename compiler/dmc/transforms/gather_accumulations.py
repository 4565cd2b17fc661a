"""Accumulations become sums of reads: each element of the result gathers its own updates.

So they fuse with what made the updates, run on all threads, and add in an order that the shapes
give. The adjoint of a window becomes a window over the cotangent, by the change of variable
`h = r + i`; strides become divisibility, clamps an interior and thin borders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

from dmc.dialects import arith, tensor
from dmc.dialects.tensor.batching import arrange
from dmc.ir import (
    AffineExpr,
    AffineMap,
    Builder,
    Clamp,
    DType,
    FloorDiv,
    Mod,
    Module,
    TensorType,
    Value,
    dtype_of,
    shape_of,
)
from dmc.ir.passes import Pass
from dmc.ir.rewriter import replace_op

_MOST_WORK = 4
"""Gathering may visit this many times as many points as there are updates and results."""


@dataclass(frozen=True)
class GatherAccumulations(Pass):
    """Rewrite each `tensor.accumulate` as a sum of `tensor.read`.

    Every subscript is solved for one dimension of the updates, its pivot. Where that is not
    possible, or visits far more points than there are, a scatter adds the updates one by one.
    """

    name = "gather-accumulations"

    def run(self, module: Module) -> None:
        pending = [op for op in module.walk() if isinstance(op, tensor.Accumulate)]
        while pending:
            op = pending.pop()
            builder = Builder.ahead_of(op)
            builder.location = op.location.by(self.name)
            before = op.previous
            value = _without_clamps(builder, op)
            if value is None:
                value = _of_contraction(builder, op) or _gathered(builder, op)
            if value is None:
                value = _scattered(builder, op)
            made = op.previous
            while made is not None and made is not before:
                if isinstance(made, tensor.Accumulate):
                    pending.append(made)
                made = made.previous
            replace_op(op, [value])


# Clamps


def _without_clamps(builder: Builder, op: tensor.Accumulate) -> Value | None:
    """The sum over the interior of a clamped subscript and over the borders on both sides."""
    for axis, expr in enumerate(op.map.results):
        match expr.terms:
            case ((1, Clamp() as clamp),) if not any(expr.coefficients):
                if _is_window(op, axis, clamp):
                    return _window_first(builder, op, axis, clamp, expr.constant)
                return _split(builder, op, axis, clamp, expr.constant)
            case _:
                pass
    return None


def _is_window(op: tensor.Accumulate, axis: int, clamp: Clamp) -> bool:
    """Whether what is clamped is a window, not much longer than the axis it is clamped into."""
    low, high = clamp.inner.bounds(shape_of(op.updates.type))
    several = clamp.inner.is_affine and len(clamp.inner.dims()) > 1
    return several and high - low < _MOST_WORK * op.shape[axis]


def _window_first(
    builder: Builder, op: tensor.Accumulate, axis: int, clamp: Clamp, constant: int
) -> Value:
    """The window accumulated into a longer axis, whose ends are then folded in.

    So a clamped window stays a contraction: only one dimension is clamped.
    """
    low, high = clamp.inner.bounds(shape_of(op.updates.type))
    exprs, shape = list(op.map.results), list(op.shape)
    exprs[axis], shape[axis] = clamp.inner.plus(-low), high - low + 1
    whole = tensor.accumulate_at(builder, op.updates, shape, exprs)
    back = [AffineExpr.dim(len(shape), d) for d in range(len(shape))]
    back[axis] = back[axis].plus(low).clamp(clamp.low, clamp.high, shape).plus(constant)
    return tensor.accumulate_at(builder, whole, op.shape, back)


def _split(
    builder: Builder, op: tensor.Accumulate, axis: int, clamp: Clamp, constant: int
) -> Value:
    sizes = shape_of(op.updates.type)
    low, high = clamp.inner.bounds(sizes)
    rank = len(sizes)
    ranges = [(low, clamp.low - 1, AffineExpr.number(rank, clamp.low + constant))]
    ranges.append((clamp.low, clamp.high, clamp.inner.plus(constant)))
    ranges.append((clamp.high + 1, high, AffineExpr.number(rank, clamp.high + constant)))
    total: Value | None = None
    for least, most, expr in ranges:
        if least > most or least > high or most < low:
            continue
        part = _restricted(builder, op.updates, clamp.inner, least, most)
        starts = [AffineExpr.dim(rank, d, 1, start) for d, start in enumerate(part.starts)]
        inner = shape_of(part.value.type)
        exprs = [
            (expr if a == axis else other).substitute(starts, rank, inner)
            for a, other in enumerate(op.map.results)
        ]
        piece = tensor.accumulate_at(builder, part.value, op.shape, exprs)
        total = piece if total is None else arith.add(builder, total, piece)
    assert total is not None
    return total


@dataclass(frozen=True, slots=True)
class _Restricted:
    """The part of some updates that begins at `starts`."""

    value: Value
    starts: list[int]


def _restricted(
    builder: Builder, updates: Value, expr: AffineExpr, least: int, most: int
) -> _Restricted:
    """The updates where `least <= expr <= most`: a box around them, zero where it is not so."""
    sizes = shape_of(updates.type)
    starts, limits = [0] * len(sizes), list(sizes)
    if expr.is_affine:
        low, high = expr.bounds(sizes)
        for d, c in enumerate(expr.coefficients):
            if not c:
                continue
            # What the other dimensions add lies between these.
            others = low - min(c * (sizes[d] - 1), 0), high - max(c * (sizes[d] - 1), 0)
            ends = (least - others[1], most - others[0])
            first, last = ends if c > 0 else (-ends[1], -ends[0])
            step = abs(c)
            starts[d] = max(0, -(-first // step))
            limits[d] = min(sizes[d], last // step + 1)
    limits = [max(a, b) for a, b in zip(starts, limits, strict=True)]
    part = tensor.slice_(builder, updates, starts, limits)
    inner = shape_of(part.type)
    moved = expr.substitute(
        [AffineExpr.dim(len(sizes), d, 1, start) for d, start in enumerate(starts)],
        len(sizes),
        inner,
    )
    low, high = moved.bounds(inner)
    if 0 not in inner and (low < least or high > most):
        part = _axis_in_front(builder, part, most - least + 1)
        exprs = [moved.plus(-least), *(AffineExpr.dim(len(sizes), d) for d in range(len(sizes)))]
        part = tensor.read(builder, part, inner, exprs)
    return _Restricted(part, starts)


def _axis_in_front(builder: Builder, x: Value, size: int) -> Value:
    """`x` repeated along a new first axis: reading outside of that gives zero."""
    shape = shape_of(x.type)
    return tensor.broadcast_in_dim(builder, x, (size, *shape), range(1, len(shape) + 1))


# Pivots


@dataclass
class _Form:
    """`Σ unknowns[x] · x + Σ axes[h] · h + constant`; an equation says that it is zero."""

    unknowns: dict[int, int] = field(default_factory=dict[int, int])
    axes: dict[int, int] = field(default_factory=dict[int, int])
    constant: int = 0

    def plus(self, other: _Form, factor: int) -> None:
        for x, c in other.unknowns.items():
            self.unknowns[x] = self.unknowns.get(x, 0) + factor * c
        for h, c in other.axes.items():
            self.axes[h] = self.axes.get(h, 0) + factor * c
        self.constant += factor * other.constant
        self.unknowns = {x: c for x, c in self.unknowns.items() if c}
        self.axes = {h: c for h, c in self.axes.items() if c}


@dataclass(frozen=True, slots=True)
class _Solution:
    """Where over `space`, the axes of a result and what is summed, each dimension is.

    Nothing is there unless every one of `conditions` is within its size.
    """

    space: tuple[int, ...]
    positions: list[AffineExpr]
    conditions: list[tuple[AffineExpr, int]]


class _Gathering:
    """Solves `map(d) = h` for `d` over `sizes`, `h` over `shape`, one subscript after another.

    Unknowns are the dimensions of the updates, then the quotients and rests of subscripts that
    divide. `solved` gives pivots by the others; what a pivot was multiplied by must divide it.
    `wrapped` gives dimensions up to multiples of a number, none of which they reach.
    """

    def __init__(self, sizes: Sequence[int], shape: Sequence[int], map_: AffineMap) -> None:
        self.sizes = tuple(sizes)
        self.shape = tuple(shape)
        self.map = map_
        self.lengths = list(sizes)
        """The size of each unknown."""
        self.solved: dict[int, tuple[_Form, int]] = {}
        self.wrapped: dict[int, tuple[_Form, int]] = {}
        self.equalities: list[_Form] = []

    def solve(self) -> _Solution | None:
        """None when that cannot be done, or would visit far more points than there are."""
        axes = [axis for axis in range(len(self.shape)) if not self._wraps(axis)]
        equations = [self._equation(axis) for axis in axes]
        if 0 in self.sizes or any(equation is None for equation in equations):
            return None
        for equation in sorted(filter(None, equations), key=lambda e: len(e.unknowns)):
            if not self._solve(equation):
                return None
        known = {*self.solved, *self.wrapped}
        free = [x for x in range(len(self.lengths)) if x not in known]
        space = (*self.shape, *(self.lengths[x] for x in free))
        if prod(space) > _MOST_WORK * (prod(self.sizes) + prod(self.shape)):
            return None
        return self._solution(free, space)

    def _wraps(self, axis: int) -> bool:
        """Whether `±d + k` modulo what d stays below is the subscript: then d is `±(h - k)` so."""
        expr = self.map.results[axis]
        match expr.terms:
            case ((1, Mod(inner, q)),) if inner.is_affine and not any(expr.coefficients):
                dims = inner.dims()
            case _:
                return False
        if len(dims) != 1 or expr.constant or q < self.shape[axis]:
            return False
        (d,) = dims
        c = inner.coefficients[d]
        alone = sum(d in other.dims() for other in self.map.results) == 1
        if abs(c) != 1 or not alone or self.sizes[d] > q:
            return False
        self.wrapped[d] = _Form({}, {axis: c}, -c * inner.constant), q
        return True

    def _equation(self, axis: int) -> _Form | None:
        """What must be zero where the subscript is the position along `axis`; None: unsolvable."""
        expr = self.map.results[axis]
        form = _Form(axes={axis: -1})
        if expr.terms:
            # `(e floordiv q) + k = h` is `e = q (h - k) + rest`, `(e mod q) + k = h` is
            # `e = (h - k) + q · quotient`.
            (coefficient, term), *others = expr.terms
            plain = coefficient == 1 and not others and not any(expr.coefficients)
            if not plain or not term.inner.is_affine:
                return None
            low, high = term.inner.bounds(self.sizes)
            match term:
                case FloorDiv(_, q):
                    form = _Form(axes={axis: -q}, constant=q * expr.constant)
                    form.plus(_Form({self._unknown(q): 1}), -1)
                case Mod(_, q):
                    first = low // q
                    count = high // q - first + 1
                    form.constant = expr.constant
                    form.plus(_Form({self._unknown(count): 1}, constant=first), -q)
                    if expr.constant or q < self.shape[axis]:
                        return None
                case Clamp():
                    return None
            expr = term.inner
        else:
            form.constant = 0
        form.plus(_Form({d: c for d, c in enumerate(expr.coefficients) if c}, {}, expr.constant), 1)
        return form

    def _unknown(self, size: int) -> int:
        self.lengths.append(size)
        return len(self.lengths) - 1

    def _solve(self, equation: _Form) -> bool:
        """Solve for the longest unknown, of which a unit multiple is best."""
        form = _Form()
        form.plus(equation, 1)
        for x in list(form.unknowns):
            if x in self.solved:
                known, divisor = self.solved[x]
                if divisor != 1:
                    return False
                c = form.unknowns.pop(x)
                form.plus(known, c)
        if not form.unknowns:
            self.equalities.append(form)
            return True

        def worth(x: int) -> tuple[bool, int]:
            return abs(form.unknowns[x]) == 1, self.lengths[x]

        pivot = max(form.unknowns, key=worth)
        c = form.unknowns.pop(pivot)
        # c · pivot + form = 0
        value = _Form()
        value.plus(form, -1 if c > 0 else 1)
        self.solved[pivot] = value, abs(c)
        for x, (known, divisor) in self.solved.items():
            if pivot in known.unknowns:
                if abs(c) != 1:
                    return False
                factor = known.unknowns.pop(pivot)
                known.plus(value, factor)
                self.solved[x] = known, divisor
        return True

    def _solution(self, free: Sequence[int], space: tuple[int, ...]) -> _Solution:
        lead = len(self.shape)

        def expr_of(form: _Form) -> AffineExpr:
            total = AffineExpr.number(len(space), form.constant)
            for h, c in form.axes.items():
                total += AffineExpr.dim(len(space), h, c)
            for x, c in form.unknowns.items():
                total += AffineExpr.dim(len(space), lead + free.index(x), c)
            return total

        conditions = [(expr_of(form), 1) for form in self.equalities]
        positions: list[AffineExpr] = []
        for x, length in enumerate(self.lengths):
            if x in free:
                expr = AffineExpr.dim(len(space), lead + free.index(x))
            elif x in self.wrapped:
                form, q = self.wrapped[x]
                expr = expr_of(form).mod(q, space)
            else:
                form, divisor = self.solved[x]
                expr = expr_of(form)
                if divisor != 1:
                    conditions.append((expr.mod(divisor, space), 1))
                    expr = expr.floordiv(divisor, space)
            if x < len(self.sizes):
                positions.append(expr)
            elif x not in free:
                conditions.append((expr, length))
        return _Solution(space, positions, conditions)


def _gathered(builder: Builder, op: tensor.Accumulate) -> Value | None:
    """The sum of the updates at the positions that lead to each element."""
    updates = op.updates
    solution = _Gathering(shape_of(updates.type), op.shape, op.map).solve()
    if solution is None:
        return None
    exprs = list(solution.positions)
    for condition, size in solution.conditions:
        # A read is zero outside of an axis; so a condition is an axis.
        updates = _axis_in_front(builder, updates, size)
        exprs.insert(0, condition)
    kept, rank = len(op.shape), len(solution.space)
    order = [*range(rank)]
    if exprs and any(d < kept for d in exprs[-1].dims()):
        # Neighbours among the updates are for different results, which may run along the lanes.
        order = [*range(kept, rank), *range(kept)]
    space = [solution.space[d] for d in order]
    moved = [AffineExpr.dim(rank, order.index(d)) for d in range(rank)]
    exprs = [expr.substitute(moved, rank, space) for expr in exprs]
    found = tensor.read(builder, updates, space, exprs)
    return tensor.reduce_sum(builder, found, [order.index(d) for d in range(kept, rank)])


# Contractions


def _of_contraction(builder: Builder, op: tensor.Accumulate) -> Value | None:
    """The adjoint of a window in a contraction: a contraction too, over a padded operand.

    The products would take more memory than what they are accumulated into; so they are summed
    where they are needed. None where the updates are no such contraction.
    """
    value, order = op.updates, tuple(range(len(shape_of(op.updates.type))))
    turn = value.defining_op
    if isinstance(turn, tensor.Transpose) and len(value.uses) == 1:
        value, order = turn.operand, turn.permutation
    dot = value.defining_op
    small = prod(shape_of(op.updates.type)) <= _MOST_WORK * prod(op.shape)
    if not isinstance(dot, tensor.DotGeneral) or len(value.uses) > 1 or small:
        return None
    if dot.selected:
        return None
    sizes = shape_of(op.updates.type)
    rank = len(sizes)
    lhs, rhs = dot.labels([order.index(axis) for axis in range(rank)], rank)
    whole = (*sizes, *(shape_of(dot.lhs.type)[d] for d in dot.lhs_contracting_dimensions))
    by = [AffineExpr.dim(len(whole), d) for d in range(rank)]
    solution = _Gathering(whole, op.shape, op.map.substitute(by, len(whole), whole)).solve()
    if solution is None or solution.conditions:
        return None

    def side(x: Value, labels: Sequence[int], absorbs: bool) -> _Side:
        exprs = [solution.positions[d] for d in labels]
        return _side(builder, x, exprs, solution.space, len(op.shape), absorbs)

    x = side(dot.lhs, lhs, dot.lhs_absorbs)
    y = side(dot.rhs, rhs, dot.rhs_absorbs)
    return _contracted(builder, x, y, op.shape)


@dataclass(frozen=True, slots=True)
class _Side:
    """An operand of a contraction, whose axis i runs along dimension `dims[i]` of its space."""

    value: Value
    dims: tuple[int, ...]
    absorbs: bool

    def places(self, dims: Sequence[int]) -> list[int]:
        return [self.dims.index(d) for d in dims]


def _side(
    builder: Builder,
    x: Value,
    exprs: Sequence[AffineExpr],
    space: Sequence[int],
    kept: int,
    absorbs: bool,
) -> _Side:
    """`x` at `exprs`, zero outside of it, as a plain read of a copy: its padding absorbs.

    It runs along the dimensions that are summed, those from `kept` on, and what else it reads by.
    """
    shape = shape_of(x.type)
    bounds = [expr.bounds(space) for expr in exprs]
    low = [max(0, -least) for least, _ in bounds]
    high = [max(0, most + 1 - n) for (_, most), n in zip(bounds, shape, strict=True)]
    zero = arith.scalar(builder, 0, dtype_of(x.type))
    wide = tensor.pad(builder, x, zero, low, high, [0] * len(shape))
    used = frozenset[int]().union(*(expr.dims() for expr in exprs), range(kept, len(space)))
    dims = tuple(sorted(used))
    sizes = [space[d] for d in dims]
    names = [
        AffineExpr.dim(len(dims), dims.index(d)) if d in used else AffineExpr.number(len(dims), 0)
        for d in range(len(space))
    ]
    moved = [e.plus(n).substitute(names, len(dims), sizes) for e, n in zip(exprs, low, strict=True)]
    read = tensor.read(builder, wide, sizes, moved)
    return _Side(read, dims, absorbs or any(low) or any(high))


def _contracted(builder: Builder, lhs: _Side, rhs: _Side, shape: Sequence[int]) -> Value:
    """The contraction over what follows the dimensions of the result."""
    kept = range(len(shape))
    batch = [d for d in lhs.dims if d in kept and d in rhs.dims]
    summed = [d for d in lhs.dims if d not in kept]
    free = [d for side in (lhs, rhs) for d in side.dims if d in kept and d not in batch]
    places = [(lhs.places(dims), rhs.places(dims)) for dims in (batch, summed)]
    absorbs = lhs.absorbs, rhs.absorbs
    value = tensor.dot_general(builder, lhs.value, rhs.value, places[0], places[1], absorbs)
    dims = [*batch, *free]
    value = arrange(builder, value, dims, sorted(dims))
    return tensor.broadcast_in_dim(builder, value, shape, sorted(dims))


# One by one


def _scattered(builder: Builder, op: tensor.Accumulate) -> Value:
    """Updates added one by one at computed positions."""
    sizes, shape = shape_of(op.updates.type), op.shape
    zeros = arith.zeros(builder, op.result.type)
    updates = op.updates
    if 0 in sizes or 0 in shape:
        return zeros
    if not shape:
        return tensor.reduce_sum(builder, updates, range(len(sizes)))
    indices: list[Value] = []
    type_ = TensorType(sizes, DType.I64)
    for expr, n in zip(op.map.results, shape, strict=True):
        at = _position(builder, expr, type_)
        low, high = expr.bounds(sizes)
        if low < 0 or high >= n:
            least, most = (arith.constant(builder, end, type_) for end in (0, n - 1))
            above = arith.compare(builder, arith.Direction.GE, at, least)
            below = arith.compare(builder, arith.Direction.LE, at, most)
            inside = arith.logical_and(builder, above, below)
            nothing = arith.zeros(builder, updates.type)
            updates = arith.select(builder, inside, updates, nothing)
        indices.append(at)
    assert dtype_of(updates.type) is dtype_of(op.result.type)
    return tensor.scatter(builder, zeros, updates, indices, range(len(shape)))


def _position(builder: Builder, expr: AffineExpr, type_: TensorType) -> Value:
    """A subscript at every point, computed."""
    total = arith.constant(builder, expr.constant, type_)

    def add(coefficient: int, part: Value) -> Value:
        if coefficient != 1:
            part = arith.multiply(builder, part, arith.constant(builder, coefficient, type_))
        return arith.add(builder, total, part)

    for d, c in enumerate(expr.coefficients):
        if c:
            total = add(c, tensor.iota(builder, type_, d))
    for c, term in expr.terms:
        inner = _position(builder, term.inner, type_)
        match term:
            case FloorDiv(_, divisor):
                by = arith.constant(builder, divisor, type_)
                part = arith.floor_divide(builder, inner, by)
            case Mod(_, divisor):
                part = arith.remainder(builder, inner, arith.constant(builder, divisor, type_))
            case Clamp(_, low, high):
                least = arith.maximum(builder, inner, arith.constant(builder, low, type_))
                part = arith.minimum(builder, least, arith.constant(builder, high, type_))
        total = add(c, part)
    return total
