"""Indexing: elements, slices, gathers, new axes; what an index says about its range."""

from __future__ import annotations

import operator
from collections.abc import Callable
from string import ascii_lowercase

from dmc.ir.location import Span
from dmc.ir.types import DType
from dmc.semantics import typed
from dmc.semantics.builtins.elementwise import ADD, MULTIPLY, NEGATE, SUBTRACT, Elementwise
from dmc.semantics.callees import function_value
from dmc.semantics.context import BoundsCheck, Context, Evidence
from dmc.semantics.duties import duty
from dmc.semantics.inference import same_shape
from dmc.semantics.operators import whole_division
from dmc.semantics.primitive import Fill
from dmc.semantics.program import FunctionDeclaration, SourceModule
from dmc.semantics.resolver import shape_items, try_size
from dmc.semantics.sizes import Division, Size, Verdict, divide
from dmc.semantics.typed import Symbol, SymbolKind
from dmc.semantics.types import (
    Axis,
    GenericKind,
    Hole,
    Number,
    NumberKind,
    Pack,
    Shape,
    StackType,
    Stretch,
    TensorType,
    TupleType,
    Type,
    pruned,
    resolved,
    scalar,
    stack,
)
from dmc.syntax import ast

__all__ = ["affine_value", "check_index", "check_items", "is_run_time"]


def check_index(context: Context, node: ast.Index, expected: Type | None) -> typed.Node:
    """`base[items]`: an access, a shaped fill, or a function with its generic arguments."""
    if isinstance(node.base, ast.Name):
        name = node.base.text
        entity = context.lookup(name)
        known = context.prelude.get(name) if entity is None else None
        if isinstance(known, Fill):
            shape = shape_items(context, node.bracket)
            type_ = TensorType(context.number(NumberKind.NUMBER), shape)
            return typed.Fill(type_, node.span, known.value)
        if isinstance(entity, FunctionDeclaration) or (
            entity is None and context.is_prelude_function(name)
        ):
            return function_value(context, node, expected)
    if isinstance(node.base, ast.Member) and isinstance(node.base.base, ast.Name):
        module = context.lookup(node.base.base.text)
        if isinstance(module, SourceModule):
            return function_value(context, node, expected)
    base = context.check(node.base)
    items, type_ = check_items(context, base, node.bracket, node.span)
    return typed.Access(type_, node.span, base, items)


def check_items(
    context: Context, base: typed.Node, bracket: ast.Bracket, span: Span
) -> tuple[tuple[typed.At, ...], Type]:
    """The items of an index and the type of what they select."""
    type_ = pruned(base.type)
    match type_:
        case TensorType(element, shape):
            items, result = _select(context, base, shape, bracket, span)
            return items, TensorType(element, result)
        case StackType():
            return _select_record(context, base, type_, bracket, span)
        case Hole():
            raise context.fail(
                "shape.unknown", "the shape of this value is not known", base.span,
                help=[_shape_in_brackets(context, len(bracket.items))],
            )  # fmt: skip
        case TupleType(parts):
            names = ", ".join(ascii_lowercase[: len(parts)])
            value = base.span.file.quote(base.span)
            raise context.fail(
                "index.type", f"{type_} cannot be indexed", span, str(type_),
                help=[f"take it apart by names: `let ({names}) = {value}`"],
            )  # fmt: skip
        case _:
            raise context.fail("index.type", f"{type_} cannot be indexed", span, str(type_))


def _shape_in_brackets(context: Context, rank: int) -> str:
    """Help where `zeros` has no shape, in sizes that there are."""
    function = context.function
    generics = () if function is None else function.generics
    sizes = [g.name for g in generics if g.kind is GenericKind.SIZE] or ["3"]
    shape = ", ".join((sizes * rank)[:rank])
    return f"give it in brackets, where it is made: `zeros[{shape}]`"


def _select_record(
    context: Context, base: typed.Node, type_: StackType, bracket: ast.Bracket, span: Span
) -> tuple[tuple[typed.At, ...], Type]:
    if len(bracket.items) != 1:
        raise context.fail("index.count", f"{type_} has one axis", span)
    items, shape = _select(context, base, (type_.count,), bracket, span)
    result: Type = type_.item
    for axis in reversed(shape):
        if not isinstance(axis, Size):
            raise context.fail("index.type", "records do not stretch", span)
        result = stack(axis, result)
    return items, result


def _select(
    context: Context, base: typed.Node, shape: Shape, bracket: ast.Bracket, span: Span
) -> tuple[tuple[typed.At, ...], Shape]:
    taking = [i for i in bracket.items if not isinstance(i, ast.Ellipsis | ast.NewAxis)]
    dots = [i for i in bracket.items if isinstance(i, ast.Ellipsis)]
    if len(dots) > 1:
        raise context.fail("index.count", "`...` stands once in an index", dots[1].span)
    has_pack = any(isinstance(axis, Pack) for axis in shape)
    fixed = len(shape) - has_pack
    if len(taking) > fixed:
        has = "no axes" if not fixed else "1 axis" if fixed == 1 else f"{fixed} axes"
        raise context.fail(
            "index.count",
            f"{len(taking)} indexes for {has}",
            span,
            "",
            [(base.span, str(pruned(base.type)))],
        )
    rest = list(shape)
    items: list[typed.At] = []
    result: list[Axis] = []
    gathered: tuple[typed.Node, Shape] | None = None
    for position, item in enumerate(bracket.items):
        if isinstance(item, ast.Ellipsis):
            after = sum(not isinstance(i, ast.NewAxis) for i in bracket.items[position + 1 :])
            kept = rest[: len(rest) - after]
            rest = rest[len(rest) - after :]
            items.append(typed.AtRest(None if has_pack else len(kept)))
            result += kept
            continue
        if isinstance(item, ast.NewAxis):
            items.append(typed.AtNew())
            result.append(Stretch())
            continue
        axis = rest.pop(0)
        if isinstance(axis, Pack):
            raise context.fail(
                "index.count", f"the axes of {axis} cannot be indexed one by one", item.span,
                help=["count from the end: `x[..., i]`"],
            )  # fmt: skip
        if isinstance(axis, Stretch):
            raise context.fail("index.type", "an axis made by `_` cannot be indexed", item.span)
        at, axes = _item(context, base, item, axis, span)
        if isinstance(at, typed.AtIndex) and axes:
            if gathered is not None and not same_shape(context.facts, gathered[1], axes):
                first, other = context.quote(gathered[0].span), context.quote(item)
                array = context.quote(base.span)
                raise context.fail(
                    "shape.mismatch",
                    f"`{first}` and `{other}` name points together, and differ in shape",
                    item.span,
                    str(pruned(at.index.type)),
                    [(gathered[0].span, str(pruned(gathered[0].type)))],
                    [f"every row with every column: `[i, j] => {array}[{first}[i], {other}[j]]`"],
                )
            # Indexes of one shape name points together; their axes stand where the first is.
            gathered, axes = (gathered, ()) if gathered is not None else ((at.index, axes), axes)
        items.append(at)
        result += axes
    return tuple(items), (*result, *rest)


def _item(
    context: Context, base: typed.Node, item: ast.Item, axis: Size, span: Span
) -> tuple[typed.At, Shape]:
    match item:
        case ast.Slice():
            return _slice(context, item, axis)
        case ast.Splat() | ast.Binder():
            raise context.fail("index.type", "this is not an index", item.span)
        case ast.Ellipsis() | ast.NewAxis():
            raise TypeError("handled by the caller")
        case _:
            pass
    index = context.check(item)
    type_ = pruned(index.type)
    if isinstance(type_, Hole):
        raise context.fail("shape.unknown", "the shape of this index is not known", item.span)
    if not isinstance(type_, TensorType) or not _is_integer(type_):
        raise context.fail(
            "index.type",
            f"an index is a whole number, not {type_}",
            item.span,
            str(type_),
            help=_index_help(context, base, index, item),
        )
    if not type_.shape:
        _note_range(context, base, index, axis, item, span)
    return typed.AtIndex(index), type_.shape


def _index_help(context: Context, base: typed.Node, index: typed.Node, item: ast.Expr) -> list[str]:
    """What to write instead of a mask, or of a division that gives a float."""
    type_, chosen = pruned(index.type), pruned(base.type)
    divided = whole_division(context, index)
    if divided is not None:
        return [f"`/` divides into a float; of whole numbers, write `{divided}`"]
    if not isinstance(type_, TensorType) or not isinstance(chosen, TensorType):
        return []
    element = resolved(type_.element)
    if element is DType.BOOL and type_.shape:
        other = resolved(chosen.element)
        zero = "0" if isinstance(other, DType) and other.is_integer else "0.0"
        text = f"where({context.quote(item)}, {context.quote(base.span)}, {zero})"
        return [f"a mask keeps the shape: `{text}`; to sum what it selects, `sum({text})`"]
    if isinstance(element, DType) and element.is_float:
        return [f"convert: `i64({context.quote(item)})`"]
    return []


def _is_integer(type_: TensorType) -> bool:
    element = resolved(type_.element)
    if isinstance(element, Number):
        if element.kind is NumberKind.FLOAT:
            return False
        element.kind = NumberKind.INTEGER
        return True
    return isinstance(element, DType) and element.is_integer


def _note_range(
    context: Context, base: typed.Node, index: typed.Node, axis: Size, item: ast.Node, span: Span
) -> None:
    if isinstance(index, typed.Literal) and isinstance(index.value, int) and index.value < 0:
        raise context.fail(
            "index.bounds",
            f"`{context.quote(span)}` reads before the start",
            item.span,
            "indexes count from 0; only literal slices count from the end",
            help=[f"write `{axis - Size.of(-index.value)}`"],
        )
    if isinstance(index, typed.Local) and index.symbol.kind is SymbolKind.INDEX:
        info = context.indexes.get(_atom(index.symbol))
        if info is not None and not info.is_explicit:
            info.evidence.append(Evidence(axis, span, base))
            return
    value = affine_value(context, index)
    if value is not None:
        context.bounds.append(BoundsCheck(value, axis, item.span, span, context.conditions > 0))


def _atom(symbol: Symbol) -> str:
    names = symbol.affine.names() if symbol.affine is not None else frozenset[str]()
    return next(iter(names), "")


def affine_value(context: Context, node: typed.Node) -> Size | None:
    """A whole number as a size expression over sizes, indexes and parameters, or None."""
    return _affine(node, lambda _: None)


_AFFINE: dict[Elementwise, Callable[[Size, Size], Size]] = {
    ADD: operator.add,
    SUBTRACT: operator.sub,
    MULTIPLY: operator.mul,
}


def _affine(node: typed.Node, other: Callable[[typed.Node], Size | None]) -> Size | None:
    """Sums and products of sizes and names; `other` says what anything else counts as."""
    match node:
        case typed.Literal(value=value) if isinstance(value, int) and not isinstance(value, bool):
            return Size.of(value)
        case typed.SizeValue(size=size):
            return size
        case typed.Local(symbol=symbol) if symbol.affine is not None:
            return symbol.affine
        case typed.Apply(function=function) if function in _AFFINE:
            first, applications = typed.chain(node, _AFFINE)
            size = _affine(first, other)
            for each in applications:
                operand = _affine(each.operands[1], other)
                known = None if size is None or operand is None else (size, operand)
                size = None if known is None else _AFFINE[each.function](*known)
            return size
        case typed.Apply(function=function, operands=(operand,)) if function is NEGATE:
            inner = _affine(operand, other)
            return -inner if inner is not None else None
        case _:
            return other(node)


def is_run_time(size: Size) -> bool:
    """Whether values of the run (marked by a prime) occur."""
    return any("'" in name for name in size.names())


# ---- slices -----------------------------------------------------------------------------------


def _slice(context: Context, item: ast.Slice, axis: Size) -> tuple[typed.At, Shape]:
    if item.start is None and item.stop is None and item.step is None:
        return typed.AtRest(1), (axis,)
    step = 1
    if item.step is not None:
        constant = try_size(context, item.step)
        value = constant.constant if constant is not None else None
        if value is None or value < 1:
            raise context.fail(
                "index.slice", "a step is a positive number", item.step.span,
                help=["to reverse an axis: `flip[0](x)`"],
            )  # fmt: skip
        step = value
    start_node, start = _end(context, item.start, axis, Size.of(0), item.span)
    _, stop = _end(context, item.stop, axis, axis, item.span)
    length = context.facts.normal(stop - start)
    if is_run_time(length):
        raise context.fail(
            "index.slice",
            "the length of this slice is not a size",
            item.span,
            f"it has {length} elements".replace("'", ""),
            help=["both ends must differ by a size: `x[i : i + K]`"],
        )
    length = stop if start.constant == 0 else stop - start
    _check_ends(context, item, start, stop, axis)
    if step != 1:
        length = divide(length + Size.of(step - 1), Size.of(step), Division.FLOOR)
    return typed.AtSlice(start_node, length, step), (length,)


def _end(
    context: Context, node: ast.Expr | None, axis: Size, default: Size, span: Span
) -> tuple[typed.Node, Size]:
    """One end of a slice: as a value and as a size. Literals below zero count from the end."""
    number = scalar(DType.I64)
    if node is None:
        return typed.SizeValue(number, span, default), default
    size = try_size(context, node)
    if size is not None:
        if size.constant is not None and size.constant < 0:
            size = axis + size
        elif not isinstance(node, ast.IntLit | ast.Name):
            size = size.spelled(context.quote(node))
        return typed.SizeValue(number, node.span, size), size
    value = context.check(node)
    type_ = pruned(value.type)
    if not isinstance(type_, TensorType) or type_.shape or not _is_integer(type_):
        raise context.fail(
            "index.type", f"an end of a slice is a whole number, not {type_}", node.span
        )
    # Both ends of a slice are read at once, so equal text means equal values.
    affine = _affine(value, lambda part: Size.named(f"{context.quote(part.span)}'"))
    assert affine is not None
    return value, affine


def _check_ends(context: Context, item: ast.Slice, start: Size, stop: Size, axis: Size) -> None:
    """Refuse slices that are outside for every size, and ask about sizes that are unrelated.

    What only tiny sizes break, such as `x[1:-1]`, is checked when the sizes are known.
    """
    for low, high, node in ((stop, axis, item.stop), (start, stop, item.start)):
        if node is None or is_run_time(low) or is_run_time(high):
            continue
        if context.facts.at_most(high + Size.of(1), low):
            raise context.fail(
                "index.bounds", "this slice ends outside the axis", item.span,
                f"{low} is past {high}",
            )  # fmt: skip
        if low.names() <= high.names():
            continue
        answer = context.facts.at_most(low, high)
        if answer.verdict is not Verdict.REFUTED:
            continue
        shown = ", ".join(f"{n} = {v}" for n, v in (answer.counterexample or {}).items())
        raise context.fail(
            "shape.unproved",
            f"cannot prove that {low} is at most {high}",
            item.span,
            f"past the end when {shown}" if shown else "",
            help=[duty(context, f"{low} <= {high}", low.names() | high.names())],
        )
