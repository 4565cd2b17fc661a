"""Builders and reductions over indexes: new indexes, their ranges, and bounds of what they read."""

from __future__ import annotations

from collections.abc import Sequence

from dmc.ir.types import DType
from dmc.semantics import typed
from dmc.semantics.builtins.reduction import Reduction
from dmc.semantics.context import BoundsCheck, Context, IndexInfo
from dmc.semantics.indexing import is_run_time
from dmc.semantics.operators import is_record, needs
from dmc.semantics.resolver import try_size
from dmc.semantics.sizes import Size
from dmc.semantics.statements import range_bounds
from dmc.semantics.typed import IndexRange, Symbol, SymbolKind
from dmc.semantics.types import (
    UNIT,
    FunctionType,
    Hole,
    KeyType,
    StackType,
    TensorType,
    Type,
    pruned,
    scalar,
    stack,
)
from dmc.syntax import ast

__all__ = ["check_bounds", "check_builder", "check_index_reduction", "is_index"]


def is_index(context: Context, item: ast.Item) -> bool:
    """Whether a bracketed item is a new index: `i in …`, or a name that is not a size in scope."""
    if isinstance(item, ast.Binder):
        return True
    return isinstance(item, ast.Name) and try_size(context, item) is None


def check_builder(context: Context, node: ast.Builder) -> typed.Node:
    """`[i, j] => body`: the tensor of the body's values, indexes first."""
    with context.independent(), context.nested():
        infos, elements = _declare(context, node.bracket, node)
        body = context.check(node.body)
        ranges = [_finish(context, info) for info in infos]
    inner = pruned(body.type)
    if isinstance(inner, Hole):
        inner.target = inner = TensorType(inner.element)
    if isinstance(inner, KeyType | FunctionType) or inner == UNIT:
        raise context.fail("type.array", f"a builder cannot hold {inner}", node.body.span)
    type_: Type = inner
    for entry, info in zip(reversed(ranges), reversed(infos), strict=True):
        if entry.count is None:
            raise context.fail(
                "index.size",
                f"the range of `{info.symbol.name}` is not a size",
                info.node.span,
                help=["an array's axes are sizes; a sum may run over a run-time range"],
            )
        type_ = stack(entry.count, type_)
    return typed.Build(type_, node.span, tuple(ranges), _with_elements(body, elements))


def check_index_reduction(
    context: Context, reduction: Reduction, bracket: ast.Bracket, body: ast.Expr, node: ast.Call
) -> typed.Node:
    """`sum[k](body)`: ranges may be known only at run time."""
    if not reduction.reduces_indexes:
        raise context.fail("index.type", f"`{reduction}` reduces axes, not indexes", node.span)
    with context.independent(), context.nested():
        infos, elements = _declare(context, bracket, node)
        checked = context.check(body)
        ranges = [_finish(context, info) for info in infos]
    inner = pruned(checked.type)
    if isinstance(inner, Hole):
        inner.target = inner = TensorType(inner.element)
    if not isinstance(inner, TensorType) and not is_record(inner):
        raise context.fail("type.operand", f"{inner} cannot be reduced", body.span)
    needs(context, reduction, reduction.operands, checked, body.span)
    if reduction.is_of_one_axis and len(ranges) > 1:
        raise context.fail("shape.axis", f"`{reduction}` takes one index", bracket.span)
    if reduction.element is not None:
        if not isinstance(inner, TensorType):
            raise context.fail("type.operand", f"`{reduction}` does not take {inner}", body.span)
        inner = TensorType(reduction.element, inner.shape)
    return typed.ReduceIndexes(
        inner, node.span, reduction, tuple(ranges), _with_elements(checked, elements)
    )


def _with_elements(body: typed.Node, elements: Sequence[typed.Node]) -> typed.Node:
    """`[x in xs] => …`: the body starts by reading the element."""
    if not elements:
        return body
    return typed.Block(body.type, body.span, tuple(elements), body)


# ---- indexes ----------------------------------------------------------------------------------


def _declare(
    context: Context, bracket: ast.Bracket, node: ast.Builder | ast.Call
) -> tuple[list[IndexInfo], list[typed.Node]]:
    infos: list[IndexInfo] = []
    elements: list[typed.Node] = []
    for item in bracket.items:
        match item:
            case ast.Name(text=text):
                identifier = ast.Identifier(item.span, text)
                infos.append(_index(context, identifier, node))
            case ast.Binder(name=name, iterable=ast.Range() as range_):
                start, stop, low, high = range_bounds(context, range_)
                info = _index(context, name, node)
                info.is_explicit = True
                info.start_node, info.stop_node = start, stop
                info.start, info.stop = low, high
                infos.append(info)
            case ast.Binder(name=name, iterable=iterable) if not isinstance(iterable, ast.Range):
                info, element = _element(context, name, iterable, node)
                infos.append(info)
                elements.append(element)
            case _:
                raise context.fail("index.type", "an index is a name, or `i in 0..N`", item.span)
    return infos, elements


def _index(context: Context, name: ast.Identifier, node: ast.Builder | ast.Call) -> IndexInfo:
    symbol = context.local(name, SymbolKind.INDEX, scalar(DType.I64))
    atom = f"{name.text}'{len(context.indexes)}"
    symbol.affine = Size.named(atom)
    info = IndexInfo(symbol, name, node, is_explicit=False)
    context.indexes[atom] = info
    return info


def _element(
    context: Context, name: ast.Identifier, iterable: ast.Expr, node: ast.Builder | ast.Call
) -> tuple[IndexInfo, typed.Node]:
    """`x in xs`: a hidden index, and `x` bound to the element there."""
    scanned = context.check(iterable)
    type_ = pruned(scanned.type)
    match type_:
        case TensorType(element, (Size() as count, *rest)):
            inner: Type = TensorType(element, tuple(rest))
        case StackType(count, item):
            inner = item
        case _:
            raise context.fail("loop.iterable", f"{type_} has no axis to run over", iterable.span)
    hidden = Symbol(f"{name.text}_index", SymbolKind.INDEX, scalar(DType.I64), name.span)
    info = IndexInfo(hidden, name, node, is_explicit=True)
    info.start, info.stop = Size.of(0), count
    number = scalar(DType.I64)
    info.start_node = typed.SizeValue(number, name.span, Size.of(0))
    info.stop_node = typed.SizeValue(number, name.span, count)
    symbol = context.local(name, SymbolKind.LET, inner)
    place = typed.Local(number, name.span, hidden)
    access = typed.Access(inner, iterable.span, scanned, (typed.AtIndex(place),))
    return info, typed.Bind(UNIT, name.span, symbol, access)


def _finish(context: Context, info: IndexInfo) -> IndexRange:
    """The range of an index, from what it subscripts unless it was given."""
    number = scalar(DType.I64)
    if not info.is_explicit:
        info.start, info.stop = Size.of(0), _agreed(context, info)
        info.start_node = typed.SizeValue(number, info.node.span, info.start)
        info.stop_node = typed.SizeValue(number, info.node.span, info.stop)
    assert info.start_node is not None
    assert info.stop_node is not None
    count: Size | None = None
    if info.start is not None and info.stop is not None:
        count = info.stop if info.start.constant == 0 else info.stop - info.start
    return IndexRange(info.symbol, info.start_node, info.stop_node, count)


def _agreed(context: Context, info: IndexInfo) -> Size:
    name = info.symbol.name
    if not info.evidence:
        raise context.fail(
            "index.unranged",
            f"index `{name}` has no range",
            info.node.span,
            "it subscripts no axis directly",
            help=[f"give it one: `{name} in 0..N`"],
        )
    first = info.evidence[0]
    for other in info.evidence[1:]:
        if not context.facts.equal(first.axis, other.axis):
            choice = f"`{_with_range(info, f'0..{first.axis}')}`"
            raise context.fail(
                "index.range",
                f"index `{name}` has two ranges",
                other.span,
                f"0..{other.axis} here",
                [(first.span, f"0..{first.axis} here")],
                [_declare_one_size(other.base, first.axis, other.axis) + choice],
            )
    return first.axis


def _declare_one_size(base: typed.Node, wanted: Size, other: Size) -> str:
    type_ = pruned(base.type)
    if (
        isinstance(base, typed.Local)
        and base.symbol.kind is SymbolKind.PARAMETER
        and isinstance(type_, TensorType)
    ):
        shape = tuple(wanted if axis == other else axis for axis in type_.shape)
        changed = TensorType(type_.element, shape)
        return f"declare one size, `{base.symbol.name}: {changed}`, or choose: "
    return "choose: "


def _with_range(info: IndexInfo, range_: str) -> str:
    """The construct with the range written out: `sum[i in 0..N]`."""
    name = info.symbol.name
    if isinstance(info.construct, ast.Builder):
        return f"[{name} in {range_}]"
    function = info.construct.function if isinstance(info.construct, ast.Call) else None
    if isinstance(function, ast.Index) and isinstance(function.base, ast.Name):
        return f"{function.base.text}[{name} in {range_}]"
    return f"{name} in {range_}"


# ---- bounds -----------------------------------------------------------------------------------


def check_bounds(context: Context) -> None:
    """Refuse reads that are past their axis whenever they happen, once all ranges are known."""
    for check in context.bounds:
        _check(context, check)


def _check(context: Context, check: BoundsCheck) -> None:
    if check.is_conditional:
        return
    largest = _extreme(context, check.index, largest=True)
    if largest is None or is_run_time(largest):
        return
    facts = context.facts
    for info in _involved(context, check.index):
        if info.start is not None and info.stop is not None:
            facts = facts.assume_at_most(info.start + Size.of(1), info.stop)
    if not facts.at_most(check.axis, largest):
        return
    infos = _involved(context, check.index)
    inferred = next((i for i in infos if i.evidence), None)
    also = []
    help_: list[str] = []
    if inferred is not None:
        first = inferred.evidence[0]
        text = f"`{inferred.symbol.name}` is in 0..{first.axis} because of this"
        also = [(first.span, text)]
        fits = first.axis - (largest - check.axis + Size.of(1))
        arrow = " => ..." if isinstance(inferred.construct, ast.Builder) else "(...)"
        help_ = [f"give the range: `{_with_range(inferred, f'0..{fits}')}{arrow}`"]
    elif infos:
        also = [(i.node.span, f"`{i.symbol.name}` is in {i.start}..{i.stop}") for i in infos]
    end = check.axis - Size.of(1)
    text = f"reaches {largest}; the axis ends at {end}"
    if not infos:
        text = f"the axis ends at {end}"
    context.diagnostics.report(
        "index.bounds",
        f"`{context.quote(check.access)}` reads past the end",
        check.span,
        text,
        also,
        help_,
    )


def _involved(context: Context, index: Size) -> list[IndexInfo]:
    return [context.indexes[n] for n in sorted(index.names()) if n in context.indexes]


def _extreme(context: Context, index: Size, largest: bool) -> Size | None:
    """The largest value of an expression that grows with every index in it; None if unsure."""
    for name in sorted(index.names(), reverse=True):
        info = context.indexes.get(name)
        if info is None:
            continue
        if info.start is None or info.stop is None:
            return None
        grows = all(c > 0 for m, c in index.terms if name in m)
        shrinks = all(c < 0 for m, c in index.terms if name in m)
        if not grows and not shrinks:
            return None
        end = info.stop - Size.of(1) if grows == largest else info.start
        index = index.substitute({name: end})
    return context.facts.normal(index) if index.names() else index
