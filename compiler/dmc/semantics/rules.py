"""`derivative` declarations: rules that replace differentiating a function's body."""

from __future__ import annotations

from dmc.semantics.agreement import expect
from dmc.semantics.context import Context, Stop
from dmc.semantics.declarations import function_scope
from dmc.semantics.program import FunctionDeclaration
from dmc.semantics.statements import bind_pattern
from dmc.semantics.typed import DerivativeRule, SymbolKind
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
    return DerivativeRule(inputs, output, vectors, body, result)
