"""Calls: which function is meant, which argument is whose, generic arguments, record values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dmc.ir.location import Span
from dmc.semantics import prelude, typed
from dmc.semantics.agreement import expect
from dmc.semantics.context import Context, Poison, Stop
from dmc.semantics.generics import Matcher
from dmc.semantics.program import FunctionDeclaration, SourceModule
from dmc.semantics.requirements import prove
from dmc.semantics.resolver import (
    DTYPES,
    argument_value,
    dtype_named,
    resolve_size,
    resolve_type,
)
from dmc.semantics.typed import Symbol, SymbolKind
from dmc.semantics.types import (
    UNIT,
    Axis,
    FunctionType,
    GenericKind,
    GenericValue,
    Hole,
    KeyType,
    NumberKind,
    Pack,
    RecordDeclaration,
    RecordType,
    Shape,
    StackType,
    Substitution,
    TensorType,
    Type,
    children,
    pruned,
)
from dmc.syntax import ast

__all__ = [
    "DerivedHandle", "Handle", "LambdaHandle", "PreludeHandle", "TypedHandle", "UserHandle",
    "call_handle", "check_call", "check_lambda", "check_pipe", "function_value", "resolve_function",
    "shape_items", "spend",
]  # fmt: skip


# ---- handles ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class UserHandle:
    """A declared function, with generic arguments as written and the receiver of a method."""

    declaration: FunctionDeclaration
    bracket: ast.Bracket | None
    receiver: typed.Node | None
    span: Span


@dataclass(frozen=True, slots=True)
class TypedHandle:
    """A function value: its type is known."""

    callee: typed.Callee
    type: FunctionType
    names: tuple[str, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class PreludeHandle:
    """An elementwise function of the prelude."""

    name: str
    span: Span


@dataclass(frozen=True, slots=True)
class DerivedHandle:
    """A function made by a differentiation operator: the operator's call, and what it was given."""

    operator: typed.Operator
    inner: Handle
    wrt: ast.Expr | None
    along: ast.Expr | None
    span: Span


@dataclass(frozen=True, slots=True)
class LambdaHandle:
    """A lambda called at once: its arguments say what types its parameters have."""

    node: ast.Lambda
    span: Span


Handle = UserHandle | TypedHandle | PreludeHandle | DerivedHandle | LambdaHandle


def resolve_function(
    context: Context, node: ast.Expr, expected: FunctionType | None = None
) -> Handle:
    """The function that an expression denotes.

    Raises Stop when it does not denote one.
    """
    base, bracket = (node.base, node.bracket) if isinstance(node, ast.Index) else (node, None)
    match base:
        case ast.Name(text=text):
            entity = context.lookup(text)
            if isinstance(entity, FunctionDeclaration):
                return UserHandle(entity, bracket, _own_receiver(context, entity, node), node.span)
            if isinstance(entity, Poison):
                raise Stop
            if entity is None and text in prelude.ELEMENTWISE and bracket is None:
                return PreludeHandle(text, node.span)
            if entity is None and not prelude.is_function(text) and text not in DTYPES:
                raise context.unknown(text, base.span)
        case ast.Member(base=inner, name=name):
            module = context.lookup(inner.text) if isinstance(inner, ast.Name) else None
            if isinstance(module, SourceModule):
                entity = module.names.get(name.text)
                if isinstance(entity, FunctionDeclaration):
                    return UserHandle(entity, bracket, None, node.span)
            else:
                found = _method(context, inner, name, bracket, node.span)
                if found is not None:
                    return found
        case ast.Call(function=ast.Name(text=text)) if (
            text in prelude.OPERATORS and context.lookup(text) is None
        ):
            from dmc.semantics.differentiation import derived_handle

            return derived_handle(context, typed.Operator(text), base)
        case ast.Lambda() if expected is None:
            return LambdaHandle(base, node.span)
        case ast.Lambda():
            value = check_lambda(context, base, expected)
            assert isinstance(value, typed.FunctionValue)
            type_ = pruned(value.type)
            assert isinstance(type_, FunctionType)
            names = tuple(p.name.text for p in base.parameters)
            return TypedHandle(value.callee, type_, names, node.span)
        case _:
            pass
    return _handle_of_value(context, node)


def _handle_of_value(context: Context, node: ast.Expr) -> Handle:
    value = context.check(node)
    type_ = pruned(value.type)
    if isinstance(type_, FunctionType):
        if isinstance(value, typed.FunctionValue):
            return TypedHandle(value.callee, type_, (), node.span)
        if isinstance(value, typed.Local):
            return TypedHandle(typed.LocalFunction(value.symbol), type_, (), node.span)
    if isinstance(type_, RecordType) and type_.declaration.is_model:
        forward = _find_method(context, type_, "forward")
        if forward is None:
            raise context.fail(
                "call.forward", f"`{type_.declaration.name}` has no `forward`", node.span
            )
        return UserHandle(forward, None, value, node.span)
    raise context.fail("call.value", f"{type_} cannot be called", node.span, str(type_))


def _own_receiver(
    context: Context, declaration: FunctionDeclaration, node: ast.Expr
) -> typed.Node | None:
    if declaration.owner is None:
        return None
    if context.self_symbol is None:
        raise context.fail("name.field", f"`{declaration.name}` is not known here", node.span)
    return typed.Local(context.self_symbol.type, node.span, context.self_symbol)


def _method(
    context: Context, base: ast.Expr, name: ast.Identifier, bracket: ast.Bracket | None, span: Span
) -> Handle | None:
    receiver = context.check(base)
    type_ = pruned(receiver.type)
    if not isinstance(type_, RecordType):
        return None
    method = _find_method(context, type_, name.text)
    if method is None:
        if name.text not in {part for part, _, _ in children(type_)}:
            known = [part for part, _, _ in children(type_)]
            raise context.fail(
                "name.field",
                f"{type_} has no field or function `{name.text}`",
                name.span,
                "",
                [(receiver.span, str(type_))],
                context.suggestion(name.text, known),
            )
        return None
    return UserHandle(method, bracket, receiver, span)


def _find_method(context: Context, type_: RecordType, name: str) -> FunctionDeclaration | None:
    model = context.models(type_.declaration)
    return model.methods.get(name) if model is not None else None


# ---- calls ------------------------------------------------------------------------------------


def check_pipe(context: Context, node: ast.Pipe, expected: Type | None) -> typed.Node:
    """`x |> f(a)` is `f(x, a)`."""
    first = ast.Argument(node.value.span, None, node.value)
    if isinstance(node.stage, ast.Call):
        call = ast.Call(node.span, node.stage.function, (first, *node.stage.arguments))
    else:
        call = ast.Call(node.span, node.stage, (first,))
    return check_call(context, call, expected)


def check_call(context: Context, node: ast.Call, expected: Type | None) -> typed.Node:
    """A call of anything: conversions, the prelude, records, functions, models."""
    function = node.function
    base, bracket = (
        (function.base, function.bracket) if isinstance(function, ast.Index) else (function, None)
    )
    entity: object = None
    if isinstance(base, ast.Name):
        entity = context.lookup(base.text)
        if entity is None:
            if base.text in DTYPES and bracket is None:
                return _conversion(context, base, node)
            if prelude.is_function(base.text) and not (
                bracket is None and base.text in prelude.ELEMENTWISE
            ):
                from dmc.semantics.builtins import check_builtin

                return check_builtin(context, base.text, bracket, node, expected)
    elif isinstance(base, ast.Member):
        if isinstance(base.base, ast.Name):
            module = context.lookup(base.base.text)
            if isinstance(module, SourceModule):
                entity = module.names.get(base.name.text)
        if base.name.text == "with" and entity is None:
            return _with(context, base, node)
    if isinstance(entity, RecordDeclaration):
        return _construct(context, entity, bracket, node, expected)
    if isinstance(entity, Symbol) and bracket is None:
        pulled = _pull(context, entity, node)
        if pulled is not None:
            return pulled
    handle = resolve_function(context, function)
    return call_handle(context, handle, node.arguments, node.span, expected)


def _conversion(context: Context, name: ast.Name, node: ast.Call) -> typed.Node:
    dtype = dtype_named(context, name.text, name.span)
    assert dtype is not None
    if len(node.arguments) != 1 or node.arguments[0].name is not None:
        raise context.fail("call.arguments", f"`{name.text}` converts one value", node.span)
    operand = context.check(node.arguments[0].value)
    type_ = pruned(operand.type)
    match type_:
        case TensorType(_, shape):
            return typed.Convert(TensorType(dtype, shape), node.span, dtype, operand)
        case Hole():
            hole = context.hole()
            hole.element.target = dtype
            type_.target = hole
            return operand
        case _:
            raise context.fail(
                "type.operand", f"`{name.text}` does not convert {type_}", operand.span
            )


def _pull(context: Context, symbol: Symbol, node: ast.Call) -> typed.Node | None:
    type_ = pruned(symbol.type)
    if not isinstance(type_, FunctionType) or not type_.is_pull:
        return None
    if len(node.arguments) != 1:
        raise context.fail("call.arguments", f"`{symbol.name}` takes one cotangent", node.span)
    argument = node.arguments[0].value
    value = context.check(argument, type_.parameters[0])
    expect(context, value, type_.parameters[0], argument.span)
    return typed.Pull(type_.result, node.span, symbol, value)


def call_handle(
    context: Context,
    handle: Handle,
    arguments: Sequence[ast.Argument],
    span: Span,
    expected: Type | None,
) -> typed.Node:
    """A call of a resolved function."""
    match handle:
        case UserHandle():
            return _call_user(context, handle, arguments, span)
        case TypedHandle():
            return _call_typed(context, handle, arguments, span)
        case PreludeHandle(name=name):
            from dmc.semantics.builtins import check_elementwise

            return check_elementwise(context, name, arguments, span)
        case LambdaHandle():
            return _call_lambda(context, handle, arguments, span)
        case DerivedHandle():
            from dmc.semantics.differentiation import call_derived

            return call_derived(context, handle, arguments, span)


def _call_typed(
    context: Context, handle: TypedHandle, arguments: Sequence[ast.Argument], span: Span
) -> typed.Node:
    wanted = handle.type.parameters
    for argument in arguments:
        if argument.name is not None:
            raise context.fail(
                "call.keyword", "parameters of a function value have no names", argument.span
            )
    if len(arguments) != len(wanted):
        raise context.fail(
            "call.count",
            f"this function takes {_count(len(wanted))}, and {len(arguments)} are given",
            span,
            "",
            [(handle.span, str(handle.type))] if handle.span != span else (),
        )
    values: list[typed.Node] = []
    for argument, type_ in zip(arguments, wanted, strict=True):
        value = context.check(argument.value, type_)
        expect(context, value, type_, argument.value.span)
        spend(context, value)
        values.append(value)
    return typed.Call(handle.type.result, span, handle.callee, tuple(values))


def _call_lambda(
    context: Context, handle: LambdaHandle, arguments: Sequence[ast.Argument], span: Span
) -> typed.Node:
    names = tuple(parameter.name.text for parameter in handle.node.parameters)
    values: list[typed.Node] = []
    for argument in arguments:
        if argument.name is not None:
            raise context.fail(
                "call.keyword", "parameters of a function value have no names", argument.span
            )
        value = context.check(argument.value)
        type_ = pruned(value.type)
        if isinstance(type_, Hole):
            type_.target = TensorType(type_.element)
        values.append(value)
    hint = FunctionType(tuple(value.type for value in values), UNIT)
    function = check_lambda(context, handle.node, hint)
    assert isinstance(function, typed.FunctionValue)
    type_ = pruned(function.type)
    assert isinstance(type_, FunctionType)
    assert len(names) == len(values)
    for value, wanted in zip(values, type_.parameters, strict=True):
        expect(context, value, wanted, value.span)
        spend(context, value)
    return typed.Call(type_.result, span, function.callee, tuple(values))


def _count(number: int) -> str:
    return "1 argument" if number == 1 else f"{number} arguments"


# ---- declared functions -----------------------------------------------------------------------


def _arrange(
    context: Context,
    declaration: FunctionDeclaration,
    arguments: Sequence[ast.Argument],
    span: Span,
) -> list[ast.Expr | None]:
    """The expression for each parameter; None for those left to their defaults."""
    names = [p.name for p in declaration.parameters]
    given: list[ast.Expr | None] = [None] * len(names)
    position = 0
    for argument in arguments:
        if argument.name is None:
            if position >= len(names):
                takes = _count(len(names))
                raise context.fail(
                    "call.count",
                    f"`{declaration.name}` takes {takes}, and {len(arguments)} are given",
                    argument.span,
                    "one too many",
                    [(declaration.span, f"`{declaration.name}` is declared here")],
                )
            given[position] = argument.value
            position += 1
            continue
        if argument.name.text not in names:
            raise context.fail(
                "call.keyword",
                f"`{declaration.name}` has no parameter `{argument.name.text}`",
                argument.name.span,
                "",
                [(declaration.span, f"`{declaration.name}` is declared here")],
                context.suggestion(argument.name.text, names),
            )
        index = names.index(argument.name.text)
        if given[index] is not None:
            raise context.fail(
                "call.twice", f"`{argument.name.text}` is given twice", argument.span
            )
        given[index] = argument.value
    for parameter, value in zip(declaration.parameters, given, strict=True):
        if value is None and parameter.default is None:
            raise context.fail(
                "call.missing",
                f"`{declaration.name}` needs `{parameter.name}`",
                span,
                f"`{parameter.name}: {parameter.type}` is missing",
                [(declaration.span, f"`{declaration.name}` is declared here")],
            )
    return given


def _call_user(
    context: Context, handle: UserHandle, arguments: Sequence[ast.Argument], span: Span
) -> typed.Node:
    declaration = handle.declaration
    if not declaration.is_sound or declaration.result is None:
        raise Stop
    if context.function is not None:
        context.function.calls.append((declaration, span))
    given = _arrange(context, declaration, arguments, span)
    matcher = Matcher(context, _explicit(context, handle))
    if handle.receiver is not None and declaration.self_symbol is not None:
        matcher.match(declaration.self_symbol.type, handle.receiver.type, handle.receiver.span)
    values: list[typed.Node | None] = [None] * len(given)
    for late in (False, True):
        for index, (parameter, node) in enumerate(zip(declaration.parameters, given, strict=True)):
            is_function = isinstance(parameter.type, FunctionType)
            if node is None or is_function != late:
                continue
            wanted = matcher.substitution().type(parameter.type)
            value = context.check(node, wanted if _is_known(wanted, matcher) else None)
            matcher.match(parameter.type, value.type, node.span)
            values[index] = value
    _default_elements(context, declaration, matcher)
    _require_values(context, declaration, matcher, handle.span)
    substitution = matcher.substitution()
    for parameter, node, value in zip(declaration.parameters, given, values, strict=True):
        if node is not None and value is not None:
            what = f"`{parameter.name}` of `{declaration.name}`"
            expect(context, value, substitution.type(parameter.type), node.span, what)
            spend(context, value)
    _prove_requirements(context, declaration, substitution, span)
    callee = typed.UserFunction(declaration, matcher.values, handle.receiver)
    updates = None
    if declaration.node.mutable and handle.receiver is not None:
        updates = _updated_place(context, declaration, handle.receiver, span)
    result = substitution.type(declaration.result)
    return typed.Call(result, span, callee, tuple(values), updates)


def _updated_place(
    context: Context, declaration: FunctionDeclaration, receiver: typed.Node, span: Span
) -> typed.Place:
    """Where the new state of a `mut fn`'s receiver goes: a `var`, or a field of a `mut fn`."""
    path: list[str | tuple[typed.At, ...]] = []
    root = receiver
    while isinstance(root, typed.FieldOf | typed.Access):
        if isinstance(root, typed.FieldOf):
            path.insert(0, root.name)
            root = root.record
        else:
            path.insert(0, root.items)
            root = root.base
    if isinstance(root, typed.Local) and root.symbol.is_mutable:
        if root.symbol.barrier == context.barrier:
            return typed.Place(root.symbol, tuple(path), receiver.type, span)
        raise context.fail(
            "loop.builder",
            f"the state of `{context.quote(receiver.span)}` cannot be updated here",
            span,
            "elements of a builder and calls of a function are independent",
        )
    text = f"`{declaration.name}` is a `mut fn`"
    if not isinstance(root, typed.Local):
        raise context.fail(
            "state.immutable", "this call may update state that nothing keeps", span, text
        )
    symbol = root.symbol
    if symbol.kind is SymbolKind.SELF and context.function is not None:
        raise context.fail(
            "state.immutable",
            f"this call may update the state of `{context.quote(receiver.span)}`",
            span,
            text,
            [(context.function.span, "not a `mut fn`")],
            [f"declare it `mut fn {context.function.name}`"],
        )
    help_ = [f"keep the new state: `var {symbol.name} = …`"]
    if symbol.kind is SymbolKind.PARAMETER and context.function is not None:
        copy = f"var {symbol.name}: {symbol.type}"
        help_ = [f"take a private copy: `fn {context.function.name}({copy}, ...)`"]
    raise context.fail(
        "state.immutable",
        f"this call may update the state of `{symbol.name}`",
        span,
        text,
        [(symbol.span, "not a `var`")],
        help_,
    )


def _explicit(context: Context, handle: UserHandle) -> dict[str, GenericValue]:
    values: dict[str, GenericValue] = {}
    if handle.bracket is None:
        return values
    generics = handle.declaration.generics
    items = handle.bracket.items
    if len(items) > len(generics):
        wanted = ", ".join(g.name for g in generics)
        raise context.fail(
            "type.arguments",
            f"`{handle.declaration.name}` takes [{wanted}], and {len(items)} were given",
            handle.bracket.span,
        )
    for generic, item in zip(generics, items, strict=False):
        values[generic.name] = argument_value(context, generic, item)
    return values


def _is_known(type_: Type, matcher: Matcher) -> bool:
    """Whether the expected type is in the caller's terms entirely."""
    from dmc.semantics.generics import free_sizes
    from dmc.semantics.types import ElementName, RecordName, leaves, resolved

    type_ = pruned(type_)
    if isinstance(type_, FunctionType):
        return True
    if isinstance(type_, RecordName) or any("?" in name for name in free_sizes(type_)):
        return False
    for leaf in leaves(type_):
        if isinstance(leaf.type, TensorType):
            if any(isinstance(axis, Pack) for axis in leaf.type.shape):
                return False
            if isinstance(resolved(leaf.type.element), ElementName):
                return False
    return False if not isinstance(type_, TensorType) else not free_sizes(type_)


def _default_elements(context: Context, declaration: FunctionDeclaration, matcher: Matcher) -> None:
    for generic in declaration.generics:
        if generic.name not in matcher.values and generic.default is not None:
            matcher.values[generic.name] = generic.default


def _require_values(
    context: Context, declaration: FunctionDeclaration, matcher: Matcher, span: Span
) -> None:
    for generic in declaration.generics:
        if generic.name in matcher.values:
            continue
        names = ", ".join(g.name for g in declaration.generics)
        what = f"*{generic.name}" if generic.kind is GenericKind.PACK else generic.name
        raise context.fail(
            "call.generic",
            f"{what} of `{declaration.name}` is not known from the arguments",
            span,
            "",
            [(generic.span, "declared here")],
            [f"give it in brackets: `{declaration.name}[{names}](…)`"],
        )


def _prove_requirements(
    context: Context, declaration: FunctionDeclaration, substitution: Substitution, span: Span
) -> None:
    for clause in declaration.requirements:
        asked = clause.substitute(substitution.sizes)
        answer = prove(context.facts, asked)
        if answer:
            continue
        shown = ", ".join(f"{n} = {v}" for n, v in (answer.counterexample or {}).items())
        raise context.fail(
            "shape.requires",
            f"cannot prove that `{declaration.name}` gets what it requires: {asked.text}",
            span,
            f"false when {shown}" if shown else "",
            [(clause.span, "required here")],
            [f"make it the caller's duty: `requires {asked.text}`"],
        )


# ---- records ----------------------------------------------------------------------------------


def _construct(
    context: Context,
    declaration: RecordDeclaration,
    bracket: ast.Bracket | None,
    node: ast.Call,
    expected: Type | None,
) -> typed.Node:
    if declaration.is_model:
        raise context.unsupported("building a model by hand inside the language", node.span)
    wanted = pruned(expected) if expected is not None else None
    matcher = Matcher(context)
    if bracket is not None:
        for generic, item in zip(declaration.generics, bracket.items, strict=False):
            matcher.values[generic.name] = argument_value(context, generic, item)
    elif isinstance(wanted, RecordType) and wanted.declaration is declaration:
        for generic, value in zip(declaration.generics, wanted.arguments, strict=True):
            matcher.values[generic.name] = value
    names = [f.name for f in declaration.fields]
    given: dict[str, ast.Expr] = {}
    for position, argument in enumerate(node.arguments):
        if argument.name is None:
            if position >= len(names):
                raise context.fail(
                    "call.count", f"`{declaration.name}` has {len(names)} fields", argument.span
                )
            name = names[position]
        else:
            name = argument.name.text
            if name not in names:
                raise context.fail(
                    "name.field",
                    f"`{declaration.name}` has no field `{name}`",
                    argument.name.span,
                    help=context.suggestion(name, names),
                )
        if name in given:
            raise context.fail("call.twice", f"`{name}` is given twice", argument.span)
        given[name] = argument.value
    missing = [name for name in names if name not in given]
    if missing:
        raise context.fail(
            "call.missing", f"`{declaration.name}` needs `{missing[0]}`", node.span,
            "", [(declaration.span, "declared here")],
        )  # fmt: skip
    values: dict[str, typed.Node] = {}
    for entry in declaration.fields:
        hint = matcher.substitution().type(entry.type)
        value = context.check(given[entry.name], hint if bracket or wanted else None)
        matcher.match(entry.type, value.type, given[entry.name].span)
        values[entry.name] = value
    for generic in declaration.generics:
        if generic.name not in matcher.values:
            raise context.fail(
                "call.generic",
                f"{generic.name} of `{declaration.name}` is not known from its fields",
                node.span,
            )
    substitution = matcher.substitution()
    for entry in declaration.fields:
        what = f"`{entry.name}` of `{declaration.name}`"
        place = given[entry.name].span
        expect(context, values[entry.name], substitution.type(entry.type), place, what)
    arguments = tuple(matcher.values[generic.name] for generic in declaration.generics)
    return typed.MakeRecord(
        RecordType(declaration, arguments),
        node.span,
        declaration,
        tuple(values[name] for name in names),
    )


def _with(context: Context, member: ast.Member, node: ast.Call) -> typed.Node:
    record = context.check(member.base)
    type_ = pruned(record.type)
    if not isinstance(type_, RecordType | StackType):
        raise context.fail("type.field", f"{type_} has no fields", member.base.span)
    parts = {name: part for name, part, _ in children(type_)}
    changes: list[tuple[str, typed.Node]] = []
    for argument in node.arguments:
        if argument.name is None:
            raise context.fail("call.keyword", "`with` names what it changes", argument.span)
        name = argument.name.text
        if name not in parts:
            raise context.fail(
                "name.field", f"{type_} has no field `{name}`", argument.name.span,
                help=context.suggestion(name, list(parts)),
            )  # fmt: skip
        value = context.check(argument.value, parts[name])
        expect(context, value, parts[name], argument.value.span)
        changes.append((name, value))
    return typed.WithFields(type_, node.span, record, tuple(changes))


# ---- function values --------------------------------------------------------------------------


def check_lambda(context: Context, node: ast.Lambda, expected: Type | None) -> typed.Node:
    """`fn(x) => body`: parameter types are written or come from where it is passed."""
    wanted = pruned(expected) if expected is not None else None
    hints: list[Type | None] = [None] * len(node.parameters)
    if isinstance(wanted, FunctionType):
        if len(wanted.parameters) != len(node.parameters):
            raise context.fail(
                "call.count",
                f"this function takes {len(node.parameters)} parameters, {wanted} is wanted",
                node.span,
            )
        hints = list(wanted.parameters)
    outer = context.barrier
    context.barrier += 1
    try:
        with context.nested():
            symbols: list[Symbol] = []
            for parameter, hint in zip(node.parameters, hints, strict=True):
                type_ = (
                    resolve_type(context, parameter.type) if parameter.type is not None else hint
                )
                if type_ is None:
                    raise context.fail(
                        "type.parameter",
                        f"the type of `{parameter.name.text}` is not known here",
                        parameter.span,
                        help=[f"write it: `fn({parameter.name.text}: f64) => …`"],
                    )
                symbols.append(context.local(parameter.name, SymbolKind.PARAMETER, type_))
            result_hint = wanted.result if isinstance(wanted, FunctionType) else None
            body = context.check(node.body, result_hint if _is_closed(result_hint) else None)
    finally:
        context.barrier = outer
    type_ = FunctionType(tuple(symbol.type for symbol in symbols), body.type)
    return typed.FunctionValue(type_, node.span, typed.Lambda(tuple(symbols), body))


def _is_closed(type_: Type | None) -> bool:
    from dmc.semantics.generics import free_sizes

    return isinstance(type_, TensorType) and not free_sizes(type_)


def function_value(context: Context, node: ast.Expr, expected: Type | None) -> typed.Node:
    """A named function where a value is wanted; generic ones need a type from context."""
    wanted = pruned(expected) if expected is not None else None
    handle = resolve_function(context, node)
    match handle:
        case TypedHandle(callee=callee, type=type_):
            return typed.FunctionValue(type_, node.span, callee)
        case PreludeHandle(name=name):
            if not isinstance(wanted, FunctionType):
                element = TensorType(context.number(NumberKind.FLOAT))
                arity = prelude.ELEMENTWISE[name].arity
                wanted = FunctionType((element,) * arity, element)
            return typed.FunctionValue(wanted, node.span, typed.PreludeFunction(name))
        case UserHandle(declaration=declaration):
            return _user_value(context, handle, declaration, wanted, node.span)
        case DerivedHandle() | LambdaHandle():
            raise context.unsupported("passing a derivative as a value", node.span)


def _user_value(
    context: Context,
    handle: UserHandle,
    declaration: FunctionDeclaration,
    wanted: Type | None,
    span: Span,
) -> typed.Node:
    if not declaration.is_sound or declaration.result is None:
        raise Stop
    if declaration.node.mutable:
        raise context.unsupported("passing a `mut fn` as a value", span)
    if context.function is not None:
        context.function.calls.append((declaration, span))
    matcher = Matcher(context, _explicit(context, handle))
    if handle.receiver is not None and declaration.self_symbol is not None:
        matcher.match(declaration.self_symbol.type, handle.receiver.type, span)
    if isinstance(wanted, FunctionType):
        for parameter, actual in zip(declaration.parameters, wanted.parameters, strict=False):
            matcher.match(parameter.type, actual, span)
    _default_elements(context, declaration, matcher)
    _require_values(context, declaration, matcher, span)
    substitution = matcher.substitution()
    type_ = FunctionType(
        tuple(substitution.type(p.type) for p in declaration.parameters),
        substitution.type(declaration.result),
    )
    callee = typed.UserFunction(declaration, matcher.values, handle.receiver)
    return typed.FunctionValue(type_, span, callee)


# ---- brackets and keys ------------------------------------------------------------------------


def shape_items(context: Context, bracket: ast.Bracket) -> Shape:
    """Brackets that hold a shape: `zeros[B, H]`, `bernoulli[*S]`."""
    from dmc.semantics.resolver import pack_named

    axes: list[Axis] = []
    for item in bracket.items:
        match item:
            case ast.Splat(name=name):
                axes.append(pack_named(context, name))
            case ast.Binder() | ast.Slice() | ast.Ellipsis() | ast.NewAxis():
                raise context.fail("type.axis", "a shape is made of sizes", item.span)
            case _:
                axes.append(resolve_size(context, item))
    return tuple(axes)


def spend(context: Context, key: typed.Node) -> None:
    """A key passed on or drawn from: once only."""
    if not isinstance(pruned(key.type), KeyType) or not isinstance(key, typed.Local):
        return
    symbol = key.symbol
    first = context.spent.get(symbol)
    if first is None and symbol.loop_depth < context.loop_depth:
        raise context.fail(
            "key.reused",
            f"`{symbol.name}` is spent in every iteration",
            key.span,
            "every draw would be the same",
            help=[f"fold the index in: `fold({symbol.name}, i)`"],
        )
    if first is None:
        context.spent[symbol] = (key.span, context.binding)
        return
    span, name = first
    title = f"`{symbol.name}` is already spent"
    if name is not None and context.binding is not None:
        title += f", so `{context.binding}` would equal `{name}`"
    raise context.fail(
        "key.reused",
        title,
        key.span,
        "second use",
        [(span, "first use")],
        [f"`let (k1, k2) = split({symbol.name})`"],
    )
