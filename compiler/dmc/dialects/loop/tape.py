"""Tapes: memory that grows while a loop runs, in blocks that a root keeps count of.

A root is a `memref<8xi64>`: the newest block; where it is said that memory has run out; that word
itself, in the root of a program, and behind it how many more bytes the program may take. Blocks are
known by their addresses, `i64` values, so that a tape can keep tapes. What was made last goes
first: a release frees all blocks newer than a mark.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from dmc.dialects.loop.structure import BOOL, INDEX
from dmc.ir.declarations import Trait, attribute
from dmc.ir.operation import Interpreter, Operation, operand, operands
from dmc.ir.types import Array, DType, MemRefType, Type

ROOT = MemRefType((8,), DType.I64)
NEWEST, WORD, FAILED, LEFT = 0, 1, 2, 3
"""The words of a root."""

UNBOUNDED = (1 << 63) - 1
"""The bytes that tapes may take where nothing but memory bounds them."""

LIST = 4
"""The word that only the interpreter uses."""

_blocks: dict[int, Array] = {}
"""The blocks of interpreted programs, by address."""
_lists: dict[int, list[int]] = {}
"""The blocks of each root, the newest last."""
_numbers = itertools.count(64, 64)


class _Rooted(Operation):
    """Base of what works on a root. C1: the first operand is a root, the others are `i64`."""

    def verify_(self) -> None:
        first, *others = self.operand_types
        self.require(1, first == ROOT, f"{first} is no root of tapes")
        self.require(1, all(type_ == INDEX for type_ in others), "an operand is not an i64")


class TapeOpen(Operation):
    """Makes an empty root of tapes; `around` is that of the function around a parallel task.

    All tapes of a function may take `most` bytes.  C1: both are roots.
    """

    name = "loop.tape_open"
    traits = frozenset({Trait.EFFECT})
    root = operand()
    around = operands()
    most = attribute(int, default=UNBOUNDED)

    def infer(self) -> Sequence[Type]:
        return ()

    def verify_(self) -> None:
        self.require(1, set(self.operand_types) == {ROOT}, "not a root of tapes")

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        root = operands[0]
        root[:] = 0
        root[LIST] = next(_numbers)
        _lists[int(root[LIST])] = []
        return ()


class TapeResize(_Rooted):
    """Room for `count` elements of `bytes` bytes: the address of a block that has the old content.

    The address of the old block, or 0 for none, is no longer one. The result is 0 where there is no
    more memory, and the old block stays. C1: a root, an address and a count.
    """

    name = "loop.tape_resize"
    traits = frozenset({Trait.EFFECT})
    root = operand()
    address = operand()
    count = operand()
    bytes = attribute(int)

    def infer(self) -> Sequence[Type]:
        return (INDEX,)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        root, address, count = operands
        old = _blocks.pop(int(address), np.empty(0, np.uint8))
        made = next(_numbers)
        block = _blocks[made] = np.full(int(count) * self.bytes, 0xFF, np.uint8)
        block[: len(old)] = old[: len(block)]
        blocks = _lists[int(root[LIST])]
        if int(address):
            blocks[blocks.index(int(address))] = made
        else:
            blocks.append(made)
        root[NEWEST] = blocks[-1]
        return (np.asarray(made, np.int64),)


class TapeElement(Operation):
    """The buffer of type `type` that is element `index` of the block at `address`.

    C1: both are `i64`.
    """

    name = "loop.tape_element"
    address = operand()
    index = operand()
    type = attribute(MemRefType)

    def infer(self) -> Sequence[Type]:
        return (self.type,)

    def verify_(self) -> None:
        self.require(1, set(self.operand_types) == {INDEX}, "an operand is not an i64")

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        block, size = _blocks[int(operands[0])], self.type.bytes
        part = block[int(operands[1]) * size :][:size]
        return (part.view(self.type.dtype.numpy).reshape(self.type.shape),)


class TapeFailed(_Rooted):
    """Whether memory has run out: loops that use tapes no longer run. C1: a root."""

    name = "loop.tape_failed"
    traits = frozenset({Trait.READS_MEMORY})
    root = operand()

    def infer(self) -> Sequence[Type]:
        return (BOOL,)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        return (np.asarray(False),)


class TapeRelease(_Rooted):
    """Frees the blocks made since the newest was `mark`. C1: a root and an address."""

    name = "loop.tape_release"
    traits = frozenset({Trait.EFFECT})
    root = operand()
    mark = operand()

    def infer(self) -> Sequence[Type]:
        return ()

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        root, mark = operands
        blocks = _lists[int(root[LIST])]
        while blocks and blocks[-1] != int(mark):
            del _blocks[blocks.pop()]
        root[NEWEST] = mark
        return ()
