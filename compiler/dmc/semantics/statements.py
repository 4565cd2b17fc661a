"""Statements and loops: what they bind, assign, carry and stack."""

from __future__ import annotations

from collections.abc import Sequence

from dmc.ir.location import Span
from dmc.ir.types import DType
from dmc.semantics import typed
from dmc.semantics.agreement import expect
from dmc.semantics.arithmetic import binary
from dmc.semantics.builtins.elementwise import ADD, DIVIDE, MULTIPLY, NEGATE
from dmc.semantics.context import Context, IndexInfo, Stop
from dmc.semantics.indexing import affine_value, check_items
from dmc.semantics.inference import join, same_shape, unify
from dmc.semantics.operators import broadcast_shapes, needs_bool
from dmc.semantics.program import FieldEntity, Poison
from dmc.semantics.resolver import resolve_size, resolve_type, try_size
from dmc.semantics.sizes import Size
from dmc.semantics.state import refuse_change
from dmc.semantics.typed import BindPattern, Symbol, SymbolKind
from dmc.semantics.types import (
    UNIT,
    FunctionType,
    Hole,
    KeyType,
    Number,
    NumberKind,
    Role,
    StackType,
    TensorType,
    TupleType,
    Type,
    children,
    pruned,
    resolved,
    stack,
)
from dmc.syntax import ast
from dmc_runtime.spelling import one_of

__all__ = ["check_block", "check_for", "check_while", "range_bounds"]


def check_block(context: Context, node: ast.Block, expected: Type | None) -> typed.Node:
    """A block with its own scope. Every statement is checked even when an earlier one failed."""
    with context.nested():
        return _statements(context, node, expected)


def _statements(context: Context, node: ast.Block, expected: Type | None) -> typed.Node:
    done: list[typed.Node] = []
    value: typed.Node | None = None
    failed = False
    for position, statement in enumerate(node.statements):
        is_last = position == len(node.statements) - 1
        try:
            if isinstance(statement, ast.ExprStmt):
                checked = context.check(statement.value, expected if is_last else None)
                if is_last and pruned(checked.type) != UNIT:
                    value = checked
                else:
                    _refuse_unused(context, checked, statement, node.statements[position + 1 :])
                    done.append(checked)
            else:
                done.append(_statement(context, statement))
        except Stop:
            failed = True
            if isinstance(statement, ast.Let | ast.Var):
                _poison(context, statement.pattern)
    if failed:
        raise Stop
    type_ = value.type if value is not None else UNIT
    return typed.Block(type_, node.span, tuple(done), value)


def _poison(context: Context, pattern: ast.Pattern) -> None:
    match pattern:
        case ast.NamePattern(name=name):
            context.scope.names.setdefault(name.text, Poison(name.span))
        case ast.TuplePattern(elements=elements):
            for element in elements:
                _poison(context, element)


def _refuse_unused(
    context: Context, value: typed.Node, statement: ast.ExprStmt, rest: Sequence[ast.Stmt]
) -> None:
    if pruned(value.type) == UNIT:
        return
    what = context.quote(statement.value)
    title = f"the value of `{what}` is unused" if len(what) <= 40 else "this value is unused"
    following = rest[0] if rest else None
    if (
        isinstance(following, ast.ExprStmt)
        and isinstance(following.value, ast.Unary)
        and following.value.op is ast.UnaryOp.NEGATE
    ):
        raise context.fail(
            "value.unused",
            title,
            statement.span,
            "a statement on its own",
            [(following.span, "a new statement: same indentation")],
            [f"indent `{context.quote(following)}` to continue the line above"],
        )
    raise context.fail(
        "value.unused",
        title,
        statement.span,
        "a statement on its own",
        help=["bind it, `let name = …`, or delete it"],
    )


def _statement(context: Context, node: ast.Stmt) -> typed.Node:
    match node:
        case ast.Let(pattern=pattern, type=type_, value=value):
            return _bind(context, node, pattern, type_, value, SymbolKind.LET)
        case ast.Var(pattern=pattern, type=type_, value=value):
            return _bind(context, node, pattern, type_, value, SymbolKind.VAR)
        case ast.Assign(target=target, value=value):
            return _assign(context, node, target, value)
        case ast.AugAssign(op=op, target=target, value=value):
            return _augmented(context, node, op, target, value)
        case ast.ExprStmt(value=value):
            return context.check(value)


# ---- bindings ---------------------------------------------------------------------------------


def _bind(
    context: Context,
    node: ast.Let | ast.Var,
    pattern: ast.Pattern,
    declared: ast.TypeExpr | None,
    value: ast.Expr,
    kind: SymbolKind,
) -> typed.Node:
    wanted = resolve_type(context, declared) if declared is not None else None
    checked = context.check(value, wanted)
    if wanted is not None:
        expect(context, checked, wanted, value.span)
    refuse_change(context, checked, value.span)
    type_ = wanted if wanted is not None else checked.type
    if pruned(type_) == UNIT:
        raise context.fail("value.none", "there is no value to bind", value.span)
    affine = affine_value(context, checked) if kind is SymbolKind.LET else None
    bound = bind_pattern(context, pattern, type_, kind, node.span, affine)
    if isinstance(bound, Symbol) and isinstance(checked, typed.FunctionValue):
        bound.callee = checked.callee
    return typed.Bind(UNIT, node.span, bound, checked)


def bind_pattern(
    context: Context,
    pattern: ast.Pattern,
    type_: Type,
    kind: SymbolKind,
    statement: Span,
    affine: Size | None = None,
) -> BindPattern:
    """Declare the names of a pattern for a value of `type_`."""
    match pattern:
        case ast.NamePattern(name=name):
            if name.text == "_":
                return None
            if kind is SymbolKind.VAR and isinstance(pruned(type_), FunctionType):
                raise context.fail("type.value", "a `var` cannot hold a function", name.span)
            return context.local(name, kind, type_, statement, affine)
        case ast.TuplePattern(elements=elements):
            inner = pruned(type_)
            if not isinstance(inner, TupleType) or len(inner.items) != len(elements):
                raise context.fail(
                    "type.pattern",
                    f"{inner} does not come apart into {len(elements)}",
                    pattern.span,
                    help=_pattern_help(inner),
                )
            return tuple(
                bind_pattern(context, element, item, kind, statement)
                for element, item in zip(elements, inner.items, strict=True)
            )


def _pattern_help(type_: Type) -> list[str]:
    if isinstance(type_, TupleType):
        return [f"it has {len(type_.items)} parts"]
    return ["only tuples come apart; read fields by name"]


# ---- assignment -------------------------------------------------------------------------------


def _assign(context: Context, node: ast.Assign, target: ast.Target, value: ast.Expr) -> typed.Node:
    parts = target.elements if isinstance(target, ast.Tuple) else (target,)
    places = tuple(_place(context, part) for part in parts)
    wanted = places[0].type if len(places) == 1 else TupleType(tuple(p.type for p in places))
    checked = context.check(value, wanted)
    if len(places) == 1:
        _agree(context, places[0], checked.type, node.span)
    else:
        actual = pruned(checked.type)
        if not isinstance(actual, TupleType) or len(actual.items) != len(places):
            raise context.fail(
                "type.pattern", f"{actual} does not come apart into {len(places)}", value.span
            )
        for place, item in zip(places, actual.items, strict=True):
            _agree(context, place, item, node.span)
    return typed.Assign(UNIT, node.span, places, checked)


def _agree(context: Context, place: typed.Place, actual: Type, span: Span) -> None:
    if unify(context.facts, place.type, actual) or _spreads(context, place, actual):
        return
    symbol, new = place.symbol, pruned(actual)
    old = pruned(place.type)
    declared = symbol.statement or symbol.span
    if place.path:
        raise context.fail(
            "type.mismatch", f"{new} is assigned to {old}", span, str(new), [(place.span, str(old))]
        )
    if symbol.loop_depth < context.loop_depth:
        what = "type"
        if isinstance(old, TensorType) and isinstance(new, TensorType):
            what = "shape" if join(old.element, new.element) is not None else "type"
        raise context.fail(
            "loop.type",
            f"`{symbol.name}` changes {what} from one iteration to the next",
            span,
            str(new),
            [(declared, str(old))],
            _stacking_help(context, span, symbol, old),
        )
    raise context.fail(
        "type.mismatch",
        f"`{symbol.name}` is {old}, and {new} is assigned",
        span,
        str(new),
        [(declared, str(old))],
        ["a `var` keeps its type; bind the new value with `let`"],
    )


def _spreads(context: Context, place: typed.Place, actual: Type) -> bool:
    """Whether a value broadcasts to the part of an array that is assigned."""
    wanted, given = pruned(place.type), pruned(actual)
    if not place.path or not isinstance(wanted, TensorType) or not isinstance(given, TensorType):
        return False
    shape = broadcast_shapes(context, wanted.shape, given.shape)
    if shape is None or not same_shape(context.facts, shape, wanted.shape):
        return False
    return join(wanted.element, given.element) is not None


def _stacking_help(context: Context, span: Span, symbol: Symbol, old: Type) -> list[str]:
    """Growing an array in a loop is what stacking is for."""
    text = context.quote(span)
    start = text.find("concat[0](")
    loop = context.loop_count
    if start < 0 or loop is None or not isinstance(old, TensorType):
        return []
    inside = text[start + len("concat[0](") :].rstrip(")")
    parts = [part.strip() for part in inside.split(",")]
    if len(parts) != 2 or parts[0] != symbol.name:
        return []
    return [
        f"end the loop body with `{parts[1]}`; the loop's value is the stack {stack(loop, old)}"
    ]


def _augmented(
    context: Context, node: ast.AugAssign, op: ast.BinaryOp, target: ast.Target, value: ast.Expr
) -> typed.Node:
    if isinstance(target, ast.Tuple):
        raise context.fail("value.immutable", "one target at a time", target.span)
    place = _place(context, target)
    current = _read(context, place, target.span)
    change = context.check(value)
    result = binary(context, op, current, change, node.span, target.span, value.span)
    _agree(context, place, result.type, node.span)
    if any(_gathers(part) for part in place.path):
        # An element that is named twice changes twice.
        if op is ast.BinaryOp.SUBTRACT:
            change = typed.Apply(change.type, value.span, NEGATE, (change,))
        return typed.Assign(UNIT, node.span, (place,), change, _CHANGES[op])
    return typed.Assign(UNIT, node.span, (place,), result)


_CHANGES = {
    ast.BinaryOp.ADD: ADD,
    ast.BinaryOp.SUBTRACT: ADD,  # of what is negated
    ast.BinaryOp.MULTIPLY: MULTIPLY,
    ast.BinaryOp.DIVIDE: DIVIDE,
}


def _gathers(part: str | tuple[typed.At, ...]) -> bool:
    if isinstance(part, str):
        return False
    return any(
        isinstance(item, typed.AtIndex)
        and isinstance(t := pruned(item.index.type), TensorType)
        and bool(t.shape)
        for item in part
    )


def _read(context: Context, place: typed.Place, span: Span) -> typed.Node:
    node: typed.Node = typed.Local(place.symbol.type, span, place.symbol)
    for part in place.path:
        if isinstance(part, str):
            parts = {name: inner for name, inner, _ in children(pruned(node.type))}
            node = typed.FieldOf(parts[part], span, node, part)
        else:
            node = typed.Access(place.type, span, node, part)
    return node


def _place(context: Context, target: ast.Expr) -> typed.Place:
    """What an assignment changes."""
    match target:
        case ast.Name(text=text):
            entity = context.lookup(text)
            if entity is None:
                stop = context.undeclared(text, target.span)
                context.scope.names[text] = Poison(target.span)
                raise stop
            if isinstance(entity, Poison):
                raise Stop
            if isinstance(entity, FieldEntity):
                return _state_place(context, entity, target.span)
            if not isinstance(entity, Symbol) or not entity.is_mutable:
                stop = _immutable(context, text, entity, target.span)
                if isinstance(entity, Symbol) and entity.kind in (
                    SymbolKind.LET,
                    SymbolKind.PARAMETER,
                ):
                    entity.is_mutable = True  # said once
                raise stop
            if entity.barrier != context.barrier:
                raise context.fail(
                    "loop.builder",
                    f"`{text}` cannot be assigned here",
                    target.span,
                    "elements of a builder are independent",
                    [(entity.span, "declared outside")],
                    ["use `for` for ordered steps"],
                )
            return typed.Place(entity, (), entity.type, target.span)
        case ast.Member(base=base, name=name):
            place = _place(context, base)
            parts = {part: inner for part, inner, _ in children(pruned(place.type))}
            if name.text not in parts:
                raise context.fail(
                    "name.field", f"{pruned(place.type)} has no field `{name.text}`", name.span,
                    help=one_of(name.text, parts),
                )  # fmt: skip
            return typed.Place(
                place.symbol, (*place.path, name.text), parts[name.text], target.span
            )
        case ast.Index(base=base, bracket=bracket):
            place = _place(context, base)
            current = _read(context, place, base.span)
            items, type_ = check_items(context, current, bracket, target.span)
            return typed.Place(place.symbol, (*place.path, items), type_, target.span)
        case _:
            raise context.fail("value.immutable", "this cannot be assigned", target.span)


def _state_place(context: Context, entity: FieldEntity, span: Span) -> typed.Place:
    """A `state` assigned in a `mut fn`."""
    declaration, function = entity.declaration, context.function
    if declaration.role is not Role.STATE:
        raise context.fail(
            "state.field",
            f"`{declaration.name}` is a {declaration.role.value}, not a `state`",
            span,
            "assigned here",
            [(entity.span, "declared here")],
        )
    if context.self_symbol is None or function is None or not function.is_mutable:
        where = [(function.span, "not a `mut fn`")] if function is not None else []
        raise context.fail(
            "state.function",
            f"the state `{declaration.name}` is assigned only in a `mut fn`",
            span,
            "assigned here",
            where,
            [f"declare it `mut fn {function.name}`"] if function is not None else [],
        )
    if context.barrier:
        raise context.fail(
            "loop.builder",
            f"`{declaration.name}` cannot be assigned here",
            span,
            "elements of a builder are independent",
            help=["use `for` for ordered steps"],
        )
    return typed.Place(context.self_symbol, (declaration.name,), declaration.type, span)


def _immutable(context: Context, name: str, entity: object, span: Span) -> Exception:
    if not isinstance(entity, Symbol):
        return context.fail("value.immutable", f"`{name}` cannot be assigned", span)
    match entity.kind:
        case SymbolKind.PARAMETER:
            help_ = [f"take a private copy: `var {name}: {entity.type}`"]
        case SymbolKind.LET:
            help_ = [f"declare it as `var {name} = …`"]
        case _:
            help_ = []
    return context.fail(
        "value.immutable",
        f"`{name}` is not a `var`",
        span,
        "assigned here",
        [(entity.span, "declared here")],
        help_,
    )


# ---- loops ------------------------------------------------------------------------------------


def range_bounds(
    context: Context, node: ast.Range
) -> tuple[typed.Node, typed.Node, Size | None, Size | None]:
    """Both ends of `a..b`, checked to be whole numbers, and as sizes where they are."""
    ends: list[typed.Node] = []
    for part in (node.start, node.stop):
        if try_size(context, part) is not None:
            size = resolve_size(context, part)
            ends.append(typed.SizeValue(TensorType(DType.I64), part.span, size))
            continue
        checked = context.check(part)
        type_ = pruned(checked.type)
        if not isinstance(type_, TensorType) or type_.shape or not _is_whole(type_):
            raise context.fail(
                "type.range", f"a range runs over whole numbers, not {type_}", part.span
            )
        ends.append(checked)
    start, stop = try_size(context, node.start), try_size(context, node.stop)
    return ends[0], ends[1], start, stop


def check_for(context: Context, node: ast.For, checkpoint: int = 0) -> typed.Node:
    """`for` over a range or a leading axis; its value is the stack of the body's values."""
    start: typed.Node | None = None
    stop: typed.Node | None = None
    scanned: typed.Node | None = None
    low: Size | None = None
    high: Size | None = None
    count: Size | None = None
    if isinstance(node.iterable, ast.Range):
        start, stop, low, high = range_bounds(context, node.iterable)
        if low is not None and high is not None:
            count = high if low.constant == 0 else high - low
        element: Type = TensorType(context.number(NumberKind.INTEGER))
        kind = SymbolKind.INDEX
    else:
        scanned = context.check(node.iterable)
        element, count = _elements(context, scanned, node.iterable.span)
        kind = SymbolKind.LET
    outer = context.loop_count
    context.loop_depth += 1
    context.loop_count = count
    try:
        with context.nested():
            pattern = bind_pattern(context, node.pattern, element, kind, node.pattern.span)
            if isinstance(pattern, Symbol) and kind is SymbolKind.INDEX:
                _note_index(context, pattern, node, low, high)
            body = _statements(context, node.body, None)
    finally:
        context.loop_depth -= 1
        context.loop_count = outer
    inner = pruned(body.type)
    type_: Type = UNIT
    if inner != UNIT:
        if isinstance(inner, Hole):
            inner.target = inner = TensorType(inner.element)
        if count is None:
            raise context.fail(
                "loop.count",
                "this loop's values cannot be stacked: its count is known only at run time",
                node.body.result.span if node.body.result is not None else node.span,
                str(inner),
                [(node.iterable.span, "not a size")],
                ["carry what you need in a `var`, or make the count a size"],
            )
        if isinstance(inner, KeyType | FunctionType):
            raise context.fail("loop.value", f"{inner} cannot be stacked", node.span)
        type_ = stack(count, inner)
    return typed.For(type_, node.span, pattern, start, stop, scanned, count, body, checkpoint)


def _note_index(
    context: Context, symbol: Symbol, node: ast.For, low: Size | None, high: Size | None
) -> None:
    """What the bounds of reads in the body are checked with."""
    atom = f"{symbol.name}'{len(context.indexes)}"
    symbol.affine = Size.named(atom)
    name = ast.Identifier(node.pattern.span, symbol.name)
    info = IndexInfo(symbol, name, node, is_explicit=True, start=low, stop=high)
    context.indexes[atom] = info


def _elements(context: Context, scanned: typed.Node, span: Span) -> tuple[Type, Size]:
    match pruned(scanned.type):
        case TensorType(element, (Size() as count, *rest)):
            return TensorType(element, tuple(rest)), count
        case StackType(count, item):
            return item, count
        case TensorType(_, ()) as type_:
            raise context.fail(
                "loop.iterable", f"{type_} has no axis to run over", span,
                help=["a range is written `0..n`"],
            )  # fmt: skip
        case type_:
            raise context.fail("loop.iterable", f"a loop cannot run over {type_}", span)


def check_while(context: Context, node: ast.While, checkpoint: int = 0) -> typed.Node:
    """`while`: a scalar condition, an optional whole limit, a body without value."""
    context.loop_depth += 1
    outer, context.loop_count = context.loop_count, None
    try:
        condition = context.check(node.condition)
        needs_bool(context, "a condition", condition, node.condition.span)
        limit = context.check(node.limit) if node.limit is not None else None
        body = check_block(context, node.body, None)
    finally:
        context.loop_depth -= 1
        context.loop_count = outer
    type_ = pruned(condition.type)
    if isinstance(type_, TensorType) and type_.shape:
        raise context.fail(
            "type.bool", f"a condition is one bool, not {type_}", node.condition.span
        )
    if limit is not None:
        inner = pruned(limit.type)
        if not isinstance(inner, TensorType) or inner.shape or not _is_whole(inner):
            raise context.fail("type.range", f"a limit is a whole number, not {inner}", limit.span)
    if pruned(body.type) != UNIT:
        raise context.fail(
            "loop.value",
            "a `while` has no value: its count is not known",
            node.body.result.span if node.body.result is not None else node.span,
            str(pruned(body.type)),
            help=["carry it in a `var`"],
        )
    return typed.While(UNIT, node.span, condition, limit, body, checkpoint)


def _is_whole(type_: TensorType) -> bool:
    element = resolved(type_.element)
    if isinstance(element, Number):
        if element.kind is NumberKind.FLOAT:
            return False
        element.kind = NumberKind.INTEGER
        return True
    return isinstance(element, DType) and element.is_integer
