"""Checks of one operation's rules, against each other and against differences and loops.

All run through the reference interpreter. Each raises AssertionError when a rule is wrong.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dmc.dialects import arith, tensor
from dmc.dialects.value_ranges import Ranges
from dmc.ir import (
    Array,
    Batched,
    Block,
    Builder,
    DenseElements,
    DType,
    Interpreter,
    Operation,
    TensorType,
    Trait,
    Type,
    Value,
    dtype_of,
    shape_of,
)

STEP = 1e-5


@dataclass(frozen=True)
class Draw:
    """An operand and where its elements are drawn from; `low` and `high` are both possible.

    To the diagonal of matrices `diagonal` is added.
    """

    shape: tuple[int, ...] = (3,)
    dtype: DType = DType.F64
    low: float = -2.0
    high: float = 2.0
    distinct: bool = False
    diagonal: tuple[float, ...] = ()

    @property
    def type(self) -> TensorType:
        return TensorType(self.shape, self.dtype)

    def array(self, rng: np.random.Generator) -> Array:
        dtype = self.dtype.numpy
        if self.dtype is DType.BOOL:
            return rng.integers(0, 2, self.shape).astype(dtype)
        if self.dtype.is_integer:
            return rng.integers(int(self.low), int(self.high) + 1, self.shape).astype(dtype)
        if self.distinct:
            count = int(np.prod(self.shape))
            spaced = np.linspace(self.low, self.high, count)
            return rng.permutation(spaced).reshape(self.shape).astype(dtype)
        drawn = rng.uniform(self.low, self.high, self.shape)
        if self.diagonal:
            drawn = drawn + np.eye(self.shape[-2], self.shape[-1]) * np.array(self.diagonal)
        return drawn.astype(dtype)


Build = Callable[..., Value | tuple[Value, ...]]


@dataclass(frozen=True)
class Sample:
    """One way to invoke an operation: `build` gets a builder and a value for each operand.

    `smooth` is False where differences do not approximate the derivative.
    """

    op: str
    build: Build
    inputs: tuple[Draw, ...] = ()
    label: str = ""
    smooth: bool = True

    def __str__(self) -> str:
        return f"{self.op}-{self.label}" if self.label else self.op

    def with_dtype(self, dtype: DType) -> Sample:
        """The same with floats of another precision."""
        inputs = tuple(
            replace(draw, dtype=dtype) if draw.dtype.is_float else draw for draw in self.inputs
        )
        return replace(self, inputs=inputs)

    def arrays(self, seed: int = 0) -> list[Array]:
        rng = np.random.default_rng(seed)
        return [draw.array(rng) for draw in self.inputs]


@dataclass
class Program:
    """A block whose arguments are the operands of a sample and, after them, vectors."""

    block: Block
    builder: Builder
    op: Operation
    inputs: list[Value]

    def vector(self, type_: Type) -> Value:
        return self.block.add_arg(type_)

    def run(self, arrays: Sequence[Array], outputs: Sequence[Value]) -> list[Array]:
        return run(self.block, arrays, outputs)


def run(block: Block, arrays: Sequence[Array], outputs: Sequence[Value]) -> list[Array]:
    interpreter = Interpreter()
    for arg, array in zip(block.args, arrays, strict=True):
        interpreter.values[arg] = array
    for op in block:
        op.verify_()
        op.verify_types()
        interpreter.run(op)
    return [interpreter.values[value] for value in outputs]


def program(sample: Sample, constants: Sequence[Array] | None = None) -> Program:
    """The sample's operation on block arguments, or on constants."""
    block = Block([] if constants is not None else [draw.type for draw in sample.inputs])
    builder = Builder(block)
    inputs = list(block.args)
    if constants is not None:
        types = [draw.type for draw in sample.inputs]
        inputs = [arith.constant(builder, a, t) for a, t in zip(constants, types, strict=True)]
    sample.build(builder, *inputs)
    ops = [op for op in block if op.name == sample.op]
    return Program(block, builder, ops[-1], inputs)


def floats(values: Sequence[Value]) -> list[int]:
    return [i for i, value in enumerate(values) if dtype_of(value.type).is_float]


def floats_of(sample: Sample) -> bool:
    """Whether an operand is a float."""
    return any(draw.dtype.is_float for draw in sample.inputs)


def same(got: Array, wanted: Array, tolerance: float = 0.0) -> None:
    assert got.shape == wanted.shape
    assert got.dtype == wanted.dtype
    if tolerance == 0 or got.dtype.kind != "f":
        np.testing.assert_array_equal(got, wanted)
    else:
        np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)


# Evaluation, folding, cost


def check_runs(sample: Sample) -> None:
    """The operation verifies, and what it computes has the inferred types."""
    made = program(sample)
    if sample.op != "arith.convert":
        assert tuple(made.op.infer()) == made.op.result_types
    made.run(sample.arrays(), made.op.results)


def check_range(sample: Sample) -> None:
    """What is computed from numbers is in the range that is said of it, but for rounding."""
    arrays = sample.arrays()
    made = program(sample, arrays)
    ranges = Ranges()
    found = [ranges.range(value) for value in made.op.results]
    for array, range_ in zip(made.run([], made.op.results), found, strict=True):
        known = array[~np.isnan(array)].astype(np.float64)
        slack = 1e-9 * np.maximum(1.0, np.abs(known))
        assert bool(np.all((known >= range_.low - slack) & (known <= range_.high + slack)))


def check_cost(sample: Sample) -> None:
    made = program(sample)
    cost = made.op.cost()
    assert cost.flops >= 0
    assert cost.bytes >= 0


def check_fold(sample: Sample) -> None:
    """Folding and canonicalization of constant and of unknown operands keep every bit."""
    arrays = sample.arrays()
    for constants in (None, arrays):
        made = program(sample, constants)
        given = arrays if constants is None else []
        wanted = made.run(given, made.op.results)
        folded = made.op.fold()
        for result, out in zip(wanted, folded or (), strict=folded is not None):
            if isinstance(out, DenseElements):
                same(out.array, result)
            elif isinstance(out, Value):
                same(made.run(given, [out])[0], result)
        replaced = made.op.canonicalize(made.builder)
        if replaced is not None:
            for got, result in zip(made.run(given, replaced), wanted, strict=True):
                same(got, result, 1e-12)


# Derivatives


def push_forward(builder: Builder, ops: Sequence[Operation], tangents: dict[Value, Value]) -> None:
    """Forward mode over straight-line code: adds tangents of all results to `tangents`."""
    for op in ops:
        incoming = [tangents.get(value) for value in op.operands]
        outgoing = op.tangent(builder, incoming) if any(incoming) else [None] * len(op.results)
        assert len(outgoing) == len(op.results)
        for value, tangent in zip(op.results, outgoing, strict=True):
            if tangent is not None:
                assert tangent.type == value.type
                tangents[value] = tangent


def pull_back(made: Program, cotangents: Sequence[Value | None]) -> list[Value | None]:
    """Cotangents of the sample's inputs, of which each may be several operands."""
    bars = made.op.adjoint(made.builder, cotangents)
    assert len(bars) == len(made.op.operands)
    total: dict[Value, Value] = {}
    for value, bar in zip(made.op.operands, bars, strict=True):
        if bar is not None:
            assert bar.type == value.type
            known = total.get(value)
            total[value] = bar if known is None else arith.add(made.builder, known, bar)
    return [total.get(value) for value in made.inputs]


def differences(
    f: Callable[[Sequence[Array]], list[Array]], point: Sequence[Array], along: Sequence[Array]
) -> list[Array]:
    """Central differences of `f` at `point`."""
    ahead = f([x + STEP * v for x, v in zip(point, along, strict=True)])
    behind = f([x - STEP * v for x, v in zip(point, along, strict=True)])
    return [(a - b) / (2 * STEP) for a, b in zip(ahead, behind, strict=True)]


def check_tangent(sample: Sample, tolerance: float = 1e-6) -> None:
    """The tangent against central differences: of all float operands, and of each alone."""
    arrays = sample.arrays()
    rng = np.random.default_rng(1)
    plain = program(sample)
    wrt, of = floats(plain.inputs), floats(plain.op.results)
    for active in [wrt] if len(wrt) < 2 else [wrt, *([i] for i in wrt)]:
        made = program(sample)
        vectors = {made.inputs[i]: made.vector(made.inputs[i].type) for i in active}
        tangents: dict[Value, Value] = dict(vectors)
        push_forward(made.builder, list(made.block), tangents)
        along = [rng.standard_normal(np.shape(arrays[i])) for i in active]
        everywhere = [np.zeros_like(a) if a.dtype.kind == "f" else 0 * a for a in arrays]
        for i, v in zip(active, along, strict=True):
            everywhere[i] = v
        if not sample.smooth:
            continue
        outputs = [plain.op.results[i] for i in of]

        def primal(x: Sequence[Array], outputs: Sequence[Value] = outputs) -> list[Array]:
            given = [v.astype(a.dtype) for v, a in zip(x, arrays, strict=True)]
            return plain.run(given, outputs)

        for i, difference in zip(of, differences(primal, arrays, everywhere), strict=True):
            tangent = tangents.get(made.op.results[i])
            got = np.zeros_like(difference)
            if tangent is not None:
                (got,) = made.run([*arrays, *along], [tangent])
            np.testing.assert_allclose(got, difference, rtol=tolerance, atol=tolerance)


def check_adjoint(sample: Sample, tolerance: float = 1e-10) -> None:
    """The adjoint is the transpose of the tangent: `⟨J v, w⟩ = ⟨v, Jᵀ w⟩`."""
    arrays = sample.arrays()
    rng = np.random.default_rng(2)
    made = program(sample)
    wrt, of = floats(made.inputs), floats(made.op.results)
    operands = list(made.op.operands)
    vectors = [made.vector(made.inputs[i].type) for i in wrt]
    tangents: dict[Value, Value] = {made.inputs[i]: v for i, v in zip(wrt, vectors, strict=True)}
    push_forward(made.builder, list(made.block), tangents)
    covectors = {i: made.vector(made.op.results[i].type) for i in of}
    bars = pull_back(made, [covectors.get(i) for i in range(len(made.op.results))])
    assert len(operands) == len(made.op.operands)
    given = [*vectors, *covectors.values()]
    values = [rng.standard_normal(shape_of(v.type)).astype(dtype_of(v.type).numpy) for v in given]
    v, w = values[: len(wrt)], values[len(wrt) :]
    pushed = sum_of_products(
        made, [*arrays, *values], [tangents.get(made.op.results[i]) for i in of], w
    )
    pulled = sum_of_products(made, [*arrays, *values], [bars[i] for i in wrt], v)
    np.testing.assert_allclose(pushed, pulled, rtol=tolerance, atol=tolerance)


def sum_of_products(
    made: Program, arrays: Sequence[Array], values: Sequence[Value | None], vectors: Sequence[Array]
) -> float:
    total = 0.0
    for value, vector in zip(values, vectors, strict=True):
        if value is not None:
            (array,) = made.run(arrays, [value])
            total += float(np.sum(array.astype(np.float64) * vector))
    return total


def check_second_order(sample: Sample, tolerance: float = 1e-5) -> None:
    """The tangent of the adjoint program against central differences of it."""
    if not sample.smooth:
        return
    arrays = sample.arrays()
    rng = np.random.default_rng(3)
    made = program(sample)
    wrt, of = floats(made.inputs), floats(made.op.results)
    covectors = {i: made.vector(made.op.results[i].type) for i in of}
    bars = pull_back(made, [covectors.get(i) for i in range(len(made.op.results))])
    outputs = [bar for bar in bars if bar is not None]
    fixed = [rng.standard_normal(shape_of(v.type)) for v in covectors.values()]
    point = [arrays[i] for i in wrt]
    along = [rng.standard_normal(np.shape(x)) for x in point]

    def gradient(x: Sequence[Array]) -> list[Array]:
        given = list(arrays)
        for i, value in zip(wrt, x, strict=True):
            given[i] = np.asarray(value)
        return made.run([*given, *fixed], outputs)

    wanted = differences(gradient, point, along)
    vectors = [made.vector(made.inputs[i].type) for i in wrt]
    tangents: dict[Value, Value] = {made.inputs[i]: v for i, v in zip(wrt, vectors, strict=True)}
    push_forward(made.builder, list(made.block), tangents)
    for output, difference in zip(outputs, wanted, strict=True):
        got = np.zeros_like(difference)
        if output in tangents:
            (got,) = made.run([*arrays, *fixed, *along], [tangents[output]])
        np.testing.assert_allclose(got, difference, rtol=tolerance, atol=tolerance)


# Batching


def check_batch(sample: Sample) -> None:
    """The batched operation against a loop over the points, for many ways to depend on them."""
    rng = np.random.default_rng(4)
    sizes = {0: 2, 1: 3, 4: 2}
    count = len(sample.inputs)
    patterns: list[tuple[tuple[int, ...], ...]] = [
        tuple((1,) if i == j else () for j in range(count)) for i in range(count)
    ]
    patterns += [((0,),) * count, ((0, 1),) * count]
    patterns += [tuple((i % 2,) for i in range(count)), tuple((1 - i % 2,) for i in range(count))]
    patterns += [tuple((0, 4) if i == 0 else (1,) for i in range(count))]
    patterns += [tuple((1,) if i == 0 else (0, 1, 4) for i in range(count))]
    for axes in dict.fromkeys(patterns):
        check_one_batch(sample, axes, sizes, rng)


def check_one_batch(
    sample: Sample,
    axes: Sequence[tuple[int, ...]],
    sizes: dict[int, int],
    rng: np.random.Generator,
) -> None:
    made = program(sample)
    arrays: list[Array] = []
    batched: dict[Value, Batched] = {}
    for draw, value, own in zip(sample.inputs, made.inputs, axes, strict=True):
        lead = tuple(sizes[axis] for axis in own)
        arrays.append(replace(draw, shape=(*lead, *draw.shape)).array(rng))
        batched[value] = Batched(made.vector(TensorType((*lead, *draw.shape), draw.dtype)), own)
    operands = [batched.get(value, Batched(value)) for value in made.op.operands]
    if made.op.has(Trait.ELEMENTWISE):
        values, common = tensor.align_all(made.builder, operands)
        operands = [Batched(value, common) for value in values]
    outputs = made.op.batch(made.builder, operands)
    plain = [draw.array(rng) for draw in sample.inputs]
    results = made.run([*plain, *arrays], [out.value for out in outputs])
    every = sorted({axis for own in axes for axis in own})
    for out in outputs:
        assert list(out.axes) == sorted(out.axes)
        assert set(out.axes) <= set(every)
    single = program(sample)
    for point in itertools.product(*(range(sizes[axis]) for axis in every)):
        at = dict(zip(every, point, strict=True))
        pairs = zip(arrays, axes, strict=True)
        given = [np.asarray(array[tuple(at[axis] for axis in own)]) for array, own in pairs]
        wanted = single.run(given, single.op.results)
        for out, result, one in zip(outputs, results, wanted, strict=True):
            same(np.asarray(result[tuple(at[axis] for axis in out.axes)]), one, 1e-12)
