"""Logarithms, roots and quotients at a point where they, or their derivatives, are infinite."""

from __future__ import annotations

import math as pymath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dmc.diagnostics.diagnostic import Diagnostic
from dmc.dialects import arith, control, math
from dmc.dialects.ranges import ANY, Range
from dmc.dialects.value_ranges import Ranges
from dmc.ir import Operation, Trait, Value, dtype_of
from dmc.ir.location import Span
from dmc.lints.instances import InstanceOfFunction
from dmc.lints.sums import is_whole
from dmc.lints.warning import quote, warning
from dmc.semantics import typed
from dmc.semantics.program import SourceModule


@dataclass(frozen=True)
class _Singular:
    """An operand that should not be 0, or not negative either, and what is computed from it."""

    value: Value
    word: str
    operand: str
    needs_positive: bool


def singular_operands(instance: InstanceOfFunction, file: SourceModule) -> Iterator[Diagnostic]:
    """Operations that are undefined at values which their operand is known to take.

    Only where something is known of the operand: a plain argument is the caller's business. What
    is selected afterwards, or computed in a branch, is taken to be guarded.
    """
    ranges = Ranges()
    written = _written(instance.declaration.body)
    for op in instance.function.walk():
        span, singular = op.location.span, _singular(op)
        if span is None or span.file is not file.source or singular is None:
            continue
        found = ranges.range(singular.value)
        if _is_bad(found, singular) and not _is_guarded(op):
            yield warning(
                "lint.singular",
                f"{singular.word} something that can be 0",
                (span, f"the {singular.operand} is {_between(found)}"),
                _away(span, written.get(span), found, is_whole(singular.value)),
            )


def _singular(op: Operation) -> _Singular | None:
    match op:
        case math.Log():
            return _Singular(op.operand, "the logarithm of", "argument", True)
        case math.Sqrt():
            return _Singular(op.operand, "the slope of the root of", "argument", True)
        case math.Rsqrt():
            return _Singular(op.operand, "the reciprocal root of", "argument", True)
        case arith.Divide() if dtype_of(op.rhs.type).is_float:
            return _Singular(op.rhs, "a quotient by", "divisor", False)
        case _:
            return None


def _is_bad(found: Range, singular: _Singular) -> bool:
    """Whether the operand can be 0, or negative, and enough is known of it to say so."""
    if found == ANY or not found.low <= 0 <= found.high:
        return False
    ends = found.low == 0 or (found.high == 0 and not singular.needs_positive)
    return ends or (found.is_finite and (singular.needs_positive or is_whole(singular.value)))


def _is_guarded(op: Operation) -> bool:
    """Whether what is computed may be put aside: in a branch, or by a selection."""
    around = op.parent_op
    while around is not None:
        if isinstance(around, control.If | control.While):
            return True
        around = around.parent_op
    pending, seen = list(op.results), set(op.results)
    while pending:
        for user in pending.pop().users:
            if isinstance(user, arith.Select):
                return True
            is_last = user.has(Trait.TERMINATOR) and user.parent_op is not None
            results = user.parent_op.results if is_last and user.parent_op else user.results
            pending += [value for value in results if value not in seen]
            seen.update(results)
    return False


def _written(body: typed.Node | None) -> Mapping[Span, typed.Apply]:
    """The applications in a body by their place."""
    applied = (node for node in typed.walk(body) if isinstance(node, typed.Apply))
    return {node.span: node for node in applied}


def _between(found: Range) -> str:
    if found.low == 0:
        return "from 0 up"  # the other end may be a matter of sizes
    if pymath.isinf(found.low):
        return f"up to {found.high:g}"
    return f"between {found.low:g} and {found.high:g}"


def _away(span: Span, node: typed.Apply | None, found: Range, is_whole: bool) -> str:
    """The same expression kept away from 0."""
    least = "1.0" if is_whole else "1e-12"
    if node is None or not quote(span).endswith((quote(node.operands[-1].span), ")")):
        return f"keep it away from 0: `maximum(x, {least})`"
    operands = [quote(operand.span) for operand in node.operands]
    inner = operands[-1]
    if len(operands) == 1:
        return f"keep it away from 0: `{quote(span).replace(inner, f'maximum({inner}, {least})')}`"
    if found.low < 0:
        return f"choose what it is at 0: `where({inner} != 0.0, {quote(span)}, 0.0)`"
    return f"keep it away from 0: `{operands[0]} / maximum({inner}, {least})`"
