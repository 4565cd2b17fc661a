"""Random keys against published known answers and a scalar transcription."""

import math
import sys

import numpy as np
import pytest
from scipy import stats

from dmc_runtime import keys

# Known answers of Random123 1.14 (kat_vectors, philox4x32 with 10 rounds): counter, key, words.
KNOWN = [
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


def scalar_philox(counter: list[int], key: list[int]) -> list[int]:
    """The published round function on Python integers."""
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(10):
        a, b = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (b >> 32) ^ c1 ^ k0, b % 2**32, (a >> 32) ^ c3 ^ k1, a % 2**32
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return [c0, c1, c2, c3]


def block(key: int, n: int, tag: int) -> list[int]:
    key %= 2**64
    return scalar_philox([n % 2**32, n >> 32, 0, tag], [key % 2**32, key >> 32])


def draw(key: int, p: int, width: int) -> int:
    """Element `p` of a draw, as the module's docstring says it."""
    if width == 32:
        return block(key, 16 * (p // 64) + p % 16, 0)[p % 64 // 16]
    words = block(key, 16 * (p // 32) + p % 16, 0)
    half = p % 32 // 16
    return words[2 * half] + 2**32 * words[2 * half + 1]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_philox_gives_the_known_answers(counter, key, words):
    got = keys.philox(np.array(counter, np.uint32), np.array(key, np.uint32))
    assert got.tolist() == words
    assert scalar_philox(counter, key) == words


def test_bits_follow_the_positions_of_the_docstring():
    for width in (32, 64):
        got = keys.bits(keys.key(-5), 200, width)
        assert got.tolist() == [draw(-5, p, width) for p in range(200)]


def test_draws_depend_on_position_not_on_shape():
    k = keys.key(3)
    long = keys.bits(k, 1000)
    for n in (1, 15, 16, 17, 63, 64, 65, 999):
        assert np.array_equal(keys.bits(k, n), long[:n])
    assert np.array_equal(keys.bits(k, (10, 100)), long.reshape(10, 100))
    assert keys.bits(k, 0).shape == (0,)


def test_split_and_fold_are_blocks_of_their_own_tags():
    for seed in (0, -1, 2**63 - 1):
        first, second = keys.split(keys.key(seed))
        expected = [block(seed, j, 1) for j in range(2)]
        assert [int(first) % 2**64, int(second) % 2**64] == [w[0] + 2**32 * w[1] for w in expected]
        for i in (0, 7, 2**40, -1):
            w = block(seed, i % 2**64, 2)
            assert int(keys.fold(keys.key(seed), i)) % 2**64 == w[0] + 2**32 * w[1]


@pytest.mark.parametrize(("made", "most"), [(keys.fold, 16), (keys.split, 20)])
def test_keys_are_made_by_few_calls(made, most):
    """A step folds its key: that is microseconds, and what costs are calls, not integers."""
    calls = []

    def counted(frame, event, function):
        if event in ("call", "c_call"):
            calls.append(event)

    key = keys.key(1)
    made(key, 2)
    sys.setprofile(counted)
    made(key, 2)
    sys.setprofile(None)
    assert 0 < len(calls) <= most


def test_fold_path_uses_fnv_1a():
    # FNV-1a of "foobar", from the authors' test suite (draft-eastlake-fnv).
    assert keys.fold_path(1, "foobar") == keys.fold(1, 0x85944171F73967E8)


def test_uniform_takes_the_top_bits():
    u32 = keys.uniform(9, 300, np.float32)
    assert u32.tolist() == [(draw(9, p, 32) >> 8) * 2.0**-24 for p in range(300)]
    u64 = keys.uniform(9, 300)
    assert u64.tolist() == [(draw(9, p, 64) >> 11) * 2.0**-53 for p in range(300)]
    u16 = keys.uniform(9, 300, np.float16)
    assert u16.tolist() == [(draw(9, p, 32) >> 21) * 2.0**-11 for p in range(300)]
    assert u16.max() < 1


def test_normal_is_box_muller():
    z = keys.normal(4, 150)
    for p in range(150):
        words = block(4, 16 * (p // 32) + p % 16, 0)
        u, v = ((words[i] + 2**32 * words[i + 1] >> 11) * 2.0**-53 for i in (0, 2))
        r = math.sqrt(-2 * math.log(u + 2.0**-53))
        angle = 2 * math.pi * v
        expected = r * (math.sin(angle) if p % 32 // 16 else math.cos(angle))
        assert z[p] == pytest.approx(expected, rel=1e-13, abs=1e-15)
    z = keys.normal(4, 150, np.float32)
    for p in range(150):
        words = block(4, 16 * (p // 64) + p % 16, 0)
        j = p % 64 // 16
        u, v = (words[i] >> 8 for i in (j - j % 2, j - j % 2 + 1))
        r = math.sqrt(-2 * math.log((u + 1) * 2.0**-24))
        angle = 2 * math.pi * v * 2.0**-24
        expected = r * (math.sin(angle) if j % 2 else math.cos(angle))
        assert z[p] == pytest.approx(expected, rel=1e-5, abs=5e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_distributions(dtype):
    n = 200_000
    assert stats.kstest(keys.uniform(1, n, dtype), "uniform").pvalue > 1e-3
    z = keys.normal(2, n, dtype)
    assert z.dtype == dtype
    assert np.isfinite(z).all()
    assert stats.kstest(z, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(z[:-1], z[1:])[0, 1]) < 0.01
    assert abs(keys.bernoulli(3, dtype(0.3), n).mean() - 0.3) < 0.005


def test_permutation_is_one():
    order = keys.permutation(5, 1000)
    assert sorted(order.tolist()) == list(range(1000))
    assert not np.array_equal(order, keys.permutation(6, 1000))


def test_refusals():
    with pytest.raises(TypeError, match="f16, bf16, f32 or f64"):
        keys.uniform(0, 3, np.int32)
    with pytest.raises(ValueError, match="32 or 64"):
        keys.bits(0, 3, 16)
