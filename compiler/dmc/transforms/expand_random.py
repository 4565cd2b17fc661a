"""Draws become integer arithmetic: Philox4x32-10 as `dmc_runtime.keys` defines it.

It takes two steps. Before kernels are made, a tensor of draws becomes an elementwise operation on
keys and positions, which fuses like any other; once kernels are fused, that operation becomes
arithmetic in their bodies. So draws are computed where they are used and nothing is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dmc.dialects import arith, random, tensor
from dmc.ir import (
    Builder,
    DType,
    Module,
    Operation,
    TensorType,
    Value,
    dtype_of,
    shape_of,
)
from dmc.ir.passes import Pass
from dmc.ir.rewriter import replace_op
from dmc_runtime import keys

_HALF = 32
_LOW = (1 << _HALF) - 1
_LANE_BITS = 4


@dataclass(frozen=True)
class ExpandDraws(Pass):
    """Rewrite `random.bits` and `random.split` as elementwise operations on positions.

    This comes last at tensor level, so that positions are computed and not kept as constants.
    """

    name = "expand-draws"

    def run(self, module: Module) -> None:
        for op in list(module.walk()):
            if isinstance(op, random.Bits | random.Split):
                replace_op(op, [_by_position(_Words.ahead(op), op)])


@dataclass(frozen=True)
class ExpandPhilox(Pass):
    """Rewrite `random.fold` and `random.element` with `arith`, inside kernels and out."""

    name = "expand-philox"

    def run(self, module: Module) -> None:
        for op in list(module.walk()):
            match op:
                case random.Fold():
                    b = _Words.ahead(op)
                    first, second, _, _ = b.block(op.key, op.data, op.tag)
                    replace_op(op, [b.pair(first, second)])
                case random.Element():
                    replace_op(op, [_element(_Words.ahead(op), op)])
                case _:
                    pass


def _by_position(b: _Words, op: random.Bits | random.Split) -> Value:
    whole = shape_of(op.result.type)
    key = b.spread(op.key, whole)
    position = b.position(whole, len(shape_of(op.key.type)))
    if isinstance(op, random.Split):
        return b.builder.insert(random.Fold([key, position], {"tag": keys.SPLIT})).result
    return random.element(b.builder, key, position, op.width, op.word)


def _element(b: _Words, op: random.Element) -> Value:
    """Position p takes word or pair `place` of a block (see `dmc_runtime.keys`, Positions)."""
    position = op.position
    places = 128 // op.width
    tile_bits = _LANE_BITS + places.bit_length() - 1
    lane = b.masked(position, (1 << _LANE_BITS) - 1)
    tile = b.shifted(position, tile_bits)
    number = b.combined(arith.Or, b.raised(tile, _LANE_BITS), lane)
    words = b.block(op.key, number, keys.DRAW)
    candidates = list(words) if places == 4 else [b.pair(*words[:2]), b.pair(*words[2:])]
    place = b.masked(b.shifted(position, _LANE_BITS), places - 1)
    match op.word:
        case random.Word.OWN:
            pass
        case random.Word.FIRST:
            place = b.masked(place, places - 2)
        case random.Word.SECOND:
            place = b.combined(arith.Or, place, b.constant(1, place))
    drawn = candidates[0]
    for index, candidate in enumerate(candidates[1:], 1):
        here = arith.compare(b.builder, arith.Direction.EQ, place, b.constant(index, place))
        drawn = arith.select(b.builder, here, candidate, drawn)
    # Conversion of floats saturates, of integers it keeps the low bits: the word itself.
    return arith.convert(b.builder, drawn, dtype_of(op.result.type))


class _Words:
    """Arithmetic on `i64` tensors that hold 32-bit words."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder

    @staticmethod
    def ahead(op: Operation) -> _Words:
        builder = Builder.ahead_of(op)
        builder.location = op.location.by("expand-random")
        return _Words(builder)

    def constant(self, value: int, like: Value) -> Value:
        return arith.constant(self.builder, value, like.type)

    def combined(self, kind: type[Operation], x: Value, y: Value) -> Value:
        return self.builder.insert(kind([x, y])).results[0]

    def masked(self, x: Value, mask: int) -> Value:
        return self.combined(arith.And, x, self.constant(mask, x))

    def shifted(self, x: Value, bits: int) -> Value:
        return self.combined(arith.ShiftRightLogical, x, self.constant(bits, x))

    def raised(self, x: Value, bits: int) -> Value:
        return self.combined(arith.ShiftLeft, x, self.constant(bits, x))

    def spread(self, key: Value, shape: Sequence[int]) -> Value:
        """A key for each element: its own axes lead."""
        return tensor.broadcast_in_dim(self.builder, key, shape, range(len(shape_of(key.type))))

    def position(self, shape: Sequence[int], lead: int) -> Value:
        """The row-major position of each element within the axes after the first `lead`."""
        type_ = TensorType(tuple(shape), DType.I64)
        total: Value | None = None
        stride = 1
        for axis in range(len(shape) - 1, lead - 1, -1):
            index = tensor.iota(self.builder, type_, axis)
            part = arith.multiply(self.builder, index, self.constant(stride, index))
            total = part if total is None else arith.add(self.builder, total, part)
            stride *= shape[axis]
        return arith.zeros(self.builder, type_) if total is None else total

    def pair(self, low: Value, high: Value) -> Value:
        """The 64-bit number of two words."""
        return self.combined(arith.Or, low, self.raised(high, _HALF))

    def block(self, key: Value, number: Value, tag: int) -> tuple[Value, Value, Value, Value]:
        """The four words of a block; `key` and `number` have the same shape."""
        c0, c1 = self.masked(number, _LOW), self.shifted(number, _HALF)
        c2, c3 = self.constant(0, number), self.constant(tag, number)
        k0, k1 = self.masked(key, _LOW), self.shifted(key, _HALF)
        for _ in range(keys.ROUNDS):
            first = arith.multiply(self.builder, c0, self.constant(keys.MULTIPLIERS[0], c0))
            second = arith.multiply(self.builder, c2, self.constant(keys.MULTIPLIERS[1], c2))
            c0, c2 = self._mixed(second, c1, k0), self._mixed(first, c3, k1)
            c1, c3 = self.masked(second, _LOW), self.masked(first, _LOW)
            k0, k1 = self._next(k0, keys.WEYL[0]), self._next(k1, keys.WEYL[1])
        return c0, c1, c2, c3

    def _mixed(self, product: Value, word: Value, key: Value) -> Value:
        mixed = self.combined(arith.Xor, self.shifted(product, _HALF), word)
        return self.combined(arith.Xor, mixed, key)

    def _next(self, key: Value, step: int) -> Value:
        return self.masked(arith.add(self.builder, key, self.constant(step, key)), _LOW)
