"""Tapes: what a loop keeps of each iteration when their number shows only as it runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dmc.dialects import arith
from dmc.ir import (
    Array,
    Batched,
    Builder,
    Cost,
    Interpreter,
    Operation,
    TapeType,
    TensorType,
    Type,
    Value,
    attribute,
    result,
)


class Empty(Operation):
    """`control.empty`: the tape of a loop that has not run.

    It stands for the tape where a branch without the loop was taken; nothing reads it.
    C1: `type` is a tape.
    """

    name = "control.empty"
    type = attribute(TapeType)
    tape = result()

    def infer(self) -> Sequence[Type]:
        return (self.type,)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        return (np.empty(0, object),)

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        return (None,)

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        return ()

    def batch(self, builder: Builder, operands: Sequence[Batched]) -> Sequence[Batched]:
        return (Batched(builder.insert(Empty([], dict(self.attributes))).tape),)

    def cost(self) -> Cost:
        return Cost()


def zeros(builder: Builder, type_: Type) -> Value:
    """Zeros of a tensor type; for a tape one that nothing reads."""
    if isinstance(type_, TapeType):
        return builder.insert(Empty([], {"type": type_})).tape
    return arith.zeros(builder, type_)


def stacked(type_: Type, count: int) -> TensorType | TapeType:
    """Values of type `type_`: `count` along a new leading axis, or on a tape.

    A tape it is where their number (-1) or what each of them takes is not known.
    """
    if isinstance(type_, TensorType) and count >= 0:
        return TensorType((count, *type_.shape), type_.dtype)
    if isinstance(type_, TensorType | TapeType):
        return TapeType(type_)
    raise TypeError(f"{type_} cannot be stacked")


def unstacked(type_: Type) -> TensorType | TapeType:
    """One of the values that a stack or tape holds."""
    if isinstance(type_, TapeType):
        return type_.element
    if isinstance(type_, TensorType) and type_.shape:
        return TensorType(type_.shape[1:], type_.dtype)
    raise TypeError(f"{type_} holds no values of iterations")


def blank(type_: Type, count: int) -> Array:
    """Room for what `count` iterations stack."""
    if isinstance(type_, TapeType):
        return np.empty(count, object)
    assert isinstance(type_, TensorType)
    return np.zeros(type_.shape, type_.dtype.numpy)


def entry(stack: Array, index: int, type_: Type) -> Array:
    """The value of type `type_` that an iteration has stacked."""
    if isinstance(type_, TapeType):
        return stack[index]
    assert isinstance(type_, TensorType)
    return np.asarray(stack[index], type_.dtype.numpy)
