"""Calls of native programs from Python."""

import gc
import resource
import sys
import threading
import time

import numpy as np
import pytest

from dmc.ir.types import DType
from dmc.jit import cpython, entry
from dmc.jit.engine import Code, Engine
from dmc.jit.entry import ArgumentMismatch, ArgumentSpec, Executable, ProgramFailure, ResultSpec
from dmc.jit.pool import pool
from dmc.jit.target import host

# Programs over buffers (x, y, result): add of 8 floats, a count kept in the arena, a failure.
PROGRAMS = """
define i32 @add(ptr %buffers, ptr %arena) {
  %x = load ptr, ptr %buffers
  %y.at = getelementptr ptr, ptr %buffers, i64 1
  %y = load ptr, ptr %y.at
  %result.at = getelementptr ptr, ptr %buffers, i64 2
  %result = load ptr, ptr %result.at
  %a = load <8 x float>, ptr %x, align 4
  %b = load <8 x float>, ptr %y, align 4
  %sum = fadd <8 x float> %a, %b
  store <8 x float> %sum, ptr %result, align 4
  ret i32 0
}
define i32 @count(ptr %buffers, ptr %arena) {
entry:
  store i64 0, ptr %arena
  br label %again
again:
  %i = load volatile i64, ptr %arena
  %next = add i64 %i, 1
  store volatile i64 %next, ptr %arena
  %more = icmp slt i64 %next, 20000
  br i1 %more, label %again, label %done
done:
  %result = load ptr, ptr %buffers
  %total = load i64, ptr %arena
  store i64 %total, ptr %result
  ret i32 0
}
define i32 @fail(ptr %buffers, ptr %arena) {
  ret i32 7
}
"""
X = ArgumentSpec(DType.F32, (2, 4))
DONATED = ArgumentSpec(DType.F32, (2, 4), donated=True)
SUM = ResultSpec(DType.F32, (2, 4))


@pytest.fixture(scope="module")
def code() -> Code:
    return Engine(host()).load([PROGRAMS], ["add", "count", "fail"])


@pytest.fixture(params=["native", "ctypes"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "ctypes":
        monkeypatch.setattr(entry, "call_function", lambda _: None)
    return request.param


def arrays() -> tuple[np.ndarray, np.ndarray]:
    return np.arange(8, dtype=np.float32).reshape(2, 4), np.full((2, 4), 10, np.float32)


def test_the_native_path_is_in_use_here(code: Code) -> None:
    assert cpython.layouts_hold()
    assert Executable(code["add"], (X, X), (SUM,))._native is not None


def test_a_call_returns_new_arrays(code: Code, path: str) -> None:
    add = Executable(code["add"], (X, X), (SUM,))
    x, y = arrays()
    (first,), (second,) = add(x, y), add(x, first_of(add(x, y)))
    np.testing.assert_array_equal(first, x + y)
    np.testing.assert_array_equal(second, 2 * x + y)
    assert first.dtype == np.float32
    assert first.flags.c_contiguous
    assert first.flags.writeable
    assert first.ctypes.data % 64 == 0
    first[0, 0] = 5


def first_of(results: tuple[np.ndarray, ...]) -> np.ndarray:
    return results[0]


def test_arguments_of_any_layout(code: Code, path: str) -> None:
    add = Executable(code["add"], (X, X), (SUM,))
    x, y = arrays()
    shifted = np.zeros(33, np.uint8)[1:].view(np.float32).reshape(2, 4)
    shifted[:] = x

    class Sub(np.ndarray):
        pass

    read_only = x.copy()
    read_only.flags.writeable = False
    wide = np.repeat(x, 2, axis=1)[:, ::2]
    for other in (np.asfortranarray(x), shifted, x.view(Sub), read_only, wide):
        np.testing.assert_array_equal(add(other, y)[0], x + y)


@pytest.mark.parametrize(
    ("index", "x"),
    [
        (0, np.zeros((2, 4), np.float64)),
        (0, np.zeros((4, 2), np.float32)),
        (0, np.zeros(8, np.float32)),
        (0, np.zeros((2, 4), ">f4")),
        (0, [[0.0] * 4] * 2),
        (0, 1.0),
        (0, None),
    ],
    ids=["dtype", "shape", "rank", "byte order", "list", "float", "None"],
)
def test_arguments_that_do_not_fit(code: Code, path: str, index: int, x: np.ndarray) -> None:
    add = Executable(code["add"], (X, X), (SUM,))
    with pytest.raises(ArgumentMismatch) as caught:
        add(x, arrays()[1])
    assert caught.value.index == index


def test_a_wrong_number_of_arguments(code: Code, path: str) -> None:
    add = Executable(code["add"], (X, X), (SUM,))
    x, y = arrays()
    for given in ((), (x,), (x, y, y)):
        with pytest.raises(ArgumentMismatch, match="2 arrays expected") as caught:
            add(*given)
        assert caught.value.index is None


def test_a_donated_argument_is_overwritten(code: Code, path: str) -> None:
    add = Executable(code["add"], (DONATED, X), (ResultSpec(DType.F32, (2, 4), overwrites=0),))
    x, y = arrays()
    expected = x + y
    (result,) = add(x, y)
    assert result is x
    np.testing.assert_array_equal(x, expected)


@pytest.mark.parametrize("flaw", ["read-only", "strided", "twice"])
def test_arguments_that_cannot_be_donated(code: Code, path: str, flaw: str) -> None:
    add = Executable(code["add"], (DONATED, X), (ResultSpec(DType.F32, (2, 4), overwrites=0),))
    x, y = arrays()
    if flaw == "read-only":
        x.flags.writeable = False
    elif flaw == "strided":
        x = np.asfortranarray(x)
    else:
        y = x
    before = x.copy()
    with pytest.raises(ArgumentMismatch) as caught:
        add(x, y)
    assert caught.value.index == 0
    np.testing.assert_array_equal(x, before)


def test_specs_must_agree(code: Code) -> None:
    for result in (ResultSpec(DType.F32, (8,), overwrites=0), ResultSpec(DType.F32, (2, 4), 1)):
        with pytest.raises(ValueError, match="overwrites"):
            Executable(code["add"], (DONATED, X), (result,))


def test_a_status_is_an_error(code: Code, path: str) -> None:
    with pytest.raises(ProgramFailure) as caught:
        Executable(code["fail"], (), (SUM,))()
    assert caught.value.status == 7


def test_threads_share_an_arena_in_turns(code: Code, path: str) -> None:
    count = Executable(code["count"], (), (ResultSpec(DType.I64, ()),), arena_bytes=8)
    totals: list[int] = []

    def work() -> None:
        totals.extend(int(count()[0]) for _ in range(10))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert totals == [20_000] * 40


def test_scratch_memory_grows_with_the_threads(code: Code, path: str) -> None:
    before = pool().threads
    pool().resize(2)
    result = (ResultSpec(DType.I64, ()),)
    count = Executable(code["count"], (), result, arena_bytes=64, scratch_bytes=128)
    plain = Executable(code["count"], (), result, arena_bytes=64)
    sizes: list[int] = []
    for threads in (2, 5, 3):
        pool().resize(threads)
        sizes.append(count.memory)
        assert count()[0] == 20_000
    pool().resize(before)
    assert sizes == [64 + 2 * 128, 64 + 5 * 128, 64 + 5 * 128]
    assert plain.memory == 64


@pytest.mark.usefixtures("new_heap")
def test_nothing_leaks(code: Code, path: str) -> None:
    large = Executable(code["add"], (X, X), (ResultSpec(DType.F32, (1000, 1000)),))
    failing = Executable(code["fail"], (X,), (ResultSpec(DType.F32, (1000, 1000)),))
    x, y = arrays()
    references = sys.getrefcount(x)
    large(x, y)
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(200):
        large(x, y)
        with pytest.raises(ProgramFailure):
            failing(x)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000
    assert sys.getrefcount(x) == references


def test_too_large_a_result_is_a_memory_error(code: Code) -> None:
    huge = Executable(code["add"], (X, X), (ResultSpec(DType.F32, (1 << 60,)),))
    with pytest.raises(MemoryError):
        huge(*arrays())


def test_element_types(code: Code, path: str) -> None:
    for dtype in DType:
        spec, result = ArgumentSpec(dtype, (0, 3)), ResultSpec(dtype, (0,))
        fail = Executable(code["fail"], (spec,), (result,))
        with pytest.raises(ProgramFailure):
            fail(np.zeros((0, 3), spec.numpy))
        assert result.numpy == spec.numpy


def test_equal_dtypes_that_are_different_objects(code: Code, path: str) -> None:
    add = Executable(code["add"], (X, X), (SUM,))
    x, y = arrays()
    tagged = x.astype(np.dtype(np.float32, metadata={"unit": "m"}))
    np.testing.assert_array_equal(add(tagged, y)[0], x + y)


def test_a_call_is_cheap(code: Code) -> None:
    add = Executable(code["add"], (X, X), (SUM,))
    x, y = arrays()
    fastest = float("inf")
    for _ in range(20):
        start = time.process_time()
        for _ in range(100):
            add(x, y)
        fastest = min(fastest, (time.process_time() - start) / 100)
    assert fastest < 5e-6
