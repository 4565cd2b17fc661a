"""Results lie in memory in an order that suits all of their readers."""

from __future__ import annotations

from collections.abc import Sequence

from dmc.dialects import arith, kernel
from dmc.ir import (
    AffineExpr,
    AffineMap,
    Builder,
    DType,
    Module,
    TensorType,
    Value,
    shape_of,
    tensor,
)
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


def batched(last: bool, order: Sequence[int] = ()) -> Module:
    """Row by row differences, `[n, k, i]`, that products for each k and a map read.

    The products are sums with an `order` of their own, if it is given.
    """
    axes = AffineMap.select(3, [0, 1, 2])

    def write(b: Builder, args: list[Value]) -> list[Value]:
        x, m, w = args
        reads = [Read(x, AffineMap.select(3, [0, 2])), Read(m, AffineMap.select(3, [1, 2]))]

        def apart(b: Builder, a: list[Value]) -> list[Value]:
            return [arith.subtract(b, *a)]

        made = make_generic(b, (5, 3, 4), reads, apart, [axes]).results[0]
        # k, n, r and i, which is summed over
        pair = [Read(made, AffineMap.select(4, [1, 0, 3])), Read(w, AffineMap.select(4, [0, 2, 3]))]
        writes = [AffineMap.select(4, [1, 0, 2])]
        sizes = (3, 5, 2, 4)

        def times(b: Builder, a: list[Value]) -> list[Value]:
            return [arith.multiply(b, *a)]

        product = make_generic(b, sizes, pair, times, writes, ("add",), 1, order=order).results[0]
        walked = [0, 1, 2] if last else [2, 1, 0]
        sizes = (5, 3, 4) if last else (4, 3, 5)
        seen = make_generic(b, sizes, [Read(made, AffineMap.select(3, walked))], doubled, [axes])
        each = make_generic(b, (5, 3, 2), [Read(product, axes)], doubled, [axes])
        return [*seen.results, *each.results]

    return program([tensor(F64, 5, 4), tensor(F64, 3, 4), tensor(F64, 3, 2, 4)], write)


def test_each_matrix_of_a_batch_lies_in_one_piece() -> None:
    """That it is read and made so costs nobody anything: the last axis is what it was."""
    module = check(batched(last=True), Orient())
    apart, product, *_ = (op for op in module.walk() if isinstance(op, kernel.Generic))
    assert [shape_of(op.results[0].type) for op in (apart, product)] == [(3, 5, 4), (3, 5, 2)]


def test_sums_with_an_order_want_no_matrices() -> None:
    """They are no products of matrices, and read best as they walk."""
    module = check(batched(last=True, order=(0, 1, 2, 3)), Orient())
    assert shape_made(module) == (5, 3, 4)


def test_a_reader_along_another_axis_leaves_matrices_apart() -> None:
    module = check(batched(last=False), Orient())
    assert shape_made(module) == (5, 3, 4)


def test_what_reads_nothing_along_its_last_axis_stores_in_any_order() -> None:
    def write(b: Builder, args: list[Value]) -> list[Value]:
        reads = [Read(args[0], AffineMap.select(2, [0]))]
        made = make_generic(b, (3, 4), reads, doubled, [NATURAL]).results[0]
        return [*make_generic(b, (4, 3), [Read(made, TURNED)], doubled, [NATURAL]).results]

    assert shape_made(check(program([tensor(F64, 3)], write), Orient())) == (4, 3)


def test_a_sum_walks_in_the_order_of_its_own_and_edges_are_read_again() -> None:
    """Of a product the readers are a sum of `[j, i]` and a map that holds its subscripts in."""
    clamped = AffineMap(2, (AffineExpr.dim(2, 1).clamp(0, 2, (4, 5)), AffineExpr.dim(2, 0)))

    def write(b: Builder, args: list[Value]) -> list[Value]:
        made = product(b, *args)

        def whole(b: Builder, a: list[Value]) -> list[Value]:
            return list(a)

        read, to = [Read(made, NATURAL)], [AffineMap(2, ())]
        every = make_generic(b, (3, 4), read, whole, to, ("add",), 2, order=[1, 0])
        seen = make_generic(b, (4, 5), [Read(made, clamped)], doubled, [NATURAL])
        return [*every.results, *seen.results]

    module = check(program([tensor(F64, 3, 2), tensor(F64, 4, 2)], write), Orient())
    assert shape_made(module) == (4, 3)
