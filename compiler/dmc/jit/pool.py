"""The native thread pool: loading it, and how many threads it has."""

from __future__ import annotations

import atexit
import ctypes
import os
import time
import weakref
from importlib import resources
from typing import Protocol

from dmc.diagnostics.diagnostic import Diagnostic
from dmc.diagnostics.errors import error
from dmc.jit.engine import Code, engine_for
from dmc.jit.processors import available
from dmc.jit.target import Target, host
from dmc.process import Lock, once
from dmc_runtime.arguments import integer, shown

THREADS_VARIABLE = "DMC_NUM_THREADS"
PARALLEL_FOR = "dmc_parallel_for"
"""Symbol of `void (void (*function)(void *context, int64_t task, int64_t worker), void *context,
int64_t tasks)`."""

MAX_THREADS = 1024
# A worker sleeps after this long without work; waking one up takes about as long.
_SPIN_NANOSECONDS = 40_000
_RETRY_SECONDS = 0.0001
_SIG_SETMASK = {"linux": 2, "darwin": 3}
_PAUSE = {"x86": ("llvm.x86.sse2.pause", ""), "arm": ("llvm.aarch64.isb", "i32 15")}


def source(target: Target) -> str:
    """The pool as LLVM IR for `target`."""
    text = (resources.files("dmc.jit") / "pool.ll").read_text(encoding="utf-8")
    hint, argument = _PAUSE["x86" if target.is_x86 else "arm"]
    system = "darwin" if "darwin" in target.triple or "macos" in target.triple else "linux"
    return f"""target triple = "{target.triple}"
{text.replace("i32 SIG_SETMASK", f"i32 {_SIG_SETMASK[system]}")}
declare void @{hint}({argument.partition(" ")[0]})
define internal void @pause() nounwind {{
  call void @{hint}({argument})
  ret void
}}
"""


class Reserves(Protocol):
    """Something that holds memory for every thread of the pool."""

    def reserve(self, threads: int) -> None:
        """Have memory for at least that many threads."""
        ...


class ThreadPool:
    """The pool of this process. Its threads start with the first parallel region.

    It survives a fork: the child starts threads of its own when it needs them.
    """

    def __init__(self, code: Code, threads: int) -> None:
        self._code = code
        self._lock = Lock()
        self._holders: weakref.WeakSet[Reserves] = weakref.WeakSet()
        prototype = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int64, ctypes.c_int64)
        self._configure = prototype(code["dmc_pool_configure"])
        self._pauses_per_spin = self._measure_spin()
        self._threads = 1
        self.resize(threads)

    @property
    def parallel_for(self) -> int:
        """Address of `dmc_parallel_for`."""
        return self._code[PARALLEL_FOR]

    @property
    def threads(self) -> int:
        """How many threads a region uses, the calling thread included."""
        return self._threads

    def subscribe(self, holder: Reserves) -> None:
        """Have `holder` reserve memory now, and before the number of threads grows."""
        with self._lock:
            self._holders.add(holder)
            holder.reserve(self._threads)

    def resize(self, threads: int) -> None:
        """Use `threads` threads, waiting for a running region to end.

        Raises `CallError` (`call.threads`) unless 1 ≤ threads ≤ MAX_THREADS.
        """
        threads = integer(threads, "the number of threads")
        _check(threads, "the number of threads")
        # Spinning helps only while every thread has a processor of its own.
        spins = self._pauses_per_spin if threads <= available() else 0
        with self._lock:
            if threads > self._threads:
                for holder in self._holders:
                    holder.reserve(threads)
            while self._configure(threads, spins):
                time.sleep(_RETRY_SECONDS)
            self._threads = threads

    def close(self) -> None:
        """End the workers, unless a region keeps running for a second."""
        deadline = time.monotonic() + 1
        while self._configure(1, 0) and time.monotonic() < deadline:
            time.sleep(_RETRY_SECONDS)

    def _measure_spin(self) -> int:
        pause = ctypes.CFUNCTYPE(None, ctypes.c_int64)(self._code["dmc_pool_pause"])
        trial = 200
        fastest = min(_nanoseconds(pause, trial) for _ in range(3))
        return max(1, trial * _SPIN_NANOSECONDS // max(fastest, 1))


def _nanoseconds(pause: ctypes._CFunctionType, count: int) -> int:  # pyright: ignore[reportPrivateUsage]
    start = time.perf_counter_ns()
    pause(count)
    return time.perf_counter_ns() - start


def _check(threads: int, what: str) -> None:
    if not 1 <= threads <= MAX_THREADS:
        raise error(
            Diagnostic(
                "call.threads",
                f"{what} is {shown(threads)}; it must be from 1 to {MAX_THREADS}",
                at_call=True,
            )
        )


def default_threads() -> int:
    """`DMC_NUM_THREADS`, else the processors that this process may use.

    Raises `CallError` (`call.threads`) when the variable holds no number in range.
    """
    text = os.environ.get(THREADS_VARIABLE, "").strip()
    if not text:
        return min(available(), MAX_THREADS)
    try:
        threads = int(text)
    except ValueError:
        raise error(
            Diagnostic(
                "call.threads",
                f"{THREADS_VARIABLE} is `{text}`, which is not a number",
                at_call=True,
            )
        ) from None
    _check(threads, THREADS_VARIABLE)
    return threads


@once
def pool() -> ThreadPool:
    """The pool of this process, loaded on first use."""
    target = host()
    engine = engine_for(target)
    exports = (PARALLEL_FOR, "dmc_pool_configure", "dmc_pool_pause")
    loaded = ThreadPool(engine.load([source(target)], exports), default_threads())
    # The code goes away with the process: no thread may be left in it.
    atexit.register(loaded.close)
    return loaded


def set_num_threads(threads: int) -> None:
    """Set how many threads compiled programs use; results do not depend on it.

    Raises `CallError` (`call.threads`) for a number out of range.
    """
    pool().resize(threads)


def get_num_threads() -> int:
    """How many threads compiled programs use."""
    return pool().threads
