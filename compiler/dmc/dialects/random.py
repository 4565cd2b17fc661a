"""`random`: counter-based keys and draws, the construction of `dmc_runtime.keys` in the IR.

A key is an `i64`; a draw depends on its key and its position only, so it can be fused and
recomputed freely. Uniform and normal numbers are built from bits with `arith` and `math`.
"""

from __future__ import annotations

import enum
import math as pymath
from collections.abc import Sequence

import numpy as np

from dmc.dialects import arith, math
from dmc.dialects.elementwise import Elementwise
from dmc.dialects.tensor.base import TensorOp, moved_bytes, rank_of, type_of
from dmc.dialects.tensor.creation import iota
from dmc.dialects.tensor.shape import broadcast_in_dim, reshape
from dmc.ir import (
    Array,
    Attribute,
    Batched,
    Builder,
    Cost,
    DType,
    Interpreter,
    TensorType,
    Trait,
    Type,
    Value,
    attribute,
    dtype_of,
    int_tuple,
    operand,
    result,
    shape_of,
    with_dtype,
)
from dmc_runtime import keys

BLOCK_FLOPS = 100
"""Integer operations of one Philox block, about."""

LANES = 16
"""Neighbouring elements that take the same word of neighbouring blocks."""


class Word(enum.Enum):
    """Which draw an element takes: its own, or the even or odd one of the pair it belongs to."""

    OWN = "own"
    FIRST = "first"
    SECOND = "second"


def _blocks(key: Array, number: Array, tag: int) -> Array:
    """Philox words `[…, 4]` for keys and block numbers that broadcast."""
    key, number = np.broadcast_arrays(key.view(np.uint64), number.astype(np.uint64))
    low, half = np.uint64(0xFFFF_FFFF), np.uint64(32)
    zero, tags = np.zeros(number.shape, np.uint32), np.full(number.shape, tag, np.uint32)
    counter = [(number & low).astype(np.uint32), (number >> half).astype(np.uint32), zero, tags]
    seed = [(key & low).astype(np.uint32), (key >> half).astype(np.uint32)]
    return keys.philox(np.stack(counter, axis=-1), np.stack(seed, axis=-1))


def _pairs(words: Array) -> Array:
    """Two 64-bit numbers `[…, 2]` from four words."""
    wide = words.astype(np.uint64)
    return wide[..., 0::2] | (wide[..., 1::2] << np.uint64(32))


def draw_elements(key: Array, position: Array, width: int, word: Word) -> Array:
    """Bits at positions of draws, as `dmc_runtime.keys` says; arrays of one shape."""
    per_block = 128 // width
    tile = LANES * per_block
    place = position % tile // LANES
    if word is not Word.OWN:
        place = place - place % 2 + (word is Word.SECOND)
    blocks = _blocks(key, LANES * (position // tile) + position % LANES, keys.DRAW)
    words = blocks if width == 32 else _pairs(blocks)
    drawn = np.take_along_axis(words, place[..., None], -1)[..., 0]
    return np.asarray(drawn, order="C").view(np.int32 if width == 32 else np.int64)


class Fold(Elementwise):
    """`random.fold`: the key that the number `data` derives from `key`.

    `tag` keeps the keys that splitting gives apart from those that folding gives.
    C1: keys and numbers are `i64`.
    """

    name = "random.fold"
    traits = frozenset({Trait.ELEMENTWISE, Trait.INTEGER_VALUED})
    key = operand()
    data = operand()
    tag = attribute(int, default=keys.FOLD)
    result = result()
    terms = (None, None)
    flops = BLOCK_FLOPS

    def infer(self) -> Sequence[Type]:
        self.require(1, dtype_of(self.key.type) is DType.I64, "a key is i64")
        return super().infer()

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        key, data = operands
        return (_pairs(_blocks(key, data, self.tag))[..., 0].view(np.int64),)


class Element(Elementwise):
    """`random.element`: the bits that the element at `position` of a draw from `key` takes.

    `random.bits` element by element; `width` and `word` are as there.
    C1: keys and positions are `i64`. C2: `width` is 32 or 64.
    """

    name = "random.element"
    traits = frozenset({Trait.ELEMENTWISE, Trait.INTEGER_VALUED})
    key = operand()
    position = operand()
    width = attribute(int)
    word = attribute(Word, default=Word.OWN.value)
    result = result()
    terms = (None, None)
    flops = BLOCK_FLOPS

    def infer(self) -> Sequence[Type]:
        self.require(1, dtype_of(self.key.type) is DType.I64, "a key is i64")
        self.require(2, self.width in (32, 64), f"no draws of {self.width} bits")
        element = DType.I32 if self.width == 32 else DType.I64
        return (with_dtype(super().infer()[0], element),)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        key, position = operands
        return (draw_elements(key, position, self.width, self.word),)


class Draw(TensorOp):
    """Base of operations on keys: `key` may have any shape, which leads that of the result."""

    traits = frozenset({Trait.INTEGER_VALUED})
    key = operand()

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        return (None,)

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        return (None,)

    def batch(self, builder: Builder, operands: Sequence[Batched]) -> Sequence[Batched]:
        (key,) = operands
        new = builder.insert(type(self)([key.value], self.attributes))
        return (Batched(new.results[0], key.axes),)

    def cost(self) -> Cost:
        return Cost(flops=BLOCK_FLOPS * type_of(self.results[0]).size, bytes=moved_bytes(self))


class Split(Draw):
    """`random.split`: `n` keys independent of each other and of every draw from `key`.

    C1: the key is `i64`. C2: `n` is positive.
    """

    name = "random.split"
    n = attribute(int)
    result = result()

    def infer(self) -> Sequence[Type]:
        type_ = type_of(self.key)
        self.require(1, type_.dtype is DType.I64, "a key is i64")
        self.require(2, self.n > 0, f"{self.n} keys")
        return (TensorType((*type_.shape, self.n), DType.I64),)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        key = operands[0][..., None]
        return (_pairs(_blocks(key, np.arange(self.n), keys.SPLIT))[..., 0].view(np.int64),)


class Bits(Draw):
    """`random.bits`: uniform bits, for each key a tensor of `shape`.

    Element `p` in row-major order takes 32 or 64 bits of a block, as `dmc_runtime.keys` says; with
    `word` not `own`, those of the first or second draw of its pair.
    C1: the key is `i64`. C2: `width` is 32 or 64. C3: no size is negative.
    """

    name = "random.bits"
    shape = int_tuple()
    width = attribute(int)
    word = attribute(Word, default=Word.OWN.value)
    result = result()

    @property
    def element(self) -> DType:
        """The integer type of `width` bits."""
        return DType.I32 if self.width == 32 else DType.I64

    def infer(self) -> Sequence[Type]:
        type_ = type_of(self.key)
        self.require(1, type_.dtype is DType.I64, "a key is i64")
        self.require(2, self.width in (32, 64), f"no draws of {self.width} bits")
        self.require(3, all(n >= 0 for n in self.shape), f"shape {self.shape}")
        return (TensorType((*type_.shape, *self.shape), self.element),)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        (key,) = operands
        p = np.arange(pymath.prod(self.shape))
        key, p = np.broadcast_arrays(key[..., None], p)
        drawn = draw_elements(key, p, self.width, self.word)
        return (drawn.reshape(type_of(self.result).shape),)


def fold(builder: Builder, key: Value, data: Value) -> Value:
    """The key that the `i64` number `data`, of the key's shape, derives from `key`."""
    return builder.insert(Fold([key, data])).result


def split(builder: Builder, key: Value, n: int) -> Value:
    """`n` keys, along a new last axis."""
    return builder.insert(Split([key], {"n": n})).result


def bits(
    builder: Builder, key: Value, shape: Sequence[int], width: int, word: Word = Word.OWN
) -> Value:
    """Uniform bits of `shape` for each key: `i32` or `i64` as `width` is 32 or 64."""
    attributes: dict[str, Attribute] = {
        "shape": tuple(shape),
        "width": width,
        "word": word.value,
    }
    return builder.insert(Bits([key], attributes)).result


def element(
    builder: Builder, key: Value, position: Value, width: int, word: Word = Word.OWN
) -> Value:
    """The bits at positions of draws from keys; `i32` or `i64` as `width` is 32 or 64."""
    attributes: dict[str, Attribute] = {"width": width, "word": word.value}
    return builder.insert(Element([key, position], attributes)).result


_DIGITS = {DType.F64: 53, DType.F32: 24, DType.F16: 11, DType.BF16: 8}


def uniform(
    builder: Builder, key: Value, shape: Sequence[int], dtype: DType, word: Word = Word.OWN
) -> Value:
    """Numbers in [0, 1) of `shape` for each key. Raises KeyError when `dtype` is no float."""
    digits = _DIGITS[dtype]
    width = 64 if dtype is DType.F64 else 32
    x = bits(builder, key, shape, width, word)
    unused = arith.constant(builder, width - digits, x.type)
    top = builder.insert(arith.ShiftRightLogical([x, unused])).result
    number = arith.convert(builder, top, dtype)
    return arith.multiply(builder, number, arith.constant(builder, 2.0**-digits, number.type))


def bernoulli(builder: Builder, key: Value, p: Value, shape: Sequence[int]) -> Value:
    """True with probability `p`, a float tensor whose shape leads or equals that of the draws."""
    x = uniform(builder, key, shape, dtype_of(p.type))
    chance = broadcast_in_dim(builder, p, shape_of(x.type), range(rank_of(p)))
    return arith.compare(builder, arith.Direction.LT, x, chance)


def normal(builder: Builder, key: Value, shape: Sequence[int], dtype: DType) -> Value:
    """Standard normal numbers of `shape` for each key, by Box and Muller.

    An even and an odd draw of one block make a pair of numbers; each element computes its own.
    """
    work = DType.F64 if dtype is DType.F64 else DType.F32
    u = uniform(builder, key, shape, work, Word.FIRST)
    v = uniform(builder, key, shape, work, Word.SECOND)
    type_ = type_of(u)
    tiny = arith.constant(builder, 2.0 ** -_DIGITS[work], type_)
    log = math.log(builder, arith.add(builder, u, tiny))
    minus_two = arith.constant(builder, -2.0, type_)
    radius = math.sqrt(builder, arith.multiply(builder, minus_two, log))
    angle = arith.multiply(builder, arith.constant(builder, 2 * pymath.pi, type_), v)
    turned = arith.select(
        builder,
        _is_odd(builder, type_of(key).shape, shape),
        math.sin(builder, angle),
        math.cos(builder, angle),
    )
    return arith.convert(builder, arith.multiply(builder, radius, turned), dtype)


def _is_odd(builder: Builder, lead: Sequence[int], shape: Sequence[int]) -> Value:
    """Whether an element's own draw is the second of its pair: bit 4 of its position."""
    flat = TensorType((pymath.prod(shape),), DType.I64)
    bit = arith.constant(builder, LANES, flat)
    masked = builder.insert(arith.And([iota(builder, flat), bit])).result
    odd = arith.compare(builder, arith.Direction.NE, masked, arith.zeros(builder, flat))
    point = reshape(builder, odd, shape)
    whole = (*lead, *shape)
    return broadcast_in_dim(builder, point, whole, range(len(lead), len(whole)))
