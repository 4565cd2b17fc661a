"""Sizes and types as written, resolved in a scope."""

from __future__ import annotations

from collections.abc import Sequence

from dmc.ir.location import Span
from dmc.ir.types import DType, has_bfloat16
from dmc.semantics.context import Context, Stop
from dmc.semantics.duties import duty
from dmc.semantics.program import (
    ElementEntity,
    PackEntity,
    Poison,
    RecordEntity,
    SizeEntity,
    SourceModule,
)
from dmc.semantics.requirements import Relation, Requirement, assume, prove
from dmc.semantics.sizes import Division, Size, divide
from dmc.semantics.typed import Symbol, SymbolKind
from dmc.semantics.types import (
    Axis,
    Blocks,
    Element,
    ElementName,
    FunctionType,
    Generic,
    GenericKind,
    GenericValue,
    KeyType,
    Pack,
    PackValue,
    RecordDeclaration,
    RecordName,
    RecordType,
    Shape,
    Side,
    StackType,
    TensorType,
    TupleType,
    Type,
    formed,
    gradient_type,
    pruned,
    stack,
)
from dmc.syntax import ast
from dmc_runtime.spelling import did_you_mean

__all__ = [
    "DTYPES",
    "dtype_named",
    "element_named",
    "resolve_clause",
    "resolve_size",
    "resolve_type",
    "shape_items",
    "try_size",
]

DTYPES = {
    "f16": DType.F16,
    "bf16": DType.BF16,
    "f32": DType.F32,
    "f64": DType.F64,
    "i32": DType.I32,
    "i64": DType.I64,
    "bool": DType.BOOL,
}


def dtype_named(context: Context, name: str, span: Span) -> DType | None:
    """The dtype of that name. Raises Stop for `bf16` where the package that has it is missing."""
    dtype = DTYPES.get(name)
    if dtype is DType.BF16 and not has_bfloat16():
        help_ = ("pip install 'dmc[bf16]'",)
        raise context.fail("feature.bf16", "`bf16` needs the package ml_dtypes", span, help=help_)
    return dtype


def element_named(context: Context, name: ast.Name) -> Element | None:
    """The element type that a name means here: a parameter `F: float` or a dtype."""
    entity = context.lookup(name.text)
    if isinstance(entity, ElementEntity):
        return ElementName(entity.name)
    return None if entity is not None else dtype_named(context, name.text, name.span)


# ---- sizes ------------------------------------------------------------------------------------


def try_size(context: Context, node: ast.Expr) -> Size | None:
    """The size that an expression denotes, or None when it is a value. Reports nothing."""
    match node:
        case ast.IntLit(value=value):
            return Size.of(value)
        case ast.Name(text=text):
            entity = context.lookup(text)
            return entity.size if isinstance(entity, SizeEntity) else None
        case ast.Member(base=ast.Name(text=text), name=member):
            entity = context.lookup(text)
            type_ = pruned(entity.type) if isinstance(entity, Symbol) else None
            return _size_of_record(type_, member.text)
        case ast.Unary(op=ast.UnaryOp.NEGATE, operand=operand):
            inner = try_size(context, operand)
            return -inner if inner is not None else None
        case ast.Binary():
            first, operations = ast.chain(node)
            size = try_size(context, first)
            for each in operations:
                right = None if size is None else try_size(context, each.right)
                size = None if size is None or right is None else _combine(each.op, size, right)
            return size
        case _:
            return None


def _size_of_record(type_: Type | None, name: str) -> Size | None:
    while isinstance(type_, StackType):
        type_ = type_.item
    if not isinstance(type_, RecordType) or type_.declaration.field(name) is not None:
        return None
    return type_.generics().sizes.get(name)


def _combine(op: ast.BinaryOp, left: Size, right: Size) -> Size | None:
    match op:
        case ast.BinaryOp.ADD:
            return left + right
        case ast.BinaryOp.SUBTRACT:
            return left - right
        case ast.BinaryOp.MULTIPLY:
            return left * right
        case ast.BinaryOp.DIVIDE:
            return divide(left, right)
        case ast.BinaryOp.FLOOR_DIVIDE:
            return divide(left, right, Division.FLOOR)
        case ast.BinaryOp.REMAINDER:
            return divide(left, right, Division.REMAINDER)
        case ast.BinaryOp.POWER:
            power = right.constant
            if power is None or not 0 <= power <= 8:
                return None
            total = Size.of(1)
            for _ in range(power):
                total = total * left
            return total
        case ast.BinaryOp.MATMUL:
            return None


def resolve_size(context: Context, node: ast.Expr) -> Size:
    """The size that an expression in brackets denotes, with its divisions proved.

    Raises Stop after reporting names that are not sizes and divisions that cannot be proved.
    """
    size = try_size(context, node)
    if size is None:
        raise _not_a_size(context, node)
    _prove_divisions(context, node)
    constant = size.constant
    if constant is not None and constant < 0:
        raise context.fail("shape.size", f"a size cannot be {constant}", node.span)
    if isinstance(node, ast.Name | ast.IntLit):
        return size
    return size.spelled(context.quote(node))


def _not_a_size(context: Context, node: ast.Expr) -> Exception:
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            entity = context.lookup(part.text)
            if entity is None:
                return context.unknown_size(part.text, part.span)
            if isinstance(entity, Symbol):
                return context.fail(
                    "shape.value",
                    f"`{part.text}` is a value, not a size",
                    part.span,
                    "sizes never come from values",
                    [(entity.span, "a value of the run")] if entity.span != part.span else (),
                    [_as_size(part.text, entity)],
                )
    return context.fail("shape.value", f"`{context.quote(node)}` is not a size", node.span)


def _as_size(name: str, symbol: Symbol) -> str:
    """How to have a size of a name that is a value."""
    known = symbol.affine
    if known is not None and known.constant is not None:
        return f"declare it outside of functions: `dim {name} = {known}`"
    is_written = known is not None and not any(part.endswith("'") for part in known.names())
    if is_written and symbol.kind is not SymbolKind.INDEX:
        return f"write the size itself: `{known}`"
    return "make it a size parameter, given in brackets"


def _prove_divisions(context: Context, node: ast.Expr) -> None:
    if isinstance(node, ast.Binary):
        first, operations = ast.chain(node)
        _prove_divisions(context, first)
        for each in operations:
            _prove_divisions(context, each.right)
            if each.op is ast.BinaryOp.DIVIDE:
                top, bottom = try_size(context, each.left), try_size(context, each.right)
                if top is not None and bottom is not None:
                    _prove_division(context, each, top, bottom)
    elif isinstance(node, ast.Unary):
        _prove_divisions(context, node.operand)


def _prove_division(context: Context, node: ast.Binary, top: Size, bottom: Size) -> None:
    answer = context.facts.divides(bottom, top)
    if answer:
        return
    left, right = context.quote(node.left), context.quote(node.right)
    left = f"({left})" if isinstance(node.left, ast.Binary) and not left.startswith("(") else left
    shown = ", ".join(f"{n} = {v}" for n, v in (answer.counterexample or {}).items())
    text = f"not a size when {shown}" if shown else ""
    if top.constant is not None and bottom.constant is not None:
        raise context.fail(
            "shape.division", f"{right} does not divide {left}", node.span, "not a whole number"
        )
    raise context.fail(
        "shape.unproved",
        f"cannot prove that {right} divides {left}",
        node.span,
        text,
        help=[duty(context, f"{left} % {right} == 0", top.names() | bottom.names())],
    )


_RELATIONS = {
    ast.CompareOp.EQUAL: Relation.EQUAL,
    ast.CompareOp.NOT_EQUAL: Relation.NOT_EQUAL,
    ast.CompareOp.LESS: Relation.LESS,
    ast.CompareOp.LESS_EQUAL: Relation.AT_MOST,
    ast.CompareOp.GREATER: Relation.MORE,
    ast.CompareOp.GREATER_EQUAL: Relation.AT_LEAST,
}


def resolve_clause(context: Context, node: ast.Expr) -> list[Requirement]:
    """The requirements that a `requires` clause states; `and` gives several."""
    if isinstance(node, ast.Logical) and node.op is ast.LogicalOp.AND:
        return [*resolve_clause(context, node.left), *resolve_clause(context, node.right)]
    if not isinstance(node, ast.Compare):
        raise context.fail(
            "shape.requires",
            "a `requires` clause compares two sizes",
            node.span,
            help=["such as `requires D % H == 0` or `requires T <= C`"],
        )
    left, right = try_size(context, node.left), try_size(context, node.right)
    for size, side in ((left, node.left), (right, node.right)):
        if size is None:
            raise _not_a_size(context, side)
    assert left is not None
    assert right is not None
    return [Requirement(left, _RELATIONS[node.op], right, context.quote(node), node.span)]


def shape_items(context: Context, bracket: ast.Bracket) -> Shape:
    """Brackets that hold a shape: `zeros[B, H]`, `bernoulli[*S]`."""
    axes: list[Axis] = []
    for item in bracket.items:
        match item:
            case ast.Splat(name=name):
                axes.append(pack_named(context, name))
            case ast.Binder() | ast.Slice() | ast.Ellipsis() | ast.NewAxis():
                raise context.fail("shape.value", "a shape is made of sizes", item.span)
            case _:
                axes.append(resolve_size(context, item))
    return tuple(axes)


# ---- types ------------------------------------------------------------------------------------


def resolve_type(context: Context, node: ast.TypeExpr, bare_name: str | None = None) -> Type:
    """The type that is written. `bare_name` names the sizes of a bare record: `net` in `net: GPT`.

    Raises Stop after reporting what is wrong.
    """
    match node:
        case ast.TupleType(elements=elements):
            return TupleType(tuple(resolve_type(context, e, bare_name) for e in elements))
        case ast.FunctionType(parameters=parameters, result=result):
            inputs = tuple(resolve_type(context, p, bare_name) for p in parameters)
            return FunctionType(inputs, resolve_type(context, result, bare_name))
        case ast.StackType(count=count, element=element):
            size = resolve_size(context, count)
            item = resolve_type(context, element, bare_name)
            if isinstance(item, KeyType | FunctionType):
                raise context.fail("type.array", f"a {item} cannot be stacked", node.span)
            return stack(size, item)
        case ast.NamedType(name=name, arguments=arguments):
            parts = tuple(part.text for part in name.parts)
            items = arguments.items if arguments is not None else None
            return _named(context, parts, items, node.span, bare_name)


_SIDES = {side.value: side for side in Side}


def _named(
    context: Context,
    parts: tuple[str, ...],
    items: Sequence[ast.Item] | None,
    span: Span,
    bare_name: str | None,
) -> Type:
    if len(parts) == 1:
        (name,) = parts
        dtype = dtype_named(context, name, span)
        if dtype is not None:
            return TensorType(dtype, _axes(context, items))
        if name == "Key":
            _refuse_arguments(context, name, items, span)
            return KeyType()
        if name == "Grad":
            if items is None or len(items) != 1:
                raise context.fail("type.arguments", "`Grad` takes one type: `Grad[T]`", span)
            return gradient_type(_type_item(context, items[0], bare_name))
        if name in _SIDES:
            if items is None or len(items) != 1:
                raise context.fail("type.arguments", f"`{name}` takes one type: `{name}[T]`", span)
            inner = gradient_type(_type_item(context, items[0], bare_name))
            return formed(_SIDES[name], inner)
        if name == "Jacobian":
            if items is None or len(items) != 2:
                title = "`Jacobian` takes two types: `Jacobian[R, T]`"
                raise context.fail("type.arguments", title, span)
            of, wrt = (gradient_type(_type_item(context, item, bare_name)) for item in items)
            return formed(Blocks(wrt), of)
    entity = _entity(context, parts, span)
    match entity:
        case ElementEntity(name=name):
            return TensorType(ElementName(name), _axes(context, items))
        case RecordEntity(name=name):
            _refuse_arguments(context, name, items, span)
            return RecordName(name)
        case RecordDeclaration():
            return _record(context, entity, items, span, bare_name)
        case Poison():
            raise Stop
        case _:
            raise context.fail("type.name", f"`{'.'.join(parts)}` is not a type", span)


def _entity(context: Context, parts: tuple[str, ...], span: Span) -> object:
    entity = context.lookup(parts[0])
    if entity is None:
        raise context.unknown_type(parts[0], span, (*DTYPES, "Key", "Grad", "Jacobian", *_SIDES))
    for part in parts[1:]:
        if not isinstance(entity, SourceModule):
            raise context.fail("type.name", f"`{'.'.join(parts)}` is not a type", span)
        following = entity.names.get(part)
        if following is None:
            raise context.fail(
                "name.unknown",
                f"module `{entity.name}` has no `{part}`",
                span,
                help=did_you_mean(part, entity.names),
            )
        entity = following
    return entity


def _refuse_arguments(
    context: Context, name: str, items: Sequence[ast.Item] | None, span: Span
) -> None:
    if items is not None:
        raise context.fail("type.arguments", f"`{name}` takes no brackets", span)


def _axes(context: Context, items: Sequence[ast.Item] | None) -> tuple[Axis, ...]:
    axes: list[Axis] = []
    for item in items or ():
        match item:
            case ast.Splat(name=name):
                axes.append(pack_named(context, name))
            case ast.Binder() | ast.Slice() | ast.Ellipsis() | ast.NewAxis():
                raise context.fail("shape.value", "an axis of a type is a size", item.span)
            case _:
                axes.append(resolve_size(context, item))
    return tuple(axes)


def pack_named(context: Context, name: ast.Identifier) -> Pack:
    entity = context.lookup(name.text)
    if entity is None:
        raise context.unknown(name.text, name.span)
    if not isinstance(entity, PackEntity):
        raise context.fail(
            "shape.value", f"`{name.text}` is not a shape parameter", name.span,
            help=[f"declare it as `*{name.text}`"],
        )  # fmt: skip
    return Pack(entity.name)


def _type_item(context: Context, item: ast.Item, bare_name: str | None) -> Type:
    """A type written where the grammar has an expression: `GPT` in `AdamW[GPT]`."""
    match item:
        case ast.Name(text=text):
            return _named(context, (text,), None, item.span, bare_name)
        case ast.Member():
            parts = _qualified(item)
            if parts is not None:
                return _named(context, parts, None, item.span, bare_name)
        case ast.Index(base=ast.Name(text=text), bracket=bracket):
            return _named(context, (text,), bracket.items, item.span, bare_name)
        case ast.Index(base=ast.Member() as base, bracket=bracket):
            parts = _qualified(base)
            if parts is not None:
                return _named(context, parts, bracket.items, item.span, bare_name)
        case ast.Binary(op=ast.BinaryOp.MULTIPLY, left=left, right=right):
            count = resolve_size(context, left)
            return stack(count, _type_item(context, right, bare_name))
        case ast.Tuple(elements=elements):
            return TupleType(tuple(_type_item(context, e, bare_name) for e in elements))
        case _:
            pass
    raise context.fail("type.name", "this is not a type", item.span)


def _qualified(node: ast.Expr) -> tuple[str, ...] | None:
    match node:
        case ast.Name(text=text):
            return (text,)
        case ast.Member(base=base, name=name):
            parts = _qualified(base)
            return (*parts, name.text) if parts is not None else None
        case _:
            return None


def _record(
    context: Context,
    declaration: RecordDeclaration,
    items: Sequence[ast.Item] | None,
    span: Span,
    bare_name: str | None,
) -> RecordType:
    generics = declaration.generics
    if items is None and generics:
        return _bare(context, declaration, span, bare_name)
    values = _arguments(context, generics, items or (), span, declaration.name, bare_name)
    record = RecordType(declaration, values)
    sizes = record.generics().sizes
    for clause in declaration.requirements:
        asked = clause.substitute(sizes)
        answer = prove(context.facts, asked)
        if not answer:
            shown = ", ".join(f"{n} = {v}" for n, v in (answer.counterexample or {}).items())
            raise context.fail(
                "shape.requires",
                f"cannot prove that {declaration.name} gets what it requires: {asked.text}",
                span,
                f"false when {shown}" if shown else "",
                [(clause.span, "required here")],
                [duty(context, asked.text, asked.names())],
            )
    return record


def _arguments(
    context: Context,
    generics: tuple[Generic, ...],
    items: Sequence[ast.Item],
    span: Span,
    name: str,
    bare_name: str | None,
) -> tuple[GenericValue, ...]:
    needed = sum(generic.default is None for generic in generics)
    if not needed <= len(items) <= len(generics):
        wanted = ", ".join(generic.name for generic in generics)
        raise context.fail(
            "type.arguments",
            f"`{name}` takes [{wanted}], and {len(items)} were given",
            span,
        )
    values: list[GenericValue] = []
    for index, generic in enumerate(generics):
        if index >= len(items):
            assert generic.default is not None
            values.append(generic.default)
            continue
        values.append(argument_value(context, generic, items[index], bare_name))
    return tuple(values)


def argument_value(
    context: Context, generic: Generic, item: ast.Item, bare_name: str | None = None
) -> GenericValue:
    """One generic argument, of the kind that its parameter wants."""
    match generic.kind:
        case GenericKind.SIZE:
            if isinstance(item, ast.Binder | ast.Slice | ast.Ellipsis | ast.NewAxis | ast.Splat):
                raise context.fail("type.arguments", f"`{generic.name}` is a size", item.span)
            return resolve_size(context, item)
        case GenericKind.PACK:
            if isinstance(item, ast.Splat):
                return PackValue((pack_named(context, item.name),))
            raise context.fail("type.arguments", f"`*{generic.name}` takes a shape", item.span)
        case GenericKind.ELEMENT:
            return _element(context, item)
        case GenericKind.RECORD:
            return _type_item(context, item, bare_name)


def _element(context: Context, item: ast.Item) -> Element:
    if isinstance(item, ast.Name):
        dtype = dtype_named(context, item.text, item.span)
        if dtype is not None:
            return dtype
        entity = context.lookup(item.text)
        if isinstance(entity, ElementEntity):
            return ElementName(entity.name)
    help_ = (
        "leave the brackets out: they take generics, which follow from the arguments, and an axis"
        " only with functions of the prelude"
    )
    title = "an element type is expected here"
    raise context.fail("type.arguments", title, item.span, help=[help_])


def _bare(
    context: Context, declaration: RecordDeclaration, span: Span, bare_name: str | None
) -> RecordType:
    """`net: GPT`: sizes named after the parameter, the same wherever bare `GPT` recurs."""
    known = context.bare.get(declaration)
    if known is None:
        if bare_name is None:
            wanted = ", ".join(generic.name for generic in declaration.generics)
            raise context.fail(
                "type.arguments",
                f"`{declaration.name}` needs its sizes here: `{declaration.name}[{wanted}]`",
                span,
            )
        known = tuple(
            Size.named(f"{bare_name}.{generic.name}")
            for generic in declaration.generics
            if generic.kind is GenericKind.SIZE
        )
        context.bare[declaration] = known
        names = [g.name for g in declaration.generics if g.kind is GenericKind.SIZE]
        renamed = dict(zip(names, known, strict=True))
        duties = [clause.substitute(renamed) for clause in declaration.requirements]
        context.facts = assume(context.facts, duties)
    sizes = iter(known)
    values: list[GenericValue] = []
    for generic in declaration.generics:
        match generic.kind:
            case GenericKind.SIZE:
                values.append(next(sizes))
            case GenericKind.ELEMENT if generic.default is not None:
                values.append(generic.default)
            case _:
                raise context.fail(
                    "type.arguments",
                    f"`{declaration.name}` needs `{generic.name}` in brackets",
                    span,
                )
    return RecordType(declaration, tuple(values))
