"""The differentiation operators."""

from __future__ import annotations

from dataclasses import dataclass

from dmc.semantics.primitive import Primitive
from dmc.semantics.typed import Operator


@dataclass(frozen=True, eq=False, kw_only=True)
class DerivativeOperator(Primitive):
    """`grad` and its kin: from a function a function."""

    operator: Operator


OPERATORS = tuple(DerivativeOperator(operator.value, operator=operator) for operator in Operator)
