"""Checking one file: declarations, then every body, collecting independent errors."""

from __future__ import annotations

from dmc.diagnostics.report import Diagnostics
from dmc.semantics.agreement import expect
from dmc.semantics.builders import check_bounds
from dmc.semantics.builtins.prelude import PRELUDE
from dmc.semantics.context import Context, Scope, Stop
from dmc.semantics.declarations import (
    collect,
    function_scope,
    model_scope,
    resolve_records,
    resolve_signatures,
)
from dmc.semantics.expressions import check_expression
from dmc.semantics.keys import check_keys
from dmc.semantics.program import (
    FunctionDeclaration,
    Initializer,
    ModelBody,
    SourceModule,
)
from dmc.semantics.recursion import refuse_recursion
from dmc.semantics.requirements import assume
from dmc.semantics.rules import check_rules
from dmc.semantics.sizes import Facts
from dmc.semantics.typed import Node, Symbol, SymbolKind
from dmc.semantics.types import (
    KeyType,
    RecordType,
    Role,
    StackType,
    pruned,
)
from dmc.semantics.zero import DerivativeRequest, check_zero
from dmc.syntax import ast
from dmc_runtime.spelling import did_you_mean

__all__ = ["check_module"]


def check_module(module: SourceModule, diagnostics: Diagnostics) -> None:
    """Check a parsed file whose imports are already in `module.names`."""

    requests: list[DerivativeRequest] = []

    def fresh() -> Context:
        return Context(
            module,
            diagnostics,
            check_expression,
            PRELUDE,
            Facts(),
            Scope(),
            requests=requests,
        )

    collect(fresh())
    resolve_records(fresh())
    resolve_signatures(fresh())
    for function in module.functions.values():
        _check_function(fresh(), function, None)
    for model in module.models.values():
        if not model.is_sound:
            continue
        _check_initializers(fresh(), model)
        for method in model.methods.values():
            _check_function(fresh(), method, model)
    ruled = [
        (function, rule)
        for node in module.file.declarations
        if isinstance(node, ast.DerivativeDecl)
        for function, rule in check_rules(fresh(), node)
    ]
    methods = [each for model in module.models.values() for each in model.methods.values()]
    functions = [*module.functions.values(), *methods, *(function for function, _ in ruled)]
    refuse_recursion(functions, diagnostics)
    check_keys(module, [rule for _, rule in ruled], diagnostics)
    for request in requests:
        check_zero(request, diagnostics)


def _check_function(
    context: Context, function: FunctionDeclaration, model: ModelBody | None
) -> None:
    if not function.is_sound or function.result is None:
        return
    function_scope(context, function, model)
    context.function, context.model = function, model
    context.self_symbol = function.self_symbol
    defaults: list[Node | None] = []
    failed = False
    for entry, parameter in zip(function.node.parameters, function.parameters, strict=True):
        try:
            value = None
            if entry.default is not None:
                value = context.check(entry.default, parameter.type)
                expect(context, value, parameter.type, entry.default.span)
            defaults.append(value)
        except Stop:
            failed = True
    before = len(context.diagnostics.found)
    try:
        body = context.check(function.node.body, function.result)
        check_bounds(context)
        if len(context.diagnostics.found) == before:
            expect(context, body, function.result, function.node.body.span)
    except Stop:
        return
    finally:
        context.settle()
    if not failed and len(context.diagnostics.found) == before:
        function.defaults, function.body = tuple(defaults), body


# ---- models -----------------------------------------------------------------------------------


def _check_initializers(context: Context, model: ModelBody) -> None:
    record = model.declaration
    context.scope = Scope(model_scope(context, model))
    context.facts = assume(Facts(), record.requirements)
    context.model = model
    model.facts = context.facts
    for entry, parameter in zip(record.fields, model.node.parameters, strict=False):
        symbol = Symbol(entry.name, SymbolKind.PARAMETER, entry.type, entry.span)
        model.hypers[entry.name] = symbol
        if parameter.default is None:
            continue
        try:
            value = context.check(parameter.default, entry.type)
            expect(context, value, entry.type, parameter.default.span)
            model.defaults[entry.name] = value
        except Stop:
            pass
    key = Symbol("key", SymbolKind.KEY, KeyType(), record.span)
    model.key = key
    initializers: list[Initializer] = []
    for member in model.node.members:
        entry = record.field(member.name.text)
        if entry is None or isinstance(member, ast.FnDecl | ast.DimDecl):
            continue
        try:
            if isinstance(member, ast.SubMember):
                initializers.append(_sub_model(context, member, entry.type, model))
            else:
                context.scope.names["key"] = key
                value = context.check(member.value, entry.type)
                expect(context, value, entry.type, member.value.span)
                initializers.append(Initializer(entry, value))
        except Stop:
            pass
        finally:
            context.scope.names.pop("key", None)
    context.settle()
    check_bounds(context)
    model.initializers = tuple(initializers)


def _sub_model(
    context: Context, member: ast.SubMember, type_: object, model: ModelBody
) -> Initializer:
    entry = model.declaration.field(member.name.text)
    assert entry is not None
    inner = pruned(entry.type)
    while isinstance(inner, StackType):
        inner = inner.item
    assert isinstance(inner, RecordType)
    hypers = [f for f in inner.declaration.fields if f.role is Role.HYPER]
    substitution = inner.generics()
    arguments: dict[str, Node] = {}
    for position, argument in enumerate(member.arguments):
        name = argument.name.text if argument.name is not None else None
        if name is None:
            if position >= len(hypers):
                raise context.fail(
                    "call.count",
                    f"`{inner.declaration.name}` has {len(hypers)} hyperparameters",
                    argument.span,
                )
            name = hypers[position].name
        hyper = next((f for f in hypers if f.name == name), None)
        if hyper is None:
            raise context.fail(
                "call.keyword",
                f"`{inner.declaration.name}` has no hyperparameter `{name}`",
                argument.span,
                help=did_you_mean(name, [f.name for f in hypers]),
            )
        wanted = substitution.type(hyper.type)
        value = context.check(argument.value, wanted)
        expect(context, value, wanted, argument.value.span)
        arguments[name] = value
    for hyper in hypers:
        if hyper.name not in arguments and not hyper.has_default:
            raise context.fail(
                "call.missing",
                f"`{inner.declaration.name}` needs `{hyper.name}`",
                member.span,
                "",
                [(hyper.span, "declared here, without a default")],
            )
    return Initializer(entry, None, arguments)
