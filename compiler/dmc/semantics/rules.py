"""`derivative` declarations: rules that replace differentiating a function's body."""

from __future__ import annotations

from collections.abc import Iterator

from dmc.semantics.agreement import expect
from dmc.semantics.context import Context, Stop
from dmc.semantics.declarations import function_scope
from dmc.semantics.program import (
    FunctionDeclaration,
    ModelBody,
    Poison,
    SourceModule,
    body_of,
)
from dmc.semantics.statements import bind_pattern
from dmc.semantics.typed import DerivativeRule, SymbolKind
from dmc.semantics.types import (
    FunctionType,
    RecordDeclaration,
    TupleType,
    Type,
    gradient_type,
    has_gradient,
)
from dmc.syntax import ast
from dmc_runtime.spelling import did_you_mean

__all__ = ["check_rules"]


def check_rules(
    context: Context, node: ast.DerivativeDecl
) -> Iterator[tuple[FunctionDeclaration, DerivativeRule]]:
    """Check a declaration, attach its rules to the function and give both.

    Reports what is wrong.
    """
    try:
        function, model = _function(context, node)
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
            checked = function.rules[name] = _rule(context, node, function, model, rule)
            yield function, checked
        except Stop:
            pass


def _function(
    context: Context, node: ast.DerivativeDecl
) -> tuple[FunctionDeclaration, ModelBody | None]:
    """The function, or the function of a model, of this module or of an imported one."""
    first, *others = node.function.parts
    entity = context.module.names.get(first.text)
    if entity is None:
        raise context.unknown(first.text, first.span)
    model: ModelBody | None = None
    for part in others:
        match entity:
            case SourceModule():
                found = entity.names.get(part.text)
                if found is None:
                    raise context.unknown_member(entity, part)
            case RecordDeclaration(is_model=True):
                model = body_of(entity)
                methods = model.methods if model is not None else {}
                found = methods.get(part.text)
                if found is None:
                    title = f"`{entity.name}` has no function `{part.text}`"
                    help_ = did_you_mean(part.text, methods)
                    raise context.fail("name.field", title, part.span, help=help_)
            case _:
                found = None
        entity = found
    if isinstance(entity, Poison):
        raise Stop
    name, span = node.function.text, node.function.span
    if not isinstance(entity, FunctionDeclaration):
        raise context.fail("grad.rule", f"`{name}` is not a function", span)
    if entity.rules:
        raise context.fail("name.duplicate", f"`{name}` has a `derivative` already", span)
    if not entity.is_sound:
        raise Stop
    return entity, model


def _check_interface(
    context: Context, node: ast.DerivativeDecl, function: FunctionDeclaration
) -> None:
    wanted = len(_parts(function))
    if len(node.inputs) != wanted:
        many = f"{wanted} parameter{'' if wanted == 1 else 's'}"
        with_model = ", the model counted first" if function.self_symbol is not None else ""
        raise context.fail(
            "grad.rule",
            f"`{function.name}` has {many}{with_model}",
            node.function.span,
            f"{len(node.inputs)} {'is' if len(node.inputs) == 1 else 'are'} named",
            [(function.span, "declared here")],
            [f"`derivative {context.quote(node.function)}({', '.join(_names(function))}) -> y {{`"],
        )


def _names(function: FunctionDeclaration) -> list[str]:
    """What the inputs of a rule may be called."""
    model = ["model"] if function.self_symbol is not None else []
    return [*model, *(parameter.name for parameter in function.parameters)]


def _parts(function: FunctionDeclaration) -> list[Type]:
    """The types of the inputs: of a method, the model first."""
    receiver = [function.self_symbol.type] if function.self_symbol is not None else []
    return [*receiver, *(parameter.type for parameter in function.parameters)]


def _tangents(function: FunctionDeclaration) -> list[Type]:
    """The types of the tangents, one for each input that carries derivatives.

    That of a function is a function: of the same arguments, it gives how the result changes with
    what the function has captured.
    """
    found: list[Type] = []
    for part in _parts(function):
        match part:
            case FunctionType(parameters, result) if has_gradient(result):
                found.append(FunctionType(parameters, gradient_type(result)))
            case _ if has_gradient(part):
                found.append(gradient_type(part))
            case _:
                pass
    return found


def _rule(
    context: Context,
    node: ast.DerivativeDecl,
    function: FunctionDeclaration,
    model: ModelBody | None,
    rule: ast.Rule,
) -> DerivativeRule:
    function_scope(context, function, model)
    for symbol in function.symbols:
        context.scope.names.pop(symbol.name, None)
    context.function = function
    inputs = tuple(
        context.local(name, SymbolKind.PARAMETER, type_)
        for name, type_ in zip(node.inputs, _parts(function), strict=True)
    )
    output = bind_pattern(context, node.output, function.gives, SymbolKind.LET, node.output.span)
    sides, gives = _tangents(function), gradient_type(function.gives)
    is_jvp = rule.name.text == "jvp"
    if not is_jvp and any(isinstance(side, FunctionType) for side in sides):
        raise context.fail(
            "grad.rule",
            f"`{function.name}` takes a function, to which no cotangent can be given",
            rule.span,
            help=["give a `jvp`: reverse mode is its transpose"],
        )
    wanted = sides if is_jvp else [gives]
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
    result = gives if is_jvp else sides[0] if len(sides) == 1 else TupleType(tuple(sides))
    own, function.uses = function.uses, function.rule_uses
    try:
        body = context.check(rule.body, result)
        expect(context, body, result, rule.body.span, f"the value of `{rule.name.text}`")
    finally:
        function.uses = own
        context.settle()
    return DerivativeRule(inputs, output, vectors, body, result, node.unchecked)
