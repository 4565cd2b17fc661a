"""The loop dialect: constraints by number, and accesses that the interpreter refuses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from dmc.dialects import arith, loop
from dmc.dialects.loop.memory import OutOfBounds
from dmc.ir import (
    AffineExpr,
    AffineMap,
    Block,
    Builder,
    DType,
    Interpreter,
    MemRefType,
    Module,
    Operation,
    Region,
    ScalarType,
    Type,
    Value,
    VectorType,
    VerifyError,
    verify,
)
from dmc.jit.entry import Executable, ResultSpec
from dmc.jit.tapes import tape_memory
from dmc.jit.target import host
from dmc.lowering.loop_builder import Linear, LoopBuilder, function
from dmc.lowering.to_llvm import entry_symbol, lower_module
from tests.lowering.native import engine

F32, F64, I64, BOOL = DType.F32, DType.F64, DType.I64, DType.BOOL
INDEX = loop.INDEX
BUFFER = MemRefType((4, 8), F32)


def written(types: list[Type], write: Callable[[LoopBuilder, list[Value]], object]) -> Module:
    """A module with the function `main`, not verified."""
    module = Module.empty()
    main = function("main", types, [], private=False)
    b = LoopBuilder(main)
    write(b, main.body.args)
    module.append(b.finish())
    return module


def refused(op: str, number: int, types: list[Type], write: Callable[..., object]) -> None:
    with pytest.raises(VerifyError) as failure:
        verify(written(types, write))
    assert (failure.value.op.name, failure.value.number) == (op, number)


def at(*subscripts: int) -> AffineMap:
    return AffineMap(0, tuple(AffineExpr((), s) for s in subscripts))


def region(types: list[Type], *yielded: Callable[[Builder, list[Value]], Value]) -> Region:
    block = Block(types)
    b = Builder(block)
    b.insert(loop.Yield([make(b, block.args) for make in yielded]))
    return Region(block)


def test_functions() -> None:
    refused("loop.func", 1, [VectorType((4,), F32)], lambda b, a: None)
    module = Module.empty()
    block = Block()
    Builder(block).insert(loop.Yield())
    module.append(loop.Func([], {"sym_name": "f"}, [Region(block)]))
    with pytest.raises(VerifyError, match="C2"):
        verify(module)


def test_calls() -> None:
    module = written([BUFFER], lambda b, a: b.call("other", [b.constant(1.0, ScalarType(F32))]))
    with pytest.raises(VerifyError, match="C1"):
        verify(module)
    other = LoopBuilder(function("other", [BUFFER], [], private=True))
    module.append(other.finish())
    with pytest.raises(VerifyError, match="C2"):
        verify(module)


def test_loops() -> None:
    def make(step: int, init: int, **types: Type) -> Callable[[LoopBuilder, list[Value]], object]:
        def write(b: LoopBuilder, args: list[Value]) -> object:
            body = region(
                [types.get("variable", INDEX), types.get("carried", INDEX)], lambda _, a: a[1]
            )
            return b.insert(loop.For([*args[:2], args[init]], {"step": step}, [body]))

        return write

    types: list[Type] = [INDEX, INDEX, BUFFER, ScalarType(F32)]
    verify(written(types, make(1, 0)))
    refused("loop.for", 1, types, make(0, 0))
    refused("loop.for", 2, types, make(1, 2, carried=BUFFER))
    refused("loop.for", 2, types, make(1, 0, carried=ScalarType(F32)))
    refused("loop.for", 2, types, make(1, 0, variable=ScalarType(F32)))
    refused("loop.for", 3, [ScalarType(F32)] * 2, make(1, 0, carried=ScalarType(F32)))


def test_while_and_if() -> None:
    def test(_: Builder, a: list[Value]) -> Value:
        return a[0]

    def loops(condition: Region, body: Region) -> Callable[[LoopBuilder, list[Value]], object]:
        return lambda b, a: b.insert(loop.While(a, {}, [condition, body]))

    flag, number = ScalarType(BOOL), ScalarType(F32)
    verify(written([flag], loops(region([flag], test), region([flag], test))))
    refused("loop.while", 1, [flag], loops(region([flag], test), region([number], test)))
    refused("loop.while", 2, [number], loops(region([number], test), region([number], test)))

    def branches(number: int) -> Callable[[LoopBuilder, list[Value]], object]:
        def write(b: LoopBuilder, a: list[Value]) -> object:
            regions = [region([], lambda *_, i=i: a[i]) for i in (1, number)]
            return b.insert(loop.If([a[0]], {}, regions))

        return write

    verify(written([flag, number, number], branches(2)))
    refused("loop.if", 2, [flag, number, INDEX], branches(2))
    refused("loop.if", 2, [flag, BUFFER], branches(1))
    refused("loop.if", 1, [number, number], branches(1))


def test_parallel_loops() -> None:
    def nested(b: LoopBuilder, _: list[Value]) -> None:
        b.parallel(2, lambda i: b.parallel(2, lambda j: None))

    refused("loop.parallel", 2, [], nested)
    refused(
        "loop.parallel",
        1,
        [],
        lambda b, a: b.insert(loop.Parallel([], {"tasks": 2}, [region([ScalarType(F32)])])),
    )


def test_accesses() -> None:
    def load(map_: AffineMap, *extra: int) -> Callable[[LoopBuilder, list[Value]], object]:
        return lambda b, a: b.insert(loop.Load([a[0], *(a[i] for i in extra)], {"map": map_}))

    types: list[Type] = [BUFFER, INDEX, ScalarType(F32), VectorType((8,), F32)]
    types = types[:3]
    refused("loop.load", 1, types, load(at(0)))
    refused("loop.load", 1, types, load(at(0, 0), 1))
    refused("loop.load", 2, types, load(AffineMap.select(1, [0, 0]), 2))
    refused(
        "loop.store",
        3,
        types,
        lambda b, a: b.insert(loop.Store([a[0], a[1]], {"map": at(0, 0)})),
    )


def vector_access(
    make: Callable[[LoopBuilder, Value], Operation],
) -> Callable[[LoopBuilder, list[Value]], object]:
    return lambda b, a: b.insert(make(b, a[0]))


@pytest.mark.parametrize(
    ("op", "number", "make"),
    [
        (
            "loop.vector_load",
            3,
            lambda b, m: loop.VectorLoad([m], {"map": at(0, 0), "axis": 0, "lanes": 4}),
        ),
        (
            "loop.vector_load",
            3,
            lambda b, m: loop.VectorLoad([m], {"map": at(0, 0), "axis": 2, "lanes": 4}),
        ),
        (
            "loop.masked_load",
            4,
            lambda b, m: loop.MaskedLoad(
                [m, b.constant(True, VectorType((4,), BOOL))],
                {"map": at(0, 0), "axis": 1, "lanes": 8},
            ),
        ),
        (
            "loop.vector_store",
            5,
            lambda b, m: loop.VectorStore(
                [m, b.constant(1.0, VectorType((4,), F64))], {"map": at(0, 0), "axis": 1}
            ),
        ),
        (
            "loop.gather",
            5,
            lambda b, m: loop.Gather(
                [
                    m,
                    b.constant(1.0, VectorType((4,), F32)),
                    b.constant(True, VectorType((4,), BOOL)),
                ],
                {"map": at(0, 0), "axis": 1},
            ),
        ),
        (
            "loop.scatter",
            6,
            lambda b, m: loop.Scatter(
                [
                    m,
                    b.constant(1.0, VectorType((8,), F32)),
                    b.iota(4),
                    b.constant(True, VectorType((4,), BOOL)),
                ],
                {"map": at(0, 0), "axis": 1},
            ),
        ),
    ],
)
def test_vector_accesses(op: str, number: int, make: Callable[..., Operation]) -> None:
    refused(op, number, [BUFFER], vector_access(make))


def test_views_and_private_memory() -> None:
    arena = MemRefType((64,), DType.I8)
    wanted = MemRefType((4,), F32)

    def view(offset: int, type_: MemRefType) -> Callable[[LoopBuilder, list[Value]], object]:
        return lambda b, a: b.view(a[0], offset, type_)

    verify(written([arena], view(48, wanted)))
    refused("loop.view", 2, [arena], view(52, wanted))
    refused("loop.view", 1, [wanted], view(0, wanted))
    refused("loop.view", 1, [arena], view(0, MemRefType((2,), F32, (2,))))
    refused("loop.subview", 3, [arena], lambda b, a: b.subview(a[0], [0], wanted))
    refused(
        "loop.subview", 3, [wanted], lambda b, a: b.subview(a[0], [0], MemRefType((2,), F32, ()))
    )

    def in_a_loop(b: LoopBuilder, _: list[Value]) -> None:
        def step(i: Value, __: list[Value]) -> list[Value]:
            b.alloca((4,), F32)
            return []

        b.for_(0, 4, step)

    refused("loop.alloca", 2, [], in_a_loop)


def test_tapes() -> None:
    root, buffer = loop.ROOT, MemRefType((), F64)
    number = [INDEX, INDEX]

    def of(
        make: Callable[[Sequence[Value]], Operation],
    ) -> Callable[[LoopBuilder, list[Value]], object]:
        return lambda b, a: b.insert(make(a))

    refused("loop.tape_open", 1, [root, BUFFER], of(loop.TapeOpen))
    refused("loop.tape_failed", 1, [BUFFER], of(loop.TapeFailed))
    refused("loop.tape_release", 1, [root, root], of(loop.TapeRelease))
    resize = of(lambda a: loop.TapeResize(a, {"bytes": 8}))
    refused("loop.tape_resize", 1, [BUFFER, *number], resize)
    element = of(lambda a: loop.TapeElement(a, {"type": buffer}))
    refused("loop.tape_element", 1, [INDEX, ScalarType(F64)], element)


def test_blocks_of_tapes_move_and_are_released() -> None:
    """Natively and in the interpreter: an older block moves, and the newer ones are freed."""
    out = MemRefType((4,), F64)

    def write(b: LoopBuilder, args: Sequence[Value]) -> None:
        root = b.insert(loop.Alloca([], {"type": loop.ROOT})).results[0]
        b.insert(loop.TapeOpen([root]))

        def resized(block: Value, count: int) -> Value:
            operands = [root, block, b.index(count)]
            return b.insert(loop.TapeResize(operands, {"bytes": 8})).results[0]

        def place(block: Value, index: int) -> Value:
            type_ = MemRefType((), F64)
            operands = [block, b.index(index)]
            return b.insert(loop.TapeElement(operands, {"type": type_})).results[0]

        first = resized(b.index(0), 2)
        b.store(b.constant(1.5, ScalarType(F64)), place(first, 1), [])
        mark = b.load(root, [loop.NEWEST])
        for value in (2.5, 3.5):
            second = resized(b.index(0), 1)
            b.store(b.constant(value, ScalarType(F64)), place(second, 0), [])
        b.store(b.load(place(second, 0), []), args[0], [0])
        b.insert(loop.TapeRelease([root, mark]))
        moved = resized(first, 1 << 16)
        b.store(b.constant(4.5, ScalarType(F64)), place(moved, (1 << 16) - 1), [])
        for at_, index in ((1, 1), (2, (1 << 16) - 1)):
            b.store(b.load(place(moved, index), []), args[0], [at_])
        third = resized(b.index(0), 1)
        moved = resized(moved, 1 << 17)
        b.store(b.constant(5.5, ScalarType(F64)), place(third, 0), [])
        b.store(b.load(place(third, 0), []), args[0], [3])
        b.insert(loop.TapeRelease([root, b.index(0)]))

    module = written([out, MemRefType((0,), DType.I8)], write)
    verify(module)
    interpreted = np.zeros(4)
    Interpreter(module).call("main", [interpreted, np.zeros(0, np.int8)])
    tape_memory().peak()
    lowered = lower_module(module, host().machine)
    lowered.module.triple = host().triple
    symbol = entry_symbol("main")
    code = engine(host()).load([str(lowered.module)], [symbol], tape_memory().symbols)
    results = (ResultSpec(F64, (4,)),)
    (native,) = Executable(code[symbol], (), results, 0, lowered.scratch_bytes, keep=code)()
    np.testing.assert_array_equal(interpreted, [3.5, 1.5, 4.5, 5.5])
    np.testing.assert_array_equal(native, interpreted)
    assert tape_memory().peak() == 8 * ((1 << 17) + 1) + 2 * 64  # in front of each block
    assert tape_memory().peak() == 0


def test_vectors() -> None:
    four = VectorType((4,), F32)

    def of(make: Callable[[Value], Operation]) -> Callable[[LoopBuilder, list[Value]], object]:
        return lambda b, a: b.insert(make(b.constant(1.0, four)))

    refused("loop.broadcast", 1, [], of(lambda v: loop.Broadcast([v], {"lanes": 4})))
    refused("loop.extract_lane", 2, [], of(lambda v: loop.ExtractLane([v], {"lane": 4})))
    refused(
        "loop.slice_vector", 2, [], of(lambda v: loop.SliceVector([v], {"start": 2, "lanes": 4}))
    )
    refused("loop.shuffle", 2, [], of(lambda v: loop.Shuffle([v, v], {"order": (0, 8)})))
    refused("loop.tail_mask", 1, [], of(lambda v: loop.TailMask([v], {"lanes": 4})))
    refused("loop.fma", 1, [ScalarType(F32)], lambda b, a: b.fma(a[0], a[0], b.constant(1.0, four)))
    refused("loop.exact_product", 1, [INDEX], lambda b, a: b.product(a[0], a[0]))
    with pytest.raises(VerifyError, match="C1"):
        written([INDEX], lambda b, a: b.extract(a[0], 0))


def run(
    types: list[Type], write: Callable[[LoopBuilder, list[Value]], object], *arrays: object
) -> None:
    module = written(types, write)
    verify(module)
    Interpreter(module).call("main", [np.asarray(a) for a in arrays])


@pytest.mark.parametrize("row", [-1, 4])
def test_the_interpreter_refuses_accesses_outside(row: int) -> None:
    memory = np.zeros((4, 8), np.float32)
    types: list[Type] = [BUFFER, INDEX]
    with pytest.raises(OutOfBounds):
        run(types, lambda b, a: b.load(a[0], [a[1], 0]), memory, row)
    with pytest.raises(OutOfBounds):
        run(types, lambda b, a: b.vector_load(a[0], [a[1], 0], 4), memory, row)
    one = MemRefType((8,), F32)
    with pytest.raises(OutOfBounds):
        run(types, lambda b, a: b.subview(a[0], [a[1], 0], one), memory, row)


def test_idle_lanes_touch_nothing() -> None:
    memory = np.arange(6, dtype=np.float32)
    buffer = MemRefType((6,), F32)

    def write(b: LoopBuilder, a: list[Value]) -> None:
        mask = b.tail_mask(2, 4)
        value = b.vector_load(a[0], [4], 4, mask=mask)
        b.vector_store(arith.add(b.builder, value, value), a[0], [4], mask=mask)

    run([buffer], write, memory)
    np.testing.assert_array_equal(memory, [0, 1, 2, 3, 8, 10])


def test_transpose_and_fold() -> None:
    for lanes in (2, 4, 8):
        memory = np.arange(lanes * lanes, dtype=np.float32).reshape(lanes, lanes)
        expected = memory.T.copy()
        buffer = MemRefType((lanes, lanes), F32)

        def write(b: LoopBuilder, a: list[Value], lanes: int = lanes) -> None:
            rows = [b.vector_load(a[0], [i, 0], lanes) for i in range(lanes)]
            for i, row in enumerate(b.transpose(rows)):
                b.vector_store(row, a[0], [i, 0])

        run([buffer], write, memory)
        np.testing.assert_array_equal(memory, expected)
    with pytest.raises(ValueError, match="halve"):
        written(
            [], lambda b, a: b.fold_lanes([b.constant(1.0, VectorType((3,), F32))], lambda x, y: x)
        )


def test_tasks_run_in_any_order() -> None:
    order: list[int] = []

    class Noted(np.ndarray):
        def __setitem__(self, key: object, value: object) -> None:
            order.append(int(np.asarray(value)))

    memory = np.zeros(3, np.int64).view(Noted)
    module = written(
        [MemRefType((3,), I64)], lambda b, a: b.parallel(3, lambda i: b.store(i, a[0], [i]))
    )
    interpreter = Interpreter(module)
    interpreter.values = {}
    body = module.lookup("main").regions[0].block
    interpreter.values[body.args[0]] = memory
    for op in list(body)[:-1]:
        interpreter.run(op)
    assert order == [2, 1, 0]


def test_linear_subscripts() -> None:
    block = Block([INDEX, INDEX])
    i, j = block.args
    linear = (Linear.of(i) * 3 + j + 2) + Linear.of(i) * -3
    assert linear == Linear(((j, 1),), 2)
    assert Linear.of(7) * 0 == Linear()
