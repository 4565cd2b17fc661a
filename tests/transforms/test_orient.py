"""Results that all readers read transposed are stored so."""

from __future__ import annotations

from dmc.dialects import arith, kernel
from dmc.ir import AffineMap, Builder, DType, Module, TensorType, Value, tensor
from dmc.transforms.generics import Read, make_generic
from dmc.transforms.orient import Orient
from tests.transforms.programs import check, program

F64 = DType.F64
NATURAL, TURNED = AffineMap.select(2, [0, 1]), AffineMap.select(2, [1, 0])


def doubled(b: Builder, args: list[Value]) -> list[Value]:
    return [arith.add(b, args[0], args[0])]


def product(b: Builder, x: Value, y: Value) -> Value:
    """The contraction of 3 × 2 with 4 × 2."""
    reads = [Read(x, AffineMap.select(3, [0, 2])), Read(y, AffineMap.select(3, [1, 2]))]
    writes = [AffineMap.select(3, [0, 1])]
    made = make_generic(
        b, (3, 4, 2), reads, lambda b, args: [arith.multiply(b, *args)], writes, ("add",), 1
    )
    return made.results[0]


def read_by(*maps: AffineMap, returned: bool = False) -> Module:
    """A 3 × 4 result that kernels read through `maps`."""

    def write(b: Builder, args: list[Value]) -> list[Value]:
        made = product(b, *args)
        out: list[Value] = []
        for map_ in maps:
            sizes = (3, 4) if map_ == NATURAL else (4, 3)
            out += make_generic(b, sizes, [Read(made, map_)], doubled, [NATURAL]).results
        return [*out, made] if returned else out

    return program([tensor(F64, 3, 2), tensor(F64, 4, 2)], write)


def shape_made(module: Module) -> tuple[int, ...]:
    first = next(op for op in module.walk() if isinstance(op, kernel.Generic))
    type_ = first.results[0].type
    assert isinstance(type_, TensorType)
    return type_.shape


def test_agreeing_readers_decide() -> None:
    module = check(read_by(TURNED, TURNED), Orient())
    assert shape_made(module) == (4, 3)
    _, *readers = (op for op in module.walk() if isinstance(op, kernel.Generic))
    assert all(op.operand_maps[0] == NATURAL for op in readers)


def test_disagreement_and_other_uses_leave_results_alone() -> None:
    assert shape_made(check(read_by(TURNED, NATURAL), Orient())) == (3, 4)
    assert shape_made(check(read_by(NATURAL), Orient())) == (3, 4)
    assert shape_made(check(read_by(TURNED, returned=True), Orient())) == (3, 4)


def test_a_tensor_that_is_loaded_from_stays() -> None:
    def write(b: Builder, args: list[Value]) -> list[Value]:
        made = make_generic(b, (3, 4), [Read(args[0], NATURAL)], doubled, [NATURAL]).results[0]

        def code(inner: Builder, a: list[Value]) -> list[Value]:
            zero = arith.index(inner, 0)
            found = inner.insert(kernel.Load([made, zero, zero])).output
            return [arith.add(inner, a[0], found)]

        return list(make_generic(b, (4, 3), [Read(made, TURNED)], code, [NATURAL]).results)

    assert shape_made(check(program([tensor(F64, 3, 4)], write), Orient())) == (3, 4)


def test_elementwise_kernels_store_as_they_read() -> None:
    def write(b: Builder, args: list[Value]) -> list[Value]:
        made = make_generic(b, (3, 4), [Read(args[0], NATURAL)], doubled, [NATURAL]).results[0]
        return [*make_generic(b, (4, 3), [Read(made, TURNED)], doubled, [NATURAL]).results]

    assert shape_made(check(program([tensor(F64, 3, 4)], write), Orient())) == (3, 4)
