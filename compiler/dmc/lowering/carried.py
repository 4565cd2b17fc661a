"""What loops carry from one iteration to the next, and what one takes of what is scanned."""

from __future__ import annotations

from collections.abc import Sequence

from dmc.ir.operation import Value
from dmc.ir.types import MemRefType, TapeType
from dmc.lowering.statements import Statements, buffer_type, register, root
from dmc.lowering.tapes import element


class Carried:
    """The values a loop carries: registers, and buffers that its iterations overwrite."""

    def __init__(self, s: Statements, inits: Sequence[Value], results: Sequence[Value]) -> None:
        self.s = s
        self.is_scalar = [register(v) is not None for v in inits]
        self.held: list[Value] = []
        for init, result, scalar in zip(inits, results, self.is_scalar, strict=True):
            if scalar:
                self.held.append(s.values[init])
                continue
            buffer = s.place(result)
            s.copy(s.values[init], buffer)
            self.held.append(buffer)

    @property
    def registers(self) -> list[Value]:
        """The initial values of the scalars."""
        return [v for v, scalar in zip(self.held, self.is_scalar, strict=True) if scalar]

    def bind(self, args: Sequence[Value], registers: Sequence[Value]) -> None:
        """Give the block arguments their registers and buffers."""
        following = iter(registers)
        for arg, held, scalar in zip(args, self.held, self.is_scalar, strict=True):
            self.s.values[arg] = next(following) if scalar else held

    def advance(self, values: Sequence[Value]) -> list[Value]:
        """Move the next values to where they are carried; the registers to yield."""
        buffers = {
            root(v) for v, scalar in zip(self.held, self.is_scalar, strict=True) if not scalar
        }
        moves: list[tuple[Value, Value]] = []
        for value, held, scalar in zip(values, self.held, self.is_scalar, strict=True):
            if scalar or value is held:
                continue
            if root(value) in buffers and root(value) != root(held):
                # Another carried value, which its own move may overwrite first.
                assert isinstance(value.type, MemRefType)
                aside = self.s.buffers.fresh(value.type)
                self.s.copy(value, aside)
                value = aside
            moves.append((value, held))
        for value, held in moves:
            self.s.copy(value, held)
        return [v for v, scalar in zip(values, self.is_scalar, strict=True) if scalar]

    def results(self, registers: Sequence[Value]) -> list[Value]:
        """What the loop leaves behind."""
        following = iter(registers)
        return [
            next(following) if scalar else held
            for held, scalar in zip(self.held, self.is_scalar, strict=True)
        ]


def scanned_part(s: Statements, arg: Value, value: Value, held: Value, at: Value) -> Value:
    """What an iteration takes of a scanned tensor or tape."""
    if isinstance(value.type, TapeType):
        part = element(s.b, held, at, buffer_type(arg))
    elif register(arg) is not None:
        return s.b.load(held, [at])
    else:
        part = s.slice(held, [at])
    return part if register(arg) is None else s.b.load(part, [])
