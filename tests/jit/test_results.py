"""The memory of results, and what becomes of it."""

from collections.abc import Callable

import numpy as np
import pytest

from dmc.ir.types import DType
from dmc.jit import cpython
from dmc.jit.engine import Code, Engine
from dmc.jit.entry import Array, Executable, ResultSpec
from dmc.jit.target import host

PROGRAM = """
define i32 @nothing(ptr %buffers, ptr %arena) {
  ret i32 0
}
"""
MIB = 1 << 20
pytestmark = pytest.mark.skipif(not cpython.layouts_hold(), reason="calls go through ctypes")


@pytest.fixture(scope="module")
def code() -> Code:
    return Engine(host()).load([PROGRAM], ["nothing"])


@pytest.fixture
def new(code: Code) -> Callable[[int], Array]:
    """A result of so many bytes."""

    def make(size: int) -> Array:
        (result,) = Executable(code["nothing"], (), (ResultSpec(DType.I32, (size // 4,)),))()
        return result

    return make


def test_what_a_result_leaves_behind_is_the_next_one_of_its_size(
    new: Callable[[int], Array],
) -> None:
    first = new(3 * MIB)
    address = first.ctypes.data
    del first
    assert new(3 * MIB + 64).ctypes.data != address
    assert new(3 * MIB).ctypes.data == address


def test_memory_that_an_array_still_has_is_not_given_away(new: Callable[[int], Array]) -> None:
    result = new(5 * MIB)
    result[:] = 7
    view = result[100:].reshape(-1, 4)[:, 1]
    del result
    others = [new(5 * MIB) for _ in range(3)]
    for other in others:
        other[:] = 1
    assert len({other.ctypes.data for other in others}) == 3
    assert (view == 7).all()


def test_what_is_kept_is_bounded(new: Callable[[int], Array]) -> None:
    spare = cpython.natives().spare_bytes
    results = [new(4 * MIB) for _ in range(64)]
    del results
    assert 48 * MIB < spare() <= 64 * MIB
    new(96 * MIB)
    assert 48 * MIB < spare() <= 64 * MIB
    first = new(4 * MIB)
    assert spare() <= 60 * MIB
    del first


def test_many_sizes_leave_the_latest(new: Callable[[int], Array]) -> None:
    sizes = [65536 + 64 * i for i in range(100)]
    addresses: dict[int, int] = {}
    for size in sizes:
        addresses[size] = new(size).ctypes.data
    kept = [size for size in reversed(sizes[-50:]) if new(size).ctypes.data == addresses[size]]
    assert len(kept) == 50
    np.testing.assert_array_equal(np.sort(kept), sizes[-50:])
