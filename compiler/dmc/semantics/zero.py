"""Derivatives that are zero everywhere: does a parameter reach the result smoothly at all?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dmc.diagnostics.report import Diagnostics
from dmc.ir.location import Span
from dmc.ir.types import DType
from dmc.semantics import typed
from dmc.semantics.builtins.elementwise import EQUAL
from dmc.semantics.builtins.reduction import ARGMAX
from dmc.semantics.typed import DeclaredFunction, Symbol
from dmc.semantics.types import TensorType, pruned, resolved

__all__ = ["DerivativeRequest", "check_zero"]


@dataclass(frozen=True, slots=True)
class DerivativeRequest:
    """An operator applied to a declared function, in the parameters at `positions`."""

    function: DeclaredFunction
    positions: tuple[int, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class _Flow:
    """How a value depends on the parameter: smoothly, or only through `blockers`."""

    smooth: bool = False
    blockers: tuple[typed.Node, ...] = ()

    def __or__(self, other: _Flow) -> _Flow:
        blockers = dict.fromkeys((*self.blockers, *other.blockers))
        return _Flow(self.smooth or other.smooth, tuple(blockers))


_NONE, _SMOOTH = _Flow(), _Flow(smooth=True)
_DEPTH = 16


def check_zero(request: DerivativeRequest, diagnostics: Diagnostics) -> None:
    """Report a derivative whose parameter reaches the result only through steps."""
    declaration = request.function
    for position in request.positions:
        symbol = declaration.symbols[position]
        flow = _function(declaration, {symbol: _SMOOTH}, _DEPTH)
        if flow.smooth or not flow.blockers:
            continue
        diagnostics.report(
            "grad.zero",
            f"the derivative of `{declaration.name}` in `{symbol.name}` is zero everywhere",
            request.span,
            "asked for here",
            [
                (b.span, f"`{symbol.name}` reaches the result only through this")
                for b in flow.blockers
            ],
            [_help(declaration, flow.blockers[0])],
        )


def _help(declaration: DeclaredFunction, blocker: typed.Node) -> str:
    if isinstance(blocker, typed.Reduce) and blocker.reduction is ARGMAX:
        scores = _quote(blocker.operand)
        for node in typed.walk(declaration.body):
            if isinstance(node, typed.Apply) and node.function is EQUAL:
                others = [o for o in node.operands if o is not blocker]
                if len(others) == 1:
                    call = f"cross_entropy({scores}, {_quote(others[0])})"
                    return f"differentiate a smooth loss, such as `{call}`"
    return "differentiate a smooth loss"


def _quote(node: typed.Node) -> str:
    return " ".join(node.span.file.quote(node.span).split())


def _function(
    declaration: DeclaredFunction, parameters: Mapping[Symbol, _Flow], depth: int
) -> _Flow:
    if declaration.body is None or declaration.rules or depth == 0:
        return _SMOOTH
    return _Reader(dict(parameters), depth).read(declaration.body)


class _Reader:
    """Follows a parameter through a body; anything not understood counts as smooth."""

    def __init__(self, names: dict[Symbol, _Flow], depth: int) -> None:
        self.names = names
        self.depth = depth

    def read(self, node: typed.Node | None) -> _Flow:
        match node:
            case None:
                return _NONE
            case typed.Local(symbol=symbol):
                return self.names.get(symbol, _NONE)
            case typed.Apply():
                first, applications = typed.chain(node)
                flow = self.read(first)
                for each in applications:
                    flow |= self.all(each.operands[1:])
                    flow = self._block(each, flow) if each.function.is_step else flow
                return flow
            case typed.Reduce(reduction=reduction, operand=operand):
                flow = self.read(operand)
                return self._block(node, flow) if reduction.is_step else flow
            case typed.Convert(operand=operand):
                flow = self.read(operand)
                return flow if _is_float(node) else self._block(node, flow)
            case typed.Builtin(function=function, operands=operands):
                flow = self.all(operands)
                return self._block(node, flow) if function.is_step else flow
            case typed.Access(base=base, items=items):
                indexes = [i.index for i in items if isinstance(i, typed.AtIndex)]
                return self.read(base) | _Flow(blockers=self.all(indexes).blockers)
            case typed.Bind(pattern=pattern, value=value):
                self._bind(pattern, self.read(value))
                return _NONE
            case typed.Assign(targets=targets, value=value):
                flow = self.read(value)
                for target in targets:
                    known = self.names.get(target.symbol, _NONE)
                    self.names[target.symbol] = known | flow
                return _NONE
            case typed.Block(statements=statements, value=value):
                for statement in statements:
                    self.read(statement)
                return self.read(value)
            case typed.If(condition=condition, then=then, otherwise=otherwise):
                chosen = self.read(condition)
                return self.read(then) | self.read(otherwise) | _Flow(blockers=chosen.blockers)
            case typed.Call(callee=typed.UserFunction() as callee, arguments=arguments):
                return self._call(callee, arguments)
            case typed.Literal() | typed.SizeValue() | typed.Fill():
                return _NONE
            case typed.MakeTuple(items=items) | typed.MakeArray(items=items):
                return self.all(items)
            case typed.FieldOf(record=record) | typed.ParamsOf(record=record):
                return self.read(record)
            case _:
                return self._anything(node)

    def all(self, nodes: tuple[typed.Node, ...] | list[typed.Node]) -> _Flow:
        flow = _NONE
        for node in nodes:
            flow = flow | self.read(node)
        return flow

    def _anything(self, node: typed.Node) -> _Flow:
        """Loops, builders, functions: smooth if the parameter occurs at all."""
        used = (n.symbol for n in typed.walk(node) if isinstance(n, typed.Local))
        flow = _NONE
        for symbol in used:
            flow = flow | self.names.get(symbol, _NONE)
        result = _SMOOTH if flow.smooth or flow.blockers else _NONE
        for symbol in typed.assigned(node):
            self.names[symbol] = self.names.get(symbol, _NONE) | result
        return result

    def _block(self, node: typed.Node, flow: _Flow) -> _Flow:
        return _Flow(False, (node,) if flow.smooth else flow.blockers)

    def _bind(self, pattern: typed.BindPattern, flow: _Flow) -> None:
        match pattern:
            case None:
                return
            case Symbol():
                self.names[pattern] = flow
            case _:
                for part in pattern:
                    self._bind(part, flow)

    def _call(self, callee: typed.UserFunction, arguments: tuple[typed.Node | None, ...]) -> _Flow:
        declaration = callee.declaration
        names: dict[Symbol, _Flow] = {}
        for symbol, argument in zip(declaration.symbols, arguments, strict=True):
            if isinstance(argument, typed.FunctionValue):
                return self._anything(argument) | self.all([a for a in arguments if a is not None])
            names[symbol] = self.read(argument)
        if declaration.self_symbol is not None and callee.receiver is not None:
            names[declaration.self_symbol] = self.read(callee.receiver)
        if not any(flow.smooth or flow.blockers for flow in names.values()):
            return _NONE
        return _function(declaration, names, self.depth - 1)


def _is_float(node: typed.Node) -> bool:
    type_ = pruned(node.type)
    element = resolved(type_.element) if isinstance(type_, TensorType) else None
    return not isinstance(element, DType) or element.is_float
