"""What a schedule of a kernel is, as a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dmc.ir.operation import Operation, Value
from dmc.lowering.loop_builder import LoopBuilder
from dmc.lowering.machine import Machine

Emit = Callable[[LoopBuilder, Machine, Operation, list[Value], Mapping[Value, Value], bool], None]
"""Emits a kernel given the values of its operands and results, of captured tensors, and whether
parallel loops are allowed."""
