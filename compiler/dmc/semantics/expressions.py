"""Expressions: literals, names, operators, fields, branches; the other files do the rest."""

from __future__ import annotations

from dmc.ir.location import Span
from dmc.ir.types import DType
from dmc.semantics import typed
from dmc.semantics.agreement import expect
from dmc.semantics.arithmetic import binary
from dmc.semantics.builders import check_builder
from dmc.semantics.builtins.elementwise import (
    AND,
    EQUAL,
    GREATER,
    GREATER_EQUAL,
    LESS,
    LESS_EQUAL,
    NEGATE,
    NOT,
    NOT_EQUAL,
    OR,
)  # fmt: skip
from dmc.semantics.builtins.shapes import TRANSPOSE
from dmc.semantics.callees import (
    check_lambda,
    function_value,
    method_value,
    model_as_function,
)
from dmc.semantics.calls import check_call, check_pipe
from dmc.semantics.context import Context, Scope, Stop
from dmc.semantics.indexing import check_index
from dmc.semantics.inference import unify
from dmc.semantics.linear import check_matmul
from dmc.semantics.members import field
from dmc.semantics.operators import apply, is_record, needs_bool, needs_number
from dmc.semantics.primitive import Constant as NamedNumber
from dmc.semantics.primitive import Fill, Primitive
from dmc.semantics.program import (
    Constant,
    FieldEntity,
    FunctionDeclaration,
    Poison,
    SizeEntity,
    SourceModule,
)
from dmc.semantics.resolver import DTYPES, resolve_type, try_size
from dmc.semantics.sizes import Size
from dmc.semantics.statements import check_block, check_for, check_while
from dmc.semantics.typed import Symbol, SymbolKind
from dmc.semantics.types import (
    UNIT,
    FunctionType,
    Hole,
    KeyType,
    NumberKind,
    RecordDeclaration,
    TensorType,
    TupleType,
    Type,
    pruned,
    resolved,
    stack,
)
from dmc.syntax import ast

__all__ = ["check_expression"]


def check_expression(context: Context, node: ast.Expr, expected: Type | None) -> typed.Node:
    """The typed form of any expression.

    Raises Stop when an error was reported.
    """
    value = _check(context, node, expected)
    wanted = pruned(expected) if expected is not None else None
    return model_as_function(context, value, wanted) if isinstance(wanted, FunctionType) else value


def _check(context: Context, node: ast.Expr, expected: Type | None) -> typed.Node:
    match node:
        case ast.IntLit(value=value):
            return context.literal(NumberKind.NUMBER, node.span, value)
        case ast.FloatLit(value=value):
            return context.literal(NumberKind.FLOAT, node.span, value)
        case ast.BoolLit(value=value):
            return typed.Literal(TensorType(DType.BOOL), node.span, value)
        case ast.Name():
            return _name(context, node, expected)
        case ast.Tuple(elements=elements):
            wanted = pruned(expected) if expected is not None else None
            hints: list[Type | None] = [None] * len(elements)
            if isinstance(wanted, TupleType) and len(wanted.items) == len(elements):
                hints = list(wanted.items)
            items = tuple(context.check(e, h) for e, h in zip(elements, hints, strict=True))
            return typed.MakeTuple(TupleType(tuple(i.type for i in items)), node.span, items)
        case ast.ArrayLit():
            return _array(context, node)
        case ast.Builder():
            return check_builder(context, node)
        case ast.Lambda():
            return check_lambda(context, node, expected)
        case ast.Unary():
            return _unary(context, node, expected)
        case ast.Binary():
            return _binary(context, node, expected)
        case ast.Compare(op=op, left=left, right=right):
            return _compare(context, node, op, left, right)
        case ast.Logical():
            return _logical(context, node)
        case ast.Pipe():
            return check_pipe(context, node, expected)
        case ast.Call():
            return check_call(context, node, expected)
        case ast.Index():
            return check_index(context, node, expected)
        case ast.Member():
            return _member(context, node, expected)
        case ast.Block():
            return check_block(context, node, expected)
        case ast.If():
            return _if(context, node, expected)
        case ast.For():
            return check_for(context, node)
        case ast.While():
            return check_while(context, node)
        case ast.Checkpoint():
            return _checkpoint(context, node, expected)


# ---- names ------------------------------------------------------------------------------------


def _name(context: Context, node: ast.Name, expected: Type | None) -> typed.Node:
    entity = context.lookup(node.text)
    match entity:
        case None:
            return _prelude_name(context, node, expected)
        case Poison():
            raise Stop
        case Symbol():
            return use(context, entity, node.span)
        case SizeEntity(size=size):
            return typed.SizeValue(context.untyped(NumberKind.NUMBER), node.span, size)
        case FieldEntity(declaration=declaration):
            return _own_field(context, declaration.name, declaration.type, node.span)
        case Constant():
            return constant(context, entity, node.span, expected)
        case FunctionDeclaration():
            return function_value(context, node, expected)
        case RecordDeclaration():
            raise context.fail(
                "type.value", f"`{node.text}` is a type, not a value", node.span,
                help=[f"build one: `{node.text}(…)`"],
            )  # fmt: skip
        case _:
            raise context.fail("type.value", f"`{node.text}` is not a value", node.span)


def use(context: Context, symbol: Symbol, span: Span) -> typed.Node:
    """A use of a local name; indexes adapt at each use."""
    if symbol.kind is SymbolKind.INDEX:
        return typed.Local(context.untyped(NumberKind.INTEGER), span, symbol)
    return typed.Local(symbol.type, span, symbol)


def _own_field(context: Context, name: str, type_: Type, span: Span) -> typed.Node:
    if context.model is not None and name in context.model.hypers and context.self_symbol is None:
        return use(context, context.model.hypers[name], span)
    if context.self_symbol is None:
        raise context.fail(
            "name.field", f"the field `{name}` is not known here", span,
            help=["initialisers see sizes, hyperparameters and `key`"],
        )  # fmt: skip
    receiver = typed.Local(context.self_symbol.type, span, context.self_symbol)
    return typed.FieldOf(type_, span, receiver, name)


def constant(context: Context, entity: Constant, span: Span, expected: Type | None) -> typed.Node:
    """The value of a top-level `let`, checked anew so that its literals adapt to this use."""
    outer = context.scope, context.module, context.self_symbol, context.model
    context.scope, context.module = Scope(), entity.module
    context.self_symbol = context.model = None
    try:
        wanted = resolve_type(context, entity.node.type) if entity.node.type else expected
        value = context.check(entity.node.value, wanted)
        if entity.node.type is not None and wanted is not None:
            expect(context, value, wanted, entity.node.value.span)
    finally:
        context.scope, context.module, context.self_symbol, context.model = outer
    return value


def _prelude_name(context: Context, node: ast.Name, expected: Type | None) -> typed.Node:
    name = node.text
    match context.prelude.get(name):
        case NamedNumber(value=value):
            kind = NumberKind.FLOAT if isinstance(value, float) else NumberKind.NUMBER
            return typed.Literal(context.untyped(kind), node.span, value)
        case Fill(value=value):
            return typed.Fill(context.hole(), node.span, value)
        case Primitive():
            return function_value(context, node, expected)
        case None:
            pass
    if name in DTYPES:
        raise context.fail(
            "type.value", f"`{name}` is a type, not a value", node.span,
            help=[f"to convert: `{name}(x)`"],
        )  # fmt: skip
    raise context.unknown(name, node.span)


# ---- operators --------------------------------------------------------------------------------


_COMPARE = {
    ast.CompareOp.EQUAL: EQUAL,
    ast.CompareOp.NOT_EQUAL: NOT_EQUAL,
    ast.CompareOp.LESS: LESS,
    ast.CompareOp.LESS_EQUAL: LESS_EQUAL,
    ast.CompareOp.GREATER: GREATER,
    ast.CompareOp.GREATER_EQUAL: GREATER_EQUAL,
}
_LOGICAL = {ast.LogicalOp.AND: AND, ast.LogicalOp.OR: OR}


def _unary(context: Context, node: ast.Unary, expected: Type | None) -> typed.Node:
    operand = context.check(node.operand, expected)
    if node.op is ast.UnaryOp.NOT:
        needs_bool(context, "`not`", operand, node.operand.span)
        return apply(context, NOT, (operand,), node.span, (node.operand.span,))
    needs_number(context, "-", operand, node.operand.span)
    if isinstance(operand, typed.Literal) and not isinstance(operand.value, bool):
        return context.negated(operand, node.span)
    return apply(context, NEGATE, (operand,), node.span, (node.operand.span,))


def _binary(context: Context, node: ast.Binary, expected: Type | None) -> typed.Node:
    if node.op is ast.BinaryOp.MATMUL:
        return check_matmul(context, node)
    hint = expected if expected is not None and is_record(expected) else None
    first, operations = ast.chain(node)
    left = context.check(first, hint)
    for each in operations:
        right = context.check(each.right, hint)
        spans = each.span, each.left.span, each.right.span
        left = binary(context, each.op, left, right, *spans)
    return left


def _logical(context: Context, node: ast.Logical) -> typed.Node:
    first, operations = ast.chain(node)
    left = context.check(first)
    for each in operations:
        right = context.check(each.right)
        spans = each.left.span, each.right.span
        for operand, span in zip((left, right), spans, strict=True):
            needs_bool(context, f"`{each.op.value}`", operand, span)
        left = apply(context, _LOGICAL[each.op], (left, right), each.span, spans)
    return left


def _compare(
    context: Context, node: ast.Compare, op: ast.CompareOp, left: ast.Expr, right: ast.Expr
) -> typed.Node:
    a, b = context.check(left), context.check(right)
    if isinstance(pruned(a.type), KeyType) or isinstance(pruned(b.type), KeyType):
        raise context.fail("type.operand", "keys are not compared", node.span)
    return apply(context, _COMPARE[op], (a, b), node.span, (left.span, right.span))


# ---- structure --------------------------------------------------------------------------------


def _array(context: Context, node: ast.ArrayLit) -> typed.Node:
    items: list[typed.Node] = []
    for item in node.bracket.items:
        if isinstance(item, ast.Binder | ast.Slice | ast.Ellipsis | ast.Splat | ast.NewAxis):
            raise context.fail("type.array", "an array literal holds values", item.span)
        items.append(context.check(item))
    first = items[0]
    for item in items[1:]:
        if not unify(context.facts, first.type, item.type):
            raise context.fail(
                "type.array",
                "the items of an array have one type",
                item.span,
                str(pruned(item.type)),
                [(first.span, str(pruned(first.type)))],
            )
    inner = pruned(first.type)
    if isinstance(inner, Hole):
        inner.target = TensorType(inner.element)
    if isinstance(inner, KeyType | FunctionType | TupleType):
        raise context.fail("type.array", f"an array cannot hold {inner}", node.span)
    count = Size.of(len(items))
    return typed.MakeArray(stack(count, inner), node.span, tuple(items))


def _member(context: Context, node: ast.Member, expected: Type | None) -> typed.Node:
    size = try_size(context, node)
    if size is not None:
        return typed.SizeValue(
            context.untyped(NumberKind.NUMBER), node.span, size.spelled(context.quote(node))
        )
    name = node.name.text
    if isinstance(node.base, ast.Name):
        entity = context.lookup(node.base.text)
        if isinstance(entity, SourceModule):
            return _module_member(context, entity, node, expected)
    base = context.check(node.base)
    type_ = pruned(base.type)
    if name == "T" and isinstance(type_, TensorType):
        if len(type_.shape) < 2:
            raise context.fail(
                "shape.rank", f"`.T` swaps the last two axes; {type_} has no two", node.span
            )
        *front, a, b = type_.shape
        return TRANSPOSE.apply(TensorType(type_.element, (*front, b, a)), node.span, (base,))
    method = method_value(context, base, node, expected)
    return field(context, base, node) if method is None else method


def _module_member(
    context: Context, module: SourceModule, node: ast.Member, expected: Type | None
) -> typed.Node:
    entity = module.names.get(node.name.text)
    if isinstance(entity, Constant):
        return constant(context, entity, node.span, expected)
    if isinstance(entity, FunctionDeclaration):
        return function_value(context, node, expected)
    if entity is None:
        raise context.unknown_member(module, node.name)
    raise context.fail("type.value", f"`{context.quote(node)}` is not a value", node.span)


# ---- control ----------------------------------------------------------------------------------


def _if(context: Context, node: ast.If, expected: Type | None) -> typed.Node:
    condition = context.check(node.condition)
    needs_bool(context, "a condition", condition, node.condition.span)
    shape = pruned(condition.type)
    if isinstance(shape, TensorType) and shape.shape:
        raise context.fail(
            "type.bool",
            f"a condition is one bool, not {shape}",
            node.condition.span,
            str(shape),
            help=["choose element by element: `where(condition, a, b)`"],
        )
    context.conditions += 1
    try:
        then = context.check(node.then, expected)
        otherwise = context.check(node.otherwise, expected) if node.otherwise is not None else None
    finally:
        context.conditions -= 1
    if otherwise is None:
        if pruned(then.type) != UNIT:
            raise context.fail(
                "type.branch",
                "an `if` with a value needs an `else`",
                node.span,
                f"{pruned(then.type)} when true, nothing when false",
                help=[f"write `{context.quote(node)} else {{ {_some(pruned(then.type))} }}`"],
            )
        return typed.If(UNIT, node.span, condition, then, None)
    if not unify(context.facts, then.type, otherwise.type):
        raise context.fail(
            "type.branch",
            "the branches have different types",
            _value_span(otherwise),
            str(pruned(otherwise.type)),
            [(_value_span(then), str(pruned(then.type)))],
        )
    return typed.If(pruned(then.type), node.span, condition, then, otherwise)


def _some(type_: Type) -> str:
    """A value of a type, as a proposal."""
    if not isinstance(type_, TensorType) or type_.shape:
        return "zeros"
    element = resolved(type_.element)
    if isinstance(element, DType):
        return {DType.BOOL: "false", DType.I32: "0", DType.I64: "0"}.get(element, "0.0")
    return "0.0"


def _value_span(node: typed.Node) -> Span:
    if isinstance(node, typed.Block) and node.value is not None:
        return _value_span(node.value)
    return node.span


def _checkpoint(context: Context, node: ast.Checkpoint, expected: Type | None) -> typed.Node:
    if isinstance(node.body, ast.Block):
        if node.every is not None:
            raise context.fail("loop.checkpoint", "`checkpoint[k]` is for loops", node.every.span)
        return check_block(context, node.body, expected)
    every = -1
    if node.every is not None:
        item = node.every.items[0]
        if len(node.every.items) != 1 or not isinstance(item, ast.IntLit) or item.value < 1:
            raise context.fail(
                "loop.checkpoint",
                "`checkpoint[k]` takes one positive number",
                node.every.span,
                help=["`checkpoint[32] for …` keeps every 32nd step, `checkpoint for …` chooses"],
            )
        every = item.value
    if isinstance(node.body, ast.While):
        return check_while(context, node.body, every)
    return check_for(context, node.body, every)
