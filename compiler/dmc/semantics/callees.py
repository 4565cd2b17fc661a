"""Which function an expression denotes; functions as values."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import add, mul, sub

from dmc.diagnostics.errors import CompilerBug
from dmc.ir.location import Span
from dmc.semantics import typed
from dmc.semantics.builtins.called import ArrayFunction
from dmc.semantics.builtins.derivatives import DerivativeOperator
from dmc.semantics.builtins.elementwise import Elementwise
from dmc.semantics.context import Context, Stop
from dmc.semantics.generics import (
    default_elements,
    explicit_generics,
    free_sizes,
    require_values,
)
from dmc.semantics.handles import (
    DerivedHandle,
    Handle,
    LambdaHandle,
    PreludeHandle,
    TypedHandle,
    UserHandle,
    argument_count,
)
from dmc.semantics.members import no_fields, of_package
from dmc.semantics.primitive import Constant, Fill, Primitive
from dmc.semantics.program import (
    FieldEntity,
    FunctionDeclaration,
    Poison,
    SourceModule,
    Use,
    body_of,
)
from dmc.semantics.resolver import (
    DTYPES,
    resolve_type,
    try_size,
)
from dmc.semantics.solver import Solver
from dmc.semantics.state import updated_place
from dmc.semantics.typed import Symbol, SymbolKind
from dmc.semantics.types import (
    FunctionType,
    NumberKind,
    RecordType,
    TensorType,
    TupleType,
    Type,
    children,
    pruned,
)
from dmc.syntax import ast
from dmc_runtime.budget import NO_BUDGET, Budget, Keep
from dmc_runtime.spelling import did_you_mean

__all__ = [
    "check_lambda", "derived_value", "function_value", "method_value", "model_as_function",
    "resolve_function",
]  # fmt: skip


# ---- which function ----------------------------------------------------------------------------


def resolve_function(
    context: Context,
    node: ast.Expr,
    expected: FunctionType | None = None,
    arguments: Sequence[ast.Argument] = (),
) -> Handle:
    """The function that an expression denotes; `arguments` are those of its call, for messages.

    Raises Stop when it does not denote one.
    """
    base, bracket = (node.base, node.bracket) if isinstance(node, ast.Index) else (node, None)
    if bracket is not None and isinstance(base, ast.Call | ast.Lambda):
        raise context.fail(
            "type.call", "only a function by its name takes brackets", bracket.span,
            help=["those of a derivative stand behind the function: `grad(f[3])(x)`"],
        )  # fmt: skip
    match base:
        case ast.Name(text=text):
            entity = context.lookup(text)
            if isinstance(entity, FunctionDeclaration):
                return UserHandle(entity, bracket, _own_receiver(context, entity, node), node.span)
            if isinstance(entity, Poison):
                raise Stop
            if isinstance(entity, FieldEntity | Symbol):
                _refuse_hidden(context, text, entity, node)
            known = context.prelude.get(text) if entity is None else None
            if isinstance(known, Elementwise) and bracket is None:
                return PreludeHandle(known, node.span)
            if known is not None:
                raise _not_a_function_value(context, known, node)
            if entity is None and text not in DTYPES:
                raise context.unknown(text, base.span, arguments)
        case ast.Member(base=inner, name=name):
            module = context.lookup(inner.text) if isinstance(inner, ast.Name) else None
            if isinstance(module, SourceModule):
                entity = module.names.get(name.text)
                if isinstance(entity, FunctionDeclaration):
                    return UserHandle(entity, bracket, None, node.span)
            else:
                if module is None and isinstance(inner, ast.Name):
                    refusal = of_package(context, inner, name, arguments)
                    if refusal is not None:
                        raise refusal
                found = _method(context, base, bracket, arguments, node.span)
                if found is not None:
                    return found
        case ast.Call(function=ast.Name(text=text)) if context.lookup(text) is None:
            known = context.prelude.get(text)
            if isinstance(known, DerivativeOperator):
                return derived_handle(context, known.operator, base)
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


def _refuse_hidden(
    context: Context, name: str, entity: FieldEntity | Symbol, node: ast.Expr
) -> None:
    """Report a call of a value whose name hides the function of the prelude that was meant."""
    type_ = pruned(entity.declaration.type if isinstance(entity, FieldEntity) else entity.type)
    if context.is_prelude_function(name) and isinstance(type_, TensorType | TupleType):
        what = "field" if isinstance(entity, FieldEntity) else "value"
        raise context.fail(
            "type.call",
            f"the {what} `{name}` hides the function `{name}`",
            node.span,
            f"{type_} cannot be called",
            [(entity.span, "declared here")],
            [f"give the {what} another name, such as `{name}_`"],
        )


def _not_a_function_value(context: Context, known: Primitive, node: ast.Expr) -> Stop:
    quoted = context.quote(node)
    match known:
        case Constant():
            return context.fail("type.call", f"`{known}` is a number, not a function", node.span)
        case Fill():
            return context.fail(
                "type.call", f"`{known}` is a value, not a function", node.span,
                help=[f"its shape stands in brackets, `{known}[3]`, or is known: `{known}`"],
            )  # fmt: skip
        case ArrayFunction(arity=0):
            help_ = f"call it: `{quoted}()`"
        case _:
            help_ = f"wrap it in a function: `fn(x) => {quoted}(x)`"
    title = f"`{known}` is called at once; it is not a value"
    return context.fail("type.call", title, node.span, help=[help_])


def _handle_of_value(context: Context, node: ast.Expr) -> Handle:
    value = context.check(node)
    type_ = pruned(value.type)
    if isinstance(type_, FunctionType):
        if isinstance(value, typed.FunctionValue):
            return TypedHandle(value.callee, type_, (), node.span)
        if isinstance(value, typed.Local):
            return TypedHandle(typed.LocalFunction(value.symbol), type_, (), node.span)
    if isinstance(type_, RecordType) and type_.declaration.is_model:
        return _forward(context, value, type_)
    raise context.fail("type.call", f"{type_} cannot be called", node.span, str(type_))


def _forward(context: Context, model: typed.Node, type_: RecordType) -> UserHandle:
    forward = _find_method(type_, "forward")
    if forward is None:
        raise context.fail("type.call", f"`{type_.declaration.name}` has no `forward`", model.span)
    return UserHandle(forward, None, model, model.span)


def _own_receiver(
    context: Context, declaration: FunctionDeclaration, node: ast.Expr
) -> typed.Node | None:
    if declaration.owner is None:
        return None
    if context.self_symbol is None:
        raise context.fail("name.field", f"`{declaration.name}` is not known here", node.span)
    return typed.Local(context.self_symbol.type, node.span, context.self_symbol)


def _method(
    context: Context,
    node: ast.Member,
    bracket: ast.Bracket | None,
    arguments: Sequence[ast.Argument],
    span: Span,
) -> Handle | None:
    receiver, name = context.check(node.base), node.name
    type_ = pruned(receiver.type)
    if isinstance(type_, TensorType) and name.text != "T":
        raise no_fields(context, receiver, name, arguments)
    if not isinstance(type_, RecordType):
        return None
    method = _find_method(type_, name.text)
    if method is None:
        if name.text not in {part for part, _, _ in children(type_)}:
            known = [part for part, _, _ in children(type_)]
            raise context.fail(
                "name.field",
                f"{type_} has no field or function `{name.text}`",
                name.span,
                "",
                [(receiver.span, str(type_))],
                did_you_mean(name.text, known),
            )
        return None
    return UserHandle(method, bracket, receiver, span)


def _find_method(type_: RecordType, name: str) -> FunctionDeclaration | None:
    model = body_of(type_.declaration)
    return model.methods.get(name) if model is not None else None


# ---- lambdas -----------------------------------------------------------------------------------


def check_lambda(context: Context, node: ast.Lambda, expected: Type | None) -> typed.Node:
    """`fn(x) => body`: parameter types are written or come from where it is passed."""
    wanted = pruned(expected) if expected is not None else None
    hints: list[Type | None] = [None] * len(node.parameters)
    if isinstance(wanted, FunctionType):
        if len(wanted.parameters) != len(node.parameters):
            raise _other_count(context, node, len(wanted.parameters))
        hints = list(wanted.parameters)
    with context.nested():
        symbols: list[Symbol] = []
        for parameter, hint in zip(node.parameters, hints, strict=True):
            type_ = resolve_type(context, parameter.type) if parameter.type is not None else hint
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
    type_ = FunctionType(tuple(symbol.type for symbol in symbols), body.type)
    return typed.FunctionValue(type_, node.span, typed.Lambda(tuple(symbols), body))


def _other_count(context: Context, node: ast.Lambda, wanted: int) -> Stop:
    """The error for a function value that is given more or fewer arguments than it takes."""
    names = [context.quote(parameter.span) for parameter in node.parameters]
    fresh = [letter for letter in "abcdefgh" if letter not in names]
    more = [*names, *fresh[: max(wanted - len(names), 0)]]
    return context.fail(
        "call.count",
        f"this function takes {argument_count(len(names))}, and is given {wanted}",
        node.span,
        help=[f"`fn({', '.join(more)}) => {context.quote(node.body)}`"] if more != names else (),
    )


def _is_closed(type_: Type | None) -> bool:
    return isinstance(type_, TensorType) and not free_sizes(type_)


# ---- values ------------------------------------------------------------------------------------


def function_value(context: Context, node: ast.Expr, expected: Type | None) -> typed.Node:
    """A named function where a value is wanted; generic ones need a type from context."""
    wanted = pruned(expected) if expected is not None else None
    handle = resolve_function(context, node)
    match handle:
        case TypedHandle(callee=callee, type=type_):
            return typed.FunctionValue(type_, node.span, callee)
        case PreludeHandle(function=function):
            if not isinstance(wanted, FunctionType):
                element = TensorType(context.number(NumberKind.FLOAT))
                wanted = FunctionType((element,) * function.arity, element)
            return typed.FunctionValue(wanted, node.span, typed.PreludeFunction(function))
        case UserHandle(declaration=declaration):
            return _user_value(context, handle, declaration, wanted, node.span)
        case DerivedHandle() | LambdaHandle():
            raise CompilerBug("these are calls, which are no names")


def model_as_function(context: Context, value: typed.Node, wanted: FunctionType) -> typed.Node:
    """A model where a function is wanted is its `forward`; anything else is as it was."""
    type_ = pruned(value.type)
    if not isinstance(type_, RecordType) or not type_.declaration.is_model:
        return value
    handle = _forward(context, value, type_)
    return _user_value(context, handle, handle.declaration, wanted, value.span)


def method_value(
    context: Context, receiver: typed.Node, node: ast.Member, expected: Type | None
) -> typed.Node | None:
    """`net.encode` as a value: a function of a model; None if there is none of this name."""
    type_ = pruned(receiver.type)
    method = _find_method(type_, node.name.text) if isinstance(type_, RecordType) else None
    if method is None:
        return None
    wanted = pruned(expected) if expected is not None else None
    handle = UserHandle(method, None, receiver, node.span)
    return _user_value(context, handle, method, wanted, node.span)


def _user_value(
    context: Context,
    handle: UserHandle,
    declaration: FunctionDeclaration,
    wanted: Type | None,
    span: Span,
) -> typed.Node:
    if not declaration.is_sound or declaration.result is None:
        raise Stop
    if context.function is not None:
        context.function.uses.append(Use(declaration, as_value=True))
    solver = Solver(context.facts, explicit_generics(context, handle))
    if handle.receiver is not None and declaration.self_symbol is not None:
        solver.match(declaration.self_symbol.type, handle.receiver.type, span)
    if isinstance(wanted, FunctionType):
        for parameter, actual in zip(declaration.parameters, wanted.parameters, strict=False):
            solver.match(parameter.type, actual, span)
    default_elements(context, declaration, solver)
    require_values(context, declaration, solver, span)
    substitution = solver.substitution()
    type_ = FunctionType(
        tuple(substitution.type(p.type) for p in declaration.parameters),
        substitution.type(declaration.result),
    )
    callee: typed.Callee = typed.UserFunction(declaration, solver.values, handle.receiver)
    if declaration.is_mutable and handle.receiver is not None:
        callee = _calling(context, declaration, callee, handle.receiver, type_, span)
    return typed.FunctionValue(type_, span, callee)


def _calling(
    context: Context,
    declaration: FunctionDeclaration,
    callee: typed.UserFunction,
    receiver: typed.Node,
    type_: FunctionType,
    span: Span,
) -> typed.Lambda:
    """A `mut fn` as a value: the function that calls it, and so changes what it belongs to."""
    symbols = tuple(
        Symbol(parameter.name, SymbolKind.PARAMETER, taken, span)
        for parameter, taken in zip(declaration.parameters, type_.parameters, strict=True)
    )
    arguments = tuple(typed.Local(symbol.type, span, symbol) for symbol in symbols)
    updates = updated_place(context, declaration, receiver, span)
    return typed.Lambda(symbols, typed.Call(type_.result, span, callee, arguments, updates))


# ---- operators ---------------------------------------------------------------------------------


def derived_handle(context: Context, operator: typed.Operator, node: ast.Call) -> DerivedHandle:
    """`grad(f, wrt = w)`: the operator with its function, before the arguments are known."""
    function: ast.Expr | None = None
    wrt: ast.Expr | None = None
    along: ast.Expr | None = None
    budget, keep = NO_BUDGET, Keep.WHOLE
    sparse = False
    for argument in node.arguments:
        name = argument.name.text if argument.name is not None else None
        match name:
            case None if function is None:
                function = argument.value
            case "wrt":
                wrt = argument.value
            case "along" if operator in (typed.Operator.JVP, typed.Operator.HVP):
                along = argument.value
            case "sparse" if operator in (typed.Operator.JACOBIAN, typed.Operator.HESSIAN):
                sparse = _flag(context, argument.value)
            case "budget" if operator in _REVERSE:
                budget = Budget(_budget(context, argument.value))
            case "keep" if operator in _REVERSE:
                keep = _keep(context, argument)
            case "budget" | "keep":
                raise context.fail(
                    "grad.budget",
                    f"`{operator.value}` keeps nothing for a reverse pass, so it takes no `{name}`",
                    argument.span,
                    help=["`grad`, `value_and_grad` and `vjp` take one"],
                )
            case _:
                raise context.fail(
                    "call.keyword",
                    f"`{operator.value}` does not take this argument",
                    argument.span,
                    help=[f"as in `{operator.value}(f, wrt = w)(…)`"],
                )
    if isinstance(function, ast.Call) and not _is_derivative(context, function):
        rest = "".join(f", {context.quote(a)}" for a in node.arguments if a.name is not None)
        inside = ", ".join(context.quote(argument) for argument in function.arguments)
        raise context.fail(
            "grad.uncalled",
            f"`{operator.value}` takes a function, and this is its value",
            function.span,
            help=[f"`{operator.value}({context.quote(function.function)}{rest})({inside})`"],
        )
    if function is None:
        raise context.fail("call.missing", f"`{operator.value}` needs a function", node.span)
    if along is None and operator in (typed.Operator.JVP, typed.Operator.HVP):
        raise context.fail(
            "call.missing", f"`{operator.value}` needs a direction", node.span,
            help=[f"`{operator.value}(f, along = dx)(x)`"],
        )  # fmt: skip
    if keep is not Keep.WHOLE and not budget.bytes:
        raise context.fail(
            "grad.budget",
            "`keep` says how values are kept under a budget, and there is none",
            node.span,
            help=[f"as in `budget = 256 * MiB, keep = {keep.value}`"],
        )
    inner = resolve_function(context, function)
    keeping = replace(budget, keep=keep)
    return DerivedHandle(operator, inner, wrt, along, node.span, keeping, sparse)


_REVERSE = (typed.Operator.GRAD, typed.Operator.VALUE_AND_GRAD, typed.Operator.VJP)


def _keep(context: Context, argument: ast.Argument) -> Keep:
    """How values are kept, by the name of an element type."""
    match argument.value:
        case ast.Name(text=text) if text in (Keep.BF16, Keep.I8):
            return Keep(text)
        case node:
            raise context.fail(
                "grad.budget",
                f"values are not kept as `{context.quote(node)}`",
                node.span,
                help=["as in `keep = bf16`; there are bf16 and i8"],
            )


def _flag(context: Context, node: ast.Expr) -> bool:
    """`true` or `false`, as written."""
    if not isinstance(node, ast.BoolLit):
        raise context.fail(
            "call.keyword", "this is `true` or `false`, as the type of the result depends on it",
            node.span, help=["write `sparse = true`"],
        )  # fmt: skip
    return node.value


def _budget(context: Context, node: ast.Expr) -> int:
    """The bytes of a budget, which is a number known at compile time."""
    amount = _amount(context, node)
    if amount is None or not 1 <= amount < math.inf:
        problem = "is not a number of bytes known at compile time"
        if amount is not None:
            problem = "is no budget: it is at least one byte"
        raise context.fail(
            "grad.budget",
            f"`{context.quote(node)}` {problem}",
            node.span,
            help=["as in `budget = 256 * MiB`; there are KiB, MiB and GiB"],
        )
    return int(min(amount, 2**62))


_AMOUNTS: dict[ast.BinaryOp, Callable[[float, float], float]] = {
    ast.BinaryOp.ADD: add,
    ast.BinaryOp.SUBTRACT: sub,
    ast.BinaryOp.MULTIPLY: mul,
}


def _amount(context: Context, node: ast.Expr) -> float | None:
    match node:
        case ast.IntLit(value=value) | ast.FloatLit(value=value):
            return value
        case ast.Unary(op=ast.UnaryOp.NEGATE, operand=operand):
            inner = _amount(context, operand)
            return None if inner is None else -inner
        case ast.Binary():
            first, operations = ast.chain(node)
            total = _amount(context, first)
            for each in operations:
                right, combine = _amount(context, each.right), _AMOUNTS.get(each.op)
                if total is None or right is None or combine is None:
                    return None
                total = combine(total, right)
            return total
        case ast.Name(text=text) if context.lookup(text) is None:
            named = context.prelude.get(text)
            return named.value if isinstance(named, Constant) else None
        case _:
            size = try_size(context, node)
            return None if size is None else size.constant


def _is_derivative(context: Context, node: ast.Call) -> bool:
    """Whether a call gives a function, as those of derivative operators do."""
    if not isinstance(node.function, ast.Name) or context.lookup(node.function.text) is not None:
        return False
    return isinstance(context.prelude.get(node.function.text), DerivativeOperator)


def derived_value(context: Context, node: ast.Call, expected: Type | None) -> typed.Node:
    """`grad(f)` without arguments: a function value, when context says what it takes."""
    if not isinstance(node.function, ast.Name):
        operator = context.quote(node.function).partition("[")[0]
        raise context.fail(
            "type.call", f"`{operator}` has no brackets", node.function.span,
            help=[f"name what to differentiate in: `{operator}(f, wrt = w)(w)`"],
        )  # fmt: skip
    wanted = pruned(expected) if expected is not None else None
    if not isinstance(wanted, FunctionType):
        operator = context.prelude[node.function.text]
        assert isinstance(operator, DerivativeOperator)
        derived_handle(context, operator.operator, node)  # which says what is wrong with it
        raise context.fail(
            "grad.uncalled",
            f"`{node.function.text}` gives a function, which is called at once",
            node.span,
            help=[f"`{context.quote(node)}(…)`, or wrap it: `fn(x) => {context.quote(node)}(x)`"],
        )
    # Passed on, it is the function of its arguments that calls it: `fn(x) => grad(f)(x)`.
    span, names = node.span, [f"argument_{i}" for i in range(1, len(wanted.parameters) + 1)]
    parameters = tuple(ast.LambdaParam(span, ast.Identifier(span, name), None) for name in names)
    arguments = tuple(ast.Argument(span, None, ast.Name(span, name)) for name in names)
    body = ast.Call(span, node, arguments)
    return check_lambda(context, ast.Lambda(span, parameters, body), wanted)
