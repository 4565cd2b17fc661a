"""Writing loop IR in the order in which it runs, with subscripts as ordinary arithmetic.

`b.index(i) * 12 + 3` is a `Linear`, not an operation: loads and stores keep it as the affine map
of the access, and only what is not affine in loop variables becomes arithmetic in the IR.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from dmc.dialects import arith, loop
from dmc.dialects.loop import INDEX
from dmc.ir.affine import AffineExpr, AffineMap
from dmc.ir.attributes import SymbolRef
from dmc.ir.location import UNKNOWN, Location
from dmc.ir.operation import Block, Builder, Operation, OpT, Region, Value
from dmc.ir.types import DType, MemRefType, ScalarType, Type, VectorType, dtype_of


@dataclass(frozen=True)
class Linear:
    """`Σ coefficient · value + constant` over `i64` values."""

    terms: tuple[tuple[Value, int], ...] = ()
    constant: int = 0

    @staticmethod
    def of(subscript: Subscript) -> Linear:
        match subscript:
            case Linear():
                return subscript
            case Value():
                known = known_index(subscript)
                return Linear(((subscript, 1),)) if known is None else Linear((), known)
            case int():
                return Linear((), subscript)

    def __add__(self, other: Subscript) -> Linear:
        if isinstance(other, int):
            return Linear(self.terms, self.constant + other)
        other = Linear.of(other)
        if not other.terms:
            return Linear(self.terms, self.constant + other.constant)
        if not self.terms:
            return Linear(other.terms, self.constant + other.constant)
        sums = dict(self.terms)
        for value, coefficient in other.terms:
            sums[value] = sums.get(value, 0) + coefficient
        terms = tuple((v, c) for v, c in sums.items() if c)
        return Linear(terms, self.constant + other.constant)

    def __mul__(self, factor: int) -> Linear:
        terms = tuple((v, c * factor) for v, c in self.terms) if factor else ()
        return Linear(terms, self.constant * factor)


Subscript = Value | int | Linear


def known_index(value: Value) -> int | None:
    """The number that an `i64` value is known to be."""
    op = value.defining_op
    number = op.attributes["value"] if isinstance(op, arith.Constant) else None
    return number if isinstance(number, int) else None


def _fixed(subscript: Subscript) -> Subscript:
    """A subscript that is a known number as that number."""
    linear = Linear.of(subscript)
    return subscript if linear.terms else linear.constant


class LoopBuilder:
    """Appends loop-level operations to the block of the innermost open loop or branch.

    Constants go to the start of the function, each once.
    """

    def __init__(self, function: loop.Func, location: Location = UNKNOWN) -> None:
        self.function = function
        self.builder = Builder(function.body, location=location)
        self._constants: dict[tuple[float | int | bool, str, Type], Value] = {}
        self._open = [function.body]
        self._bounds: dict[Value, tuple[Value, Value, int]] = {}

    @property
    def location(self) -> Location:
        return self.builder.location

    def insert(self, op: OpT) -> OpT:
        return self.builder.insert(op)

    # Scalars and subscripts

    def constant(self, value: float | int | bool, type_: Type) -> Value:
        """A constant scalar or vector (the number in every lane)."""
        if dtype_of(type_).is_float:
            value = float(value)
        # `repr` tells 0.0 from -0.0 and NaN from NaN.
        key = (0 if value != value else value, repr(value), type_)
        found = self._constants.get(key)
        if found is None:
            op = arith.Constant([], {"value": value}, result_types=[type_], location=self.location)
            self.function.body.insert(op, self.function.body.first)
            found = self._constants[key] = op.result
        return found

    def index(self, subscript: Subscript) -> Value:
        """The `i64` value of a linear expression, by arithmetic where it needs any."""
        if isinstance(subscript, Value):
            return subscript
        linear = Linear.of(subscript)
        total: Value | None = None
        for value, coefficient in linear.terms:
            factor = self.constant(coefficient, INDEX)
            part = value if coefficient == 1 else arith.multiply(self.builder, value, factor)
            total = part if total is None else arith.add(self.builder, total, part)
        if total is None:
            return self.constant(linear.constant, INDEX)
        if linear.constant == 0:
            return total
        return arith.add(self.builder, total, self.constant(linear.constant, INDEX))

    def minimum(self, x: Value, y: int) -> Value:
        """The smaller of an `i64` value and a constant."""
        return arith.minimum(self.builder, x, self.constant(y, INDEX))

    # Memory

    def _access(self, subscripts: Sequence[Subscript]) -> tuple[AffineMap, list[Value]]:
        linears = [Linear.of(s) for s in subscripts]
        if len(linears) == 1:
            (linear,) = linears
            row = AffineExpr(tuple(c for _, c in linear.terms), linear.constant)
            return AffineMap(len(linear.terms), (row,)), [v for v, _ in linear.terms]
        values = list(dict.fromkeys(v for linear in linears for v, _ in linear.terms))
        rows: list[AffineExpr] = []
        for linear in linears:
            coefficients = dict(linear.terms)
            row = tuple(coefficients.get(v, 0) for v in values)
            rows.append(AffineExpr(row, linear.constant))
        return AffineMap(len(values), tuple(rows)), values

    def load(self, memref: Value, subscripts: Sequence[Subscript]) -> Value:
        map_, values = self._access(subscripts)
        return self.insert(loop.Load([memref, *values], {"map": map_})).results[0]

    def store(self, value: Value, memref: Value, subscripts: Sequence[Subscript]) -> None:
        map_, values = self._access(subscripts)
        self.insert(loop.Store([memref, value, *values], {"map": map_}))

    def vector_load(
        self,
        memref: Value,
        subscripts: Sequence[Subscript],
        lanes: int,
        axis: int = -1,
        mask: Value | None = None,
    ) -> Value:
        """`lanes` neighbours along `axis`; where `mask` is false 0, and memory is not touched."""
        map_, values = self._access(subscripts)
        attributes = {"map": map_, "lanes": lanes, "axis": axis % len(subscripts)}
        if mask is None:
            return self.insert(loop.VectorLoad([memref, *values], attributes)).results[0]
        return self.insert(loop.MaskedLoad([memref, mask, *values], attributes)).results[0]

    def vector_store(
        self,
        value: Value,
        memref: Value,
        subscripts: Sequence[Subscript],
        axis: int = -1,
        mask: Value | None = None,
    ) -> None:
        map_, values = self._access(subscripts)
        attributes = {"map": map_, "axis": axis % len(subscripts)}
        if mask is None:
            self.insert(loop.VectorStore([memref, value, *values], attributes))
        else:
            self.insert(loop.MaskedStore([memref, value, mask, *values], attributes))

    def gather(
        self,
        memref: Value,
        subscripts: Sequence[Subscript],
        offsets: Value,
        mask: Value,
        axis: int = -1,
    ) -> Value:
        map_, values = self._access(subscripts)
        attributes = {"map": map_, "axis": axis % len(subscripts)}
        return self.insert(loop.Gather([memref, offsets, mask, *values], attributes)).results[0]

    def scatter(
        self,
        value: Value,
        memref: Value,
        subscripts: Sequence[Subscript],
        offsets: Value,
        mask: Value,
        axis: int = -1,
    ) -> None:
        map_, values = self._access(subscripts)
        attributes = {"map": map_, "axis": axis % len(subscripts)}
        self.insert(loop.Scatter([memref, value, offsets, mask, *values], attributes))

    def view(self, arena: Value, offset: int, type_: MemRefType) -> Value:
        return self.insert(loop.View([arena], {"offset": offset, "type": type_})).results[0]

    def subview(self, memref: Value, subscripts: Sequence[Subscript], type_: MemRefType) -> Value:
        map_, values = self._access(subscripts)
        op = loop.SubView([memref, *values], {"map": map_, "type": type_})
        return self.insert(op).results[0]

    def flat(self, memref: Value) -> Value:
        """The elements of a contiguous memref, in one axis."""
        type_ = memref.type
        assert isinstance(type_, MemRefType)
        if type_.rank == 1:
            return memref
        flat = MemRefType((type_.size,), type_.dtype)
        return self.subview(memref, [0] * type_.rank, flat)

    def alloca(self, shape: tuple[int, ...], dtype: DType) -> Value:
        """Memory private to the task; call it outside the task's loops."""
        return self.insert(loop.Alloca([], {"type": MemRefType(shape, dtype)})).results[0]

    # Vectors

    def broadcast(self, scalar: Value, lanes: int) -> Value:
        """`scalar` in every lane; itself for one lane."""
        if lanes == 1:
            return scalar
        return self.insert(loop.Broadcast([scalar], {"lanes": lanes})).results[0]

    def extract(self, vector: Value, lane: int) -> Value:
        return self.insert(loop.ExtractLane([vector], {"lane": lane})).results[0]

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        return self.insert(loop.FusedMultiplyAdd([a, b, c])).results[0]

    def product(self, a: Value, b: Value) -> tuple[Value, Value]:
        """a·b exactly, as rounded product and its error."""
        high, error = self.insert(loop.ExactProduct([a, b])).results
        return high, error

    def transpose(self, rows: Sequence[Value]) -> list[Value]:
        """The columns of a square matrix given as as many vectors as each has lanes.

        Swaps ever smaller blocks off the diagonal: log2(lanes) rounds of shuffles.
        """
        rows = list(rows)
        lanes = len(rows)
        distance = lanes // 2
        while distance:
            upper = [j if j & distance == 0 else lanes + j - distance for j in range(lanes)]
            lower = [j + distance if j & distance == 0 else lanes + j for j in range(lanes)]
            for i in range(lanes):
                if i & distance == 0:
                    pair = [rows[i], rows[i + distance]]
                    rows[i] = self._shuffle(pair, upper)
                    rows[i + distance] = self._shuffle(pair, lower)
            distance //= 2
        return rows

    def _shuffle(self, pair: Sequence[Value], order: Sequence[int]) -> Value:
        return self.insert(loop.Shuffle(pair, {"order": tuple(order)})).results[0]

    def iota(self, lanes: int, step: int = 1) -> Value:
        return self.insert(loop.IotaVector([], {"lanes": lanes, "step": step})).results[0]

    def tail_mask(self, count: Subscript, lanes: int) -> Value:
        """True in the first `count` lanes."""
        return self.insert(loop.TailMask([self.index(count)], {"lanes": lanes})).results[0]

    def fold_lanes(
        self, vectors: Sequence[Value], combine: Callable[[list[Value], list[Value]], list[Value]]
    ) -> list[Value]:
        """Combine the lanes of each vector in `vectors` by halves: a tree fixed by the lanes."""
        at = list(vectors)
        while isinstance(type_ := at[0].type, VectorType):
            half = type_.shape[0] // 2
            if half == 0 or type_.shape[0] % 2:
                raise ValueError(f"cannot halve {type_}")
            if half == 1:
                low, high = ([self.extract(v, lane) for v in at] for lane in (0, 1))
            else:
                low, high = (
                    [
                        self.insert(loop.SliceVector([v], {"start": start, "lanes": half})).results[
                            0
                        ]
                        for v in at
                    ]
                    for start in (0, half)
                )
            at = combine(low, high)
        return at

    # Control flow

    @contextmanager
    def inside(self, block: Block) -> Generator[None]:
        """Append to `block` within the `with`."""
        outer = self.builder
        self.builder = Builder(block, location=outer.location)
        self._open.append(block)
        try:
            yield
        finally:
            self._open.pop()
            self.builder = outer

    def home(self, values: Sequence[Value]) -> Block:
        """The outermost open block in which all of `values` are known.

        What is appended to it runs before the loops and branches that are being written in it.
        """
        return self._open[max((self._open.index(_block(v)) for v in values), default=0)]

    def bounds_of(self, variable: Value) -> tuple[Value, Value, int] | None:
        """Lower bound, upper bound and step of a loop's or a task's variable."""
        return self._bounds.get(variable)

    def yield_(self, values: Sequence[Value] = ()) -> None:
        self.insert(loop.Yield(values))

    def for_(
        self,
        lower: Subscript,
        upper: Subscript,
        body: Callable[[Value, list[Value]], Sequence[Value]],
        inits: Sequence[Value] = (),
        step: int = 1,
        name: str = "i",
    ) -> list[Value]:
        """A loop; `body` gets the variable and the carried values and gives their next values.

        A loop known to run once is not emitted: the body is, in its place.
        """
        lower, upper = _fixed(lower), _fixed(upper)
        trips = None
        if isinstance(lower, int) and isinstance(upper, int):
            trips = max(0, -(-(upper - lower) // step))
        if trips == 0:
            return list(inits)
        if trips == 1:
            return list(body(self.index(lower), list(inits)))
        bounds = self.index(lower), self.index(upper)
        block = Block([INDEX, *(v.type for v in inits)], [name])
        self._bounds[block.args[0]] = (*bounds, step)
        with self.inside(block):
            self.yield_(body(block.args[0], block.args[1:]))
        op = loop.For([*bounds, *inits], {"step": step}, [Region(block)])
        return list(self.insert(op).results)

    def each(
        self, lower: Subscript, upper: Subscript, step: int, body: Callable[[Value], None]
    ) -> None:
        """A loop that carries nothing."""

        def run(i: Value, _: list[Value]) -> list[Value]:
            body(i)
            return []

        self.for_(lower, upper, run, step=step)

    def parallel(self, tasks: int, body: Callable[[Value], None], name: str = "task") -> None:
        """Independent tasks; one task is just its body."""
        if tasks == 0:
            return
        if tasks == 1:
            body(self.index(0))
            return
        block = Block([INDEX], [name])
        self._bounds[block.args[0]] = (self.index(0), self.index(tasks), 1)
        with self.inside(block):
            body(block.args[0])
            self.yield_()
        self.insert(loop.Parallel([], {"tasks": tasks}, [Region(block)]))

    def if_(
        self,
        condition: Value,
        then: Callable[[], Sequence[Value]],
        otherwise: Callable[[], Sequence[Value]] = lambda: (),
        rare: bool = False,
    ) -> list[Value]:
        blocks = (Block(), Block())
        for block, branch in zip(blocks, (then, otherwise), strict=True):
            with self.inside(block):
                self.yield_(branch())
        op = loop.If([condition], {"rare": rare}, [Region(block) for block in blocks])
        return list(self.insert(op).results)

    def while_(
        self,
        inits: Sequence[Value],
        condition: Callable[[list[Value]], Value],
        body: Callable[[list[Value]], Sequence[Value]],
    ) -> list[Value]:
        types = [v.type for v in inits]
        test, step = Block(types), Block(types)
        with self.inside(test):
            self.yield_([condition(list(test.args))])
        with self.inside(step):
            self.yield_(body(list(step.args)))
        op = loop.While(inits, {}, [Region(test), Region(step)])
        return list(self.insert(op).results)

    def poll(self) -> None:
        """End the call here if that is wanted."""
        self.insert(loop.Poll())

    def call(self, callee: str, arguments: Sequence[Value]) -> None:
        self.insert(loop.Call(arguments, {"callee": SymbolRef(callee)}))

    def finish(self) -> loop.Func:
        """End the function and return it."""
        self.insert(loop.Return())
        return self.function


def function(name: str, types: Sequence[Type], names: Sequence[str], private: bool) -> loop.Func:
    """A function without a body yet."""
    attributes = {"sym_name": name, "private": private}
    return loop.Func([], attributes, [Region(Block(types, names))])


def _block(value: Value) -> Block:
    block = value.parent_block
    assert block is not None
    return block


def lanes_of(value: Value) -> int:
    """1 for a scalar, else the number of lanes."""
    return value.type.shape[0] if isinstance(value.type, VectorType) else 1


def register_type(dtype: DType, lanes: int) -> Type:
    """`dtype` as a scalar (one lane) or a vector."""
    return ScalarType(dtype) if lanes == 1 else VectorType((lanes,), dtype)


def clone_elementwise(b: LoopBuilder, op: Operation, operands: Sequence[Value]) -> list[Value]:
    """Repeat an elementwise operation on `operands`, scalars or vectors of any length."""
    lanes = max((lanes_of(v) for v in operands), default=1)
    types = [register_type(dtype_of(v.type), lanes) for v in op.results]
    names = [v.name for v in op.results]
    location = op.location.by(b.location.producer) if op.location.span else b.location
    new = type(op)(operands, op.attributes, [], types, location, names)
    return list(b.insert(new).results)
