"""Random keys: counter-based generation by Philox4x32-10, and the reference for compiled code.

The generator is that of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2,
3" (SC 2011): a bijection of a 128-bit counter under a 64-bit key. Nothing is kept between draws, so
a draw depends on its key and its position only. Compiled code follows this construction: `split`,
`fold`, `bits`, `uniform` and `bernoulli` agree with it bit for bit; `normal` to the accuracy of
`log`, `cos` and `sin`.

**Key.** One int64, whose 64 bits are the Philox key: word 0 its low, word 1 its high 32 bits.
`key(seed)` is the seed itself, taken modulo 2**64.

**Block.** `B(key, n, tag)` is Philox4x32-10 of the counter words `(n mod 2**32, n >> 32, 0, tag)`:
four words `w0 … w3` of 32 bits. The tag is 0 for draws, 1 for `split`, 2 for `fold`. Two words
`(lo, hi)` make the 64-bit number `lo + 2**32 * hi`.

**Keys from keys.** `split(key, n)[j]` is the number `(w0, w1)` of `B(key, j, 1)`; `fold(key, i)` is
that of `B(key, i mod 2**64, 2)`. `fold_path(key, path)` is `fold(key, h)` with `h` the 64-bit
FNV-1a hash of the path in UTF-8. A model's `l1.w` is drawn with its key folded by `l1`, then `w`.

**Positions.** Element `p` of a draw (its index in row-major order) takes, for 32-bit draws, word
`(p mod 64) // 16` of block `16 * (p // 64) + p mod 16` (tag 0); for 64-bit draws, the number
`(w0, w1)` or `(w2, w3)`, as `(p mod 32) // 16` is 0 or 1, of block `16 * (p // 32) + p mod 16`. So
sixteen neighbours take the same word of sixteen neighbouring blocks, and vectors of 4, 8 or 16
lanes need no shuffle.

**Uniform**, in [0, 1): the top bits times a power of two, exact: f64 has `(u >> 11) * 2**-53` of a
64-bit draw; f32 `(w >> 8) * 2**-24`, f16 `(w >> 21) * 2**-11` and bf16 `(w >> 24) * 2**-8` of a
32-bit draw.

**Bernoulli.** `uniform < p` in the dtype of `p`.

**Normal.** Box and Muller (1958), in f64 for f64 and in f32 otherwise (f16 and bf16 are rounded
from f32). An even and an odd draw of the same block make a pair: the words `(w0, w1)` and
`(w2, w3)` for f32, the numbers `((w0, w1), (w2, w3))` for f64. With `u` the uniform of the first
and `v` that of the second,

    r = sqrt(-2 * log(u + 2**-24))      # 2**-53 in f64; so the argument is in (0, 1]
    z_even = r * cos(2 * pi * v)
    z_odd  = r * sin(2 * pi * v)

and an element takes `z_even` or `z_odd` as its own word (or number) is the even or the odd one.
"""

from __future__ import annotations

from typing import Any, SupportsIndex, TypeAlias, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from dmc_runtime.arguments import integer

U32: TypeAlias = NDArray[np.uint32]
U64: TypeAlias = NDArray[np.uint64]
Key: TypeAlias = "np.int64 | int"
Shape: TypeAlias = "int | tuple[int, ...]"

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10

DRAW, SPLIT, FOLD = 0, 1, 2

_KEY = "the key (`dmc.key(0)` makes one)"

_LANES = 16
_LOW = 0xFFFF_FFFF
_HALF = 32

_FEW = 24
"""So many blocks take as long one by one as all at once."""


def philox(counter: U32, key: U32) -> U32:
    """Philox4x32-10: counters `[..., 4]` under keys `[..., 2]` (or `[2]`) to words `[..., 4]`."""
    words = [
        part[..., i].astype(np.uint64) for part in (counter, key) for i in range(part.shape[-1])
    ]
    # Arrays of u64 compute as integers do.
    return np.stack(_rounds(*cast("list[int]", words)), axis=-1).astype(np.uint32)


def _rounds(c0: int, c1: int, c2: int, c3: int, k0: int, k1: int) -> tuple[int, int, int, int]:
    """Philox4x32-10 of the words of a counter under those of a key."""
    (m0, m1), (w0, w1), low = MULTIPLIERS, WEYL, _LOW
    for _ in range(ROUNDS):
        product0, product1 = m0 * c0, m1 * c2
        c0, c2 = (product1 >> 32) ^ c1 ^ k0, (product0 >> 32) ^ c3 ^ k1
        c1, c3 = product1 & low, product0 & low
        k0, k1 = (k0 + w0) & low, (k1 + w1) & low
    return c0, c1, c2, c3


def _derived(key: int, number: int, tag: int) -> np.int64:
    """The number `(w0, w1)` of `B(key, number, tag)`, as a key."""
    seed = key & _LOW, key >> _HALF & _LOW
    low, high, _, _ = _rounds(number & _LOW, number >> _HALF, 0, tag, *seed)
    return _signed(low | high << _HALF)


def blocks(key: Key, numbers: NDArray[Any], tag: int = DRAW) -> U32:
    """The blocks `B(key, n, tag)` for an integer array of numbers `n`, as words `[*n.shape, 4]`."""
    n = np.asarray(numbers).astype(np.uint64)
    counter = np.zeros((*n.shape, 4), np.uint32)
    counter[..., 0] = (n & _LOW).astype(np.uint32)
    counter[..., 1] = (n >> _HALF).astype(np.uint32)
    counter[..., 3] = tag
    seed = int(key) % 2**64
    return philox(counter, np.array([seed & 0xFFFF_FFFF, seed >> 32], np.uint32))


def key(seed: SupportsIndex) -> np.int64:
    """The key of a seed: any integer, taken modulo 2**64."""
    return _signed(integer(seed, "`dmc.key`: the seed") % 2**64)


def split(key: Key, n: int = 2) -> tuple[np.int64, ...]:
    """`n` keys independent of each other and of every draw from `key`."""
    key = integer(key, _KEY)
    n = integer(n, "`dmc.split`: the number of keys", 0, 2**31 - 1)
    if n <= _FEW:
        return tuple([_derived(key, j, SPLIT) for j in range(n)])
    return tuple(map(_signed, _pairs(blocks(key, np.arange(n), SPLIT))[:, 0].tolist()))


def fold(key: Key, i: int) -> np.int64:
    """The key that number `i` derives from `key`."""
    key, i = integer(key, _KEY), integer(i, "`dmc.fold`: the number")
    return _derived(key, i % 2**64, FOLD)


def fold_path(key: Key, path: str) -> np.int64:
    """The key that a name derives from `key`: `fold` by the FNV-1a hash of its UTF-8 bytes."""
    value = 0xCBF2_9CE4_8422_2325
    for byte in path.encode():
        value = (value ^ byte) * 0x100_0000_01B3 % 2**64
    return fold(key, value)


_DIGITS = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}


def bits(key: Key, shape: Shape, width: int = 32) -> U32 | U64:
    """Uniform words of 32 or 64 bits, unsigned."""
    if width not in (32, 64):
        raise ValueError(f"words have 32 or 64 bits, not {width}")
    count, shape = _count(shape)
    drawn, place = _drawn(key, count, width)
    return _placed(drawn, place).reshape(shape)


def uniform(key: Key, shape: Shape = (), dtype: DTypeLike = np.float64) -> NDArray[Any]:
    """Uniform numbers in [0, 1), of a dtype of floats."""
    kind = _float(dtype)
    return _unit(bits(key, shape, 64 if kind == np.float64 else 32), kind)


def bernoulli(key: Key, p: float | NDArray[Any], shape: Shape = ()) -> NDArray[np.bool_]:
    """True with probability `p`, whose dtype decides the resolution (Python numbers: f64)."""
    chance = np.asarray(p)
    return uniform(key, shape, _float(chance.dtype)) < chance


def normal(key: Key, shape: Shape = (), dtype: DTypeLike = np.float64) -> NDArray[Any]:
    """Standard normal numbers, of a dtype of floats."""
    kind = _float(dtype)
    work = np.dtype(np.float64 if kind == np.float64 else np.float32)
    tiny = work.type(2.0**-53 if work == np.float64 else 2.0**-24)
    count, shape = _count(shape)
    drawn, place = _drawn(key, count, 8 * work.itemsize)
    unit = _unit(drawn, work)
    radius = np.sqrt(work.type(-2) * np.log(unit[:, 0::2] + tiny))
    angle = work.type(2 * np.pi) * unit[:, 1::2]
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    return _placed(pairs.reshape(drawn.shape), place).reshape(shape).astype(kind)


def permutation(key: Key, n: int) -> NDArray[np.int64]:
    """A uniformly random order of `0 … n - 1`: the stable order of `n` 64-bit draws."""
    return np.argsort(bits(key, n, 64), kind="stable")


def _drawn(key: Key, count: int, width: int) -> tuple[U32 | U64, NDArray[np.int64]]:
    """Draws `[block, place in block]` that cover `count` elements, and each element's place."""
    per_block = 128 // width
    tile = _LANES * per_block
    words = blocks(key, np.arange(-(-count // tile) * _LANES))
    p = np.arange(count)
    place = (_LANES * (p // tile) + p % _LANES) * per_block + p % tile // _LANES
    return (words if width == 32 else _pairs(words)), place


def _placed(drawn: NDArray[Any], place: NDArray[np.int64]) -> NDArray[Any]:
    return drawn.reshape(-1)[place]


def _unit(drawn: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    digits = _DIGITS[dtype.name]
    unused = drawn.dtype.type(8 * drawn.itemsize - digits)
    return (drawn >> unused).astype(dtype) * dtype.type(2.0**-digits)


def _pairs(words: U32) -> U64:
    wide = words.astype(np.uint64)
    return wide[..., 0::2] | (wide[..., 1::2] << np.uint64(_HALF))


def _signed(value: int) -> np.int64:
    """The number of the same 64 bits."""
    return np.int64(value - 2**64 if value >= 2**63 else value)


def _count(shape: Shape) -> tuple[int, tuple[int, ...]]:
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    return int(np.prod(shape, dtype=np.int64)), shape


def _float(dtype: DTypeLike) -> np.dtype[Any]:
    kind = np.dtype(dtype)
    if kind.name not in _DIGITS:
        raise TypeError(f"draws are f16, bf16, f32 or f64 here, not {kind.name}")
    return kind
