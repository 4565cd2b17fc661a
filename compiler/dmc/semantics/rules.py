"""`derivative` declarations: rules that replace differentiating a function's body."""

from __future__ import annotations

import enum

from dmc.semantics import typed
from dmc.semantics.agreement import expect
from dmc.semantics.builtins.elementwise import (
    ADD,
    DIVIDE,
    MULTIPLY,
    NEGATE,
    SUBTRACT,
    Elementwise,
)
from dmc.semantics.context import Context, Stop
from dmc.semantics.declarations import function_scope
from dmc.semantics.program import FunctionDeclaration
from dmc.semantics.statements import bind_pattern
from dmc.semantics.typed import DerivativeRule, Symbol, SymbolKind
from dmc.semantics.types import (
    FunctionType,
    TupleType,
    Type,
    gradient_type,
    has_gradient,
)
from dmc.syntax import ast

__all__ = ["check_rules"]


def check_rules(context: Context, node: ast.DerivativeDecl) -> None:
    """Check a declaration and attach its rules to the function. Reports what is wrong."""
    try:
        function = _function(context, node)
        _check_interface(context, node, function)
    except Stop:
        return
    seen: set[str] = set()
    for rule in node.rules:
        name = rule.name.text
        try:
            if name not in ("jvp", "vjp"):
                raise context.fail(
                    "grad.rule",
                    f"`{name}` is not a rule",
                    rule.name.span,
                    help=["a rule is `jvp` or `vjp`"],
                )
            if name in seen:
                raise context.fail("name.duplicate", f"`{name}` is given twice", rule.name.span)
            seen.add(name)
            function.rules[name] = _rule(context, node, function, rule)
        except Stop:
            pass


def _function(context: Context, node: ast.DerivativeDecl) -> FunctionDeclaration:
    span = node.function.span
    if len(node.function.parts) > 1:
        raise context.unsupported("a `derivative` of a model's or another module's function", span)
    name = node.function.text
    entity = context.module.names.get(name)
    if entity is None:
        raise context.unknown(name, span)
    if not isinstance(entity, FunctionDeclaration) or entity.module is not context.module:
        raise context.fail("grad.rule", f"`{name}` is not a function of this file", span)
    if entity.rules:
        raise context.fail("name.duplicate", f"`{name}` has a `derivative` already", span)
    if not entity.is_sound:
        raise Stop
    return entity


def _check_interface(
    context: Context, node: ast.DerivativeDecl, function: FunctionDeclaration
) -> None:
    if len(node.inputs) != len(function.parameters):
        raise context.fail(
            "grad.rule",
            f"`{function.name}` has {len(function.parameters)} parameters",
            node.function.span,
            f"{len(node.inputs)} are named",
            [(function.span, "declared here")],
        )
    for parameter in function.parameters:
        if isinstance(parameter.type, FunctionType):
            raise context.unsupported(
                "a `derivative` of a function that takes functions", node.function.span
            )


def _trained(function: FunctionDeclaration) -> list[Type]:
    return [gradient_type(p.type) for p in function.parameters if has_gradient(p.type)]


def _rule(
    context: Context, node: ast.DerivativeDecl, function: FunctionDeclaration, rule: ast.Rule
) -> DerivativeRule:
    assert function.result is not None
    function_scope(context, function, None)
    for symbol in function.symbols:
        context.scope.names.pop(symbol.name, None)
    context.function = function
    inputs = tuple(
        context.local(name, SymbolKind.PARAMETER, parameter.type)
        for name, parameter in zip(node.inputs, function.parameters, strict=True)
    )
    output = bind_pattern(context, node.output, function.result, SymbolKind.LET, node.output.span)
    sides = _trained(function)
    is_jvp = rule.name.text == "jvp"
    wanted = sides if is_jvp else [gradient_type(function.result)]
    if len(rule.parameters) != len(wanted):
        what = "one tangent for each input that carries derivatives" if is_jvp else "one cotangent"
        raise context.fail(
            "grad.rule",
            f"`{rule.name.text}` takes {what}",
            rule.span,
            f"that is {len(wanted)} here",
        )
    vectors = tuple(
        context.local(name, SymbolKind.PARAMETER, type_)
        for name, type_ in zip(rule.parameters, wanted, strict=True)
    )
    result = gradient_type(function.result)
    if not is_jvp:
        result = sides[0] if len(sides) == 1 else TupleType(tuple(sides))
    try:
        body = context.check(rule.body, result)
        expect(context, body, result, rule.body.span, f"the value of `{rule.name.text}`")
    finally:
        context.settle()
    _check_linear(context, rule, body, vectors)
    return DerivativeRule(inputs, output, vectors, body, result)


# ---- linearity --------------------------------------------------------------------------------


class _Degree(enum.Enum):
    """How a value depends on the vectors of a rule."""

    CONSTANT = 0
    LINEAR = 1
    OTHER = 2


_LINEAR = (ADD, SUBTRACT, NEGATE)


def _check_linear(
    context: Context, rule: ast.Rule, body: typed.Node, vectors: tuple[Symbol, ...]
) -> None:
    """Refuse a rule that is plainly not linear in its vectors."""
    names = dict.fromkeys(vectors, _Degree.LINEAR)
    culprit = _find(body, names)
    if culprit is not None:
        raise context.fail(
            "grad.linear",
            f"`{rule.name.text}` is not linear in its vectors",
            culprit.span,
            "vectors are added, and multiplied by what does not depend on them",
        )


def _find(body: typed.Node, names: dict[Symbol, _Degree]) -> typed.Node | None:
    culprits: list[typed.Node] = []

    def degree(node: typed.Node | None) -> _Degree:
        match node:
            case None:
                return _Degree.CONSTANT
            case typed.Local(symbol=symbol):
                return names.get(symbol, _Degree.CONSTANT)
            case typed.Block(statements=statements, value=value):
                for statement in statements:
                    degree(statement)
                return degree(value)
            case typed.Bind(pattern=Symbol() as symbol, value=value):
                names[symbol] = degree(value)
                return _Degree.CONSTANT
            case typed.Apply(function=function, operands=operands):
                return arithmetic(node, function, [degree(o) for o in operands])
            case typed.MakeTuple(items=items) | typed.MakeArray(items=items):
                found = [degree(item) for item in items]
                return max(found, key=lambda d: d.value, default=_Degree.CONSTANT)
            case _:
                return _Degree.CONSTANT

    def arithmetic(node: typed.Node, function: Elementwise, found: list[_Degree]) -> _Degree:
        linear = [d for d in found if d is _Degree.LINEAR]
        if not linear:
            return _Degree.CONSTANT
        if function in _LINEAR or (function is MULTIPLY and len(linear) == 1):
            return _Degree.LINEAR
        if function is DIVIDE and found[1] is _Degree.CONSTANT:
            return _Degree.LINEAR
        culprits.append(node)
        return _Degree.OTHER

    degree(body)
    return culprits[0] if culprits else None
