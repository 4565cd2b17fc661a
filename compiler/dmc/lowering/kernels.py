"""Kernels as private loop functions, one for each distinct kernel.

Two kernels with the same structure, sizes and kinds of operands share a function; so the twelve
equal layers of a model cost the compile time of one.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

from dmc.dialects import kernel, linalg
from dmc.ir.module import Module
from dmc.ir.operation import Block, Operation, Value
from dmc.lowering.loop_builder import LoopBuilder, function
from dmc.lowering.machine import Machine
from dmc.lowering.schedules.contraction import emit_contraction
from dmc.lowering.schedules.elementwise import emit_map
from dmc.lowering.schedules.emit import Emit
from dmc.lowering.schedules.linalg import interleaved, interleaved_spectra
from dmc.lowering.schedules.linalg.cholesky import emit_cholesky
from dmc.lowering.schedules.linalg.eigh import emit_eigh
from dmc.lowering.schedules.linalg.interleaved import or_interleaved
from dmc.lowering.schedules.linalg.lu import emit_lu
from dmc.lowering.schedules.linalg.qr import emit_qr
from dmc.lowering.schedules.linalg.svd import emit_svd
from dmc.lowering.schedules.linalg.triangular import emit_triangular_solve
from dmc.lowering.schedules.movement import emit_concatenate, emit_copy, emit_update_window
from dmc.lowering.schedules.nest import nest_of
from dmc.lowering.schedules.ordered import emit_scan, emit_sort
from dmc.lowering.schedules.reduction import emit_reduction
from dmc.lowering.schedules.scatter import emit_scatter

PRODUCER = "to-loops"
"""Producer in the locations of loop-level operations."""


class KernelFunctions:
    """The functions of the kernels called so far, in `module`, whose entry has the name `entry`."""

    def __init__(self, module: Module, machine: Machine, entry: str) -> None:
        self.module = module
        self.machine = machine
        self._names: dict[Hashable, str] = {}
        self._taken = {entry: 1}

    def call(
        self,
        b: LoopBuilder,
        op: Operation,
        buffers: Sequence[Value],
        captured: Mapping[Value, Value],
        parallel: bool,
    ) -> None:
        """Call the function of kernel `op` on the buffers of its operands and results.

        An operand that is a scalar in a register is passed as such. `captured` gives the buffers
        of the tensors that the kernel's body loads from.
        """
        arguments = [*buffers, *captured.values()]
        types = tuple(v.type for v in arguments)
        key = (structure(op), types, parallel)
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = self._define(op, arguments, list(captured), parallel)
        b.call(name, arguments)

    def _define(
        self, op: Operation, arguments: Sequence[Value], sources: Sequence[Value], parallel: bool
    ) -> str:
        base = _title(op)
        count = self._taken.get(base, 0)
        self._taken[base] = count + 1
        name = f"{base}.{count}" if count else base
        names = [v.name for v in (*op.operands, *op.results, *sources)]
        defined = function(name, [v.type for v in arguments], names, private=True)
        inner = LoopBuilder(defined, op.location.by(PRODUCER))
        parameters = list(defined.body.args)
        count = len(op.operands) + len(op.results)
        captured = dict(zip(sources, parameters[count:], strict=True))
        EMIT[type(op)](inner, self.machine, op, parameters[:count], captured, parallel)
        self.module.append(inner.finish())
        return name


def structure(op: Operation) -> Hashable:
    """Equal for operations that differ only in names, places and which values they use."""
    numbers: dict[Value, int] = {}

    def number(value: Value) -> int:
        return numbers.setdefault(value, len(numbers))

    def block_key(block: Block) -> Hashable:
        args = tuple((number(a), a.type) for a in block.args)
        return (args, tuple(op_key(inner) for inner in block))

    def op_key(inner: Operation) -> Hashable:
        operands = tuple(number(v) for v in inner.operands)
        results = tuple((number(v), v.type) for v in inner.results)
        regions = tuple(block_key(r.block) for r in inner.regions)
        # `1` and `1.0` are equal to Python, as are `0.0` and `-0.0`.
        attributes = tuple(
            (k, repr(v), v) for k, v in sorted(inner.attributes.items()) if k != "places"
        )
        return (inner.name, operands, results, attributes, regions)

    return (op_key(op), tuple(v.type for v in op.operands))


def _title(op: Operation) -> str:
    """A readable name: what the kernel does and its sizes.

    The dots keep kernels apart from functions of the program, and their numbers from their sizes.
    """
    sizes = "x".join(map(str, op.space)) if isinstance(op, kernel.Structured) else ""
    kind = op.name.removeprefix("kernel.")
    if isinstance(op, kernel.Generic):
        kind = "map"
        if op.reduction:
            kind = "contract" if op.contraction() else "reduce"
    return f"kernel.{kind}_{sizes}" if sizes else f"kernel.{kind}"


def _generic(
    b: LoopBuilder,
    machine: Machine,
    op: Operation,
    buffers: list[Value],
    captured: Mapping[Value, Value],
    parallel: bool,
) -> None:
    assert isinstance(op, kernel.Generic)
    nest = nest_of(b, op, buffers, captured)
    if not op.reduction:
        emit_map(b, machine, nest, parallel)
        return
    free = not (machine.strict and op.order)
    if not (free and emit_contraction(b, machine, nest, parallel)):
        emit_reduction(b, machine, nest, parallel)


EMIT: dict[type[Operation], Emit] = {
    kernel.Concatenate: emit_concatenate,
    kernel.Copy: emit_copy,
    kernel.Generic: _generic,
    kernel.Scan: emit_scan,
    kernel.Scatter: emit_scatter,
    kernel.Sort: emit_sort,
    kernel.UpdateWindow: emit_update_window,
    linalg.Eigh: or_interleaved(interleaved_spectra.emit_eigh, emit_eigh),
    linalg.LU: or_interleaved(interleaved.emit_lu, emit_lu),
    linalg.SVD: or_interleaved(interleaved_spectra.emit_svd, emit_svd),
    linalg.QR: or_interleaved(interleaved_spectra.emit_qr, emit_qr),
    linalg.Cholesky: or_interleaved(interleaved.emit_cholesky, emit_cholesky),
    linalg.TriangularSolve: or_interleaved(
        interleaved.emit_triangular_solve, emit_triangular_solve
    ),
}
"""The schedule of every kernel that becomes a function."""
