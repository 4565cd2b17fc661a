"""Random modules, of operations that mean nothing, to try the printer and the parser on."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from dmc.ir import (
    UNKNOWN,
    AffineExpr,
    AffineMap,
    AffineSet,
    ArrayAttr,
    Attribute,
    Block,
    Clamp,
    DenseElements,
    DType,
    FloorDiv,
    FunctionType,
    Location,
    MemRefType,
    Mod,
    Module,
    Operation,
    Region,
    ScalarType,
    Span,
    SymbolRef,
    TensorType,
    Trait,
    Type,
    Value,
    VectorType,
    attribute,
    operands,
    optional,
    result,
)
from dmc.ir.location import SourceFile


class Anything(Operation):
    """Any operands, results and regions."""

    name = "test.anything"
    inputs = operands()
    axis = attribute(int, default=-1)
    scale = attribute(float, default=0.0)
    sym_name = optional(str)
    text = optional(str)
    loud = optional(bool)


class Same(Operation):
    """An operation whose operands and results often have one type."""

    name = "test.nested.same"
    inputs = operands()


class Constant(Operation):
    """A constant by its trait."""

    name = "test.constant"
    traits = frozenset({Trait.CONSTANT})
    value = attribute[object](object)
    result = result()


class Function(Operation):
    """A function, with or without its type as an attribute, that need not return."""

    name = "test.func"
    traits = frozenset({Trait.LISTS})
    sym_name = optional(str)
    function_type = optional(FunctionType)


# Types and attributes

shapes = st.lists(st.integers(0, 4), max_size=3).map(tuple)
dtypes = st.sampled_from(DType)
shaped_types: st.SearchStrategy[Type] = st.one_of(
    st.builds(ScalarType, dtypes),
    st.builds(TensorType, shapes, dtypes),
    st.builds(VectorType, st.lists(st.integers(1, 16), min_size=1, max_size=2).map(tuple), dtypes),
    st.builds(MemRefType, shapes, dtypes),
    shapes.flatmap(
        lambda shape: st.builds(
            MemRefType, st.just(shape), dtypes, st.tuples(*[st.integers(0, 99) for _ in shape])
        )
    ),
)


@st.composite
def function_types(draw: st.DrawFn, depth: int = 1) -> FunctionType:
    inner = shaped_types if depth == 0 else shaped_types | function_types(depth - 1)
    types = st.lists(inner, max_size=2).map(tuple)
    return FunctionType(draw(types), draw(types))


@st.composite
def dense_elements(draw: st.DrawFn) -> DenseElements:
    dtype = draw(st.sampled_from([dtype for dtype in DType if dtype is not DType.BF16]))
    shape = draw(shapes | st.just((70,)))
    bits = draw(npst.arrays(np.dtype(f"u{dtype.bytes}"), shape))
    array = bits % 2 == 1 if dtype is DType.BOOL else bits.view(dtype.numpy)
    if draw(st.booleans()) and array.size:
        first = array[(slice(0, 1),) * array.ndim].reshape(())
        array = np.broadcast_to(first, shape)
    return DenseElements(array, TensorType(shape, dtype))


def quasi_affine(
    dimensions: int, inner: st.SearchStrategy[AffineExpr]
) -> st.SearchStrategy[AffineExpr]:
    divisors, ends = st.integers(1, 5), st.integers(-5, 0)
    terms = st.one_of(
        st.builds(FloorDiv, inner, divisors),
        st.builds(Mod, inner, divisors),
        st.builds(Clamp, inner, ends, divisors),
    )

    def scaled(factor: int, term: FloorDiv | Mod | Clamp, rest: AffineExpr) -> AffineExpr:
        return rest + AffineExpr((0,) * dimensions, 0, ((factor, term),))

    return st.builds(scaled, st.sampled_from([-2, -1, 1, 3]), terms, inner)


@st.composite
def affine_maps(draw: st.DrawFn) -> AffineMap:
    dimensions = draw(st.integers(0, 3))
    coefficients = st.lists(st.integers(-3, 3), min_size=dimensions, max_size=dimensions)
    linear = st.builds(AffineExpr, coefficients.map(tuple), st.integers(-9, 9))
    exprs = st.recursive(linear, lambda inner: quasi_affine(dimensions, inner), max_leaves=3)
    return AffineMap(dimensions, tuple(draw(st.lists(exprs, max_size=3))))


@st.composite
def affine_sets(draw: st.DrawFn) -> AffineSet:
    dimensions = draw(st.integers(0, 3))
    coefficients = st.lists(st.integers(-3, 3), min_size=dimensions, max_size=dimensions)
    linear = st.builds(AffineExpr, coefficients.map(tuple), st.integers(-9, 9))
    return AffineSet(dimensions, tuple(draw(st.lists(linear, max_size=3))))


integers = st.integers(-(2**63), 2**63 - 1)
bit_patterns = st.integers(0, 2**64 - 1).map(lambda n: struct.unpack("<d", struct.pack("<Q", n))[0])
plain_attributes: st.SearchStrategy[Attribute] = st.one_of(
    st.booleans(),
    integers,
    st.floats() | bit_patterns,
    st.text(),
    st.lists(integers, max_size=3).map(tuple),
    shaped_types,
    function_types(),
    st.builds(SymbolRef, st.text(min_size=1)),
    dense_elements(),
    affine_maps(),
    affine_sets(),
)
attributes: st.SearchStrategy[Attribute] = st.recursive(
    plain_attributes, lambda inner: st.builds(ArrayAttr, st.lists(inner, max_size=3).map(tuple))
)
names = st.from_regex(r"[A-Za-z_]\w{0,5}", fullmatch=True, alphabet=st.characters(codec="ascii"))
# Names that are words elsewhere in the grammar.
keys = names | st.sampled_from(["loc", "true", "f32", "dense", "fused", "to", "unknown", "tensor"])
dictionaries = st.dictionaries(keys, attributes, max_size=2)


@st.composite
def locations(draw: st.DrawFn) -> Location:
    line, column = draw(st.integers(1, 99)), draw(st.integers(1, 99))
    span = Span(
        SourceFile(draw(st.text(max_size=5))),
        line,
        column,
        line + draw(st.integers(0, 1)),
        column + 1,
    )
    return Location(draw(st.none() | st.just(span)), draw(st.sampled_from(["", "adjoint", 'a"b'])))


# Operations

hints = st.sampled_from(["", "", "h", "h_1", "0", "1x", "l1.w", "é", "a b"]) | st.text(max_size=3)


@st.composite
def modules(draw: st.DrawFn) -> Module:
    block = Block()
    for name in draw(st.lists(names | st.text(), max_size=3, unique=True)):
        block.insert(draw(functions(name)))
    return Module(regions=[Region(block)], location=draw(locations() | st.just(UNKNOWN)))


@st.composite
def functions(draw: st.DrawFn, name: str) -> Operation:
    block = _block(draw, depth=2, visible=[])
    known: dict[str, Attribute] = {"sym_name": name}
    inputs = tuple(arg.type for arg in block.args)
    kind = draw(st.sampled_from(["typed", "typed", "untyped", "mistyped"]))
    if kind != "untyped":
        results = draw(st.lists(shaped_types | function_types(), max_size=2).map(tuple))
        inputs = inputs if kind == "typed" else (*inputs, ScalarType(DType.F32))
        known["function_type"] = FunctionType(inputs, results)
    known |= draw(dictionaries)
    return Function([], known, [Region(block)], [], draw(locations()))


def _block(draw: st.DrawFn, depth: int, visible: Sequence[Value]) -> Block:
    types = draw(st.lists(shaped_types, max_size=2))
    block = Block(types, [draw(hints) for _ in types])
    inside = [*visible, *block.args]
    for _ in range(draw(st.integers(0, 3))):
        op = _operation(draw, depth, inside)
        block.insert(op)
        inside += op.results
    return block


def _operation(draw: st.DrawFn, depth: int, visible: Sequence[Value]) -> Operation:
    place = draw(locations() | st.just(UNKNOWN))
    kind = draw(st.sampled_from([Anything, Same, Constant]))
    chosen = draw(st.lists(st.sampled_from(visible), max_size=3)) if visible else []
    if kind is Constant:
        value = draw(dense_elements() | st.booleans() | integers | st.floats())
        type_ = value.type if isinstance(value, DenseElements) else draw(shaped_types)
        return Constant([], {"value": value}, [], [type_], place, [draw(hints)])
    if kind is Same:
        type_ = chosen[0].type if chosen else draw(shaped_types)
        chosen = [value for value in chosen if value.type == type_]
        results = [type_] * draw(st.integers(0, 2))
        return Same(chosen, {}, [], results, place, [draw(hints) for _ in results])
    blocks = (
        [_block(draw, depth - 1, visible) for _ in range(draw(st.integers(0, 2)))] if depth else []
    )
    results = draw(st.lists(shaped_types | function_types(), max_size=2))
    regions = [Region(block) for block in blocks]
    hinted = [draw(hints) for _ in results]
    return Anything(chosen, draw(dictionaries), regions, results, place, hinted)


# Comparison


def difference(a: Operation, b: Operation, *, locations: bool) -> str | None:
    """What first tells `a` from `b`, or None; names of values do not count."""
    return _difference(a, b, {}, locations)


def _difference(a: Operation, b: Operation, same: dict[Value, Value], locs: bool) -> str | None:
    if type(a) is not type(b):
        return f"{a.name} is not {b.name}"
    if [same[value] for value in a.operands] != list(b.operands):
        return f"operands of {a.name}"
    if a.result_types != b.result_types:
        return f"results of {a.name}"
    if a.attributes.keys() != b.attributes.keys():
        return f"attributes of {a.name}"
    for key, value in a.attributes.items():
        if not _equal(value, b.attributes[key]):
            return f"attribute {key} of {a.name}: {value!r}, {b.attributes[key]!r}"
    if locs and a.location != b.location:
        return f"location of {a.name}"
    same.update(zip(a.results, b.results, strict=True))
    if len(a.regions) != len(b.regions):
        return f"regions of {a.name}"
    for left, right in zip(a.regions, b.regions, strict=True):
        inner, other = left.block, right.block
        if [arg.type for arg in inner.args] != [arg.type for arg in other.args]:
            return f"block arguments in {a.name}"
        same.update(zip(inner.args, other.args, strict=True))
        if len(list(inner)) != len(list(other)):
            return f"length of a block in {a.name}"
        for op, counterpart in zip(inner, other, strict=True):
            found = _difference(op, counterpart, same, locs)
            if found:
                return found
    return None


def _equal(a: Attribute, b: Attribute) -> bool:
    """Equal and of one kind: `True` is not 1, NaN is NaN, and zeros have signs."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float) and isinstance(b, float):
        return struct.pack("<d", a) == struct.pack("<d", b) or (math.isnan(a) and math.isnan(b))
    if isinstance(a, ArrayAttr) and isinstance(b, ArrayAttr):
        return len(a.items) == len(b.items) and all(map(_equal, a.items, b.items))
    return a == b
