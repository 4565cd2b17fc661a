"""The native thread pool."""

import ctypes
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from dmc.diagnostics.errors import CallError
from dmc.jit import pool as pool_module
from dmc.jit.engine import Code, Engine
from dmc.jit.pool import MAX_THREADS, PARALLEL_FOR, THREADS_VARIABLE, ThreadPool, pool
from dmc.jit.target import host, named

# `task` adds 1 to counter t and the worker's index to a sum; `nested` runs four of them.
TASKS = """
declare void @dmc_parallel_for(ptr, ptr, i64)
define void @task(ptr %context, i64 %task, i64 %worker) {
  %place = getelementptr i64, ptr %context, i64 %task
  atomicrmw add ptr %place, i64 1 monotonic
  ret void
}
define void @who(ptr %context, i64 %task, i64 %worker) {
  %place = getelementptr i64, ptr %context, i64 %worker
  atomicrmw add ptr %place, i64 1 monotonic
  ret void
}
define void @nested(ptr %context, i64 %task, i64 %worker) {
  call void @dmc_parallel_for(ptr @task, ptr %context, i64 4)
  ret void
}
define void @repeat(ptr %context, i64 %tasks, i64 %times) {
entry:
  br label %again
again:
  %i = phi i64 [ 0, %entry ], [ %next, %again ]
  call void @dmc_parallel_for(ptr @task, ptr %context, i64 %tasks)
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %times
  br i1 %more, label %again, label %done
done:
  ret void
}
"""


@pytest.fixture(scope="module")
def code() -> Code:
    symbols = {PARALLEL_FOR: pool().parallel_for}
    return Engine(host()).load([TASKS], ["task", "who", "nested", "repeat"], symbols)


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = pool().threads
    yield
    pool().resize(before)


def repeat(code: Code) -> Callable[[int, int, int], None]:
    return ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(code["repeat"])


def run(function: int, counters: np.ndarray, tasks: int) -> None:
    prototype = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
    prototype(pool().parallel_for)(function, counters.ctypes.data, tasks)


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("tasks", [0, 1, 2, 7, 1000])
def test_every_task_runs_once(code: Code, threads: int, tasks: int) -> None:
    pool().resize(threads)
    counters = np.zeros(1001, np.int64)
    repeat(code)(counters.ctypes.data, tasks, 50)
    np.testing.assert_array_equal(counters, np.where(np.arange(1001) < tasks, 50, 0))


def test_worker_indices_are_below_the_number_of_threads(code: Code) -> None:
    pool().resize(3)
    counters = np.zeros(16, np.int64)
    run(code["who"], counters, 10_000)
    assert counters[:3].sum() == 10_000
    assert not counters[3:].any()


def test_sleeping_workers_wake_up(code: Code) -> None:
    pool().resize(2)
    counters = np.zeros(64, np.int64)
    for _ in range(20):
        time.sleep(0.001)
        run(code["task"], counters, 64)
    assert (counters == 20).all()


def test_nested_regions_run_serially(code: Code) -> None:
    pool().resize(2)
    counters = np.zeros(4, np.int64)
    run(code["nested"], counters, 100)
    assert (counters == 100).all()


def test_threads_of_python_may_call_at_once(code: Code) -> None:
    pool().resize(2)
    counters = [np.zeros(32, np.int64) for _ in range(4)]
    function = repeat(code)
    threads = [threading.Thread(target=function, args=(c.ctypes.data, 32, 2000)) for c in counters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((c == 2000).all() for c in counters)


def test_resizing_while_others_compute(code: Code) -> None:
    counters = np.zeros(8, np.int64)
    worker = threading.Thread(target=repeat(code), args=(counters.ctypes.data, 8, 20_000))
    worker.start()
    for threads in (1, 3, 2, 4, 1, 2):
        pool().resize(threads)
    worker.join()
    assert (counters == 20_000).all()


LATE_WORKERS = """
import itertools
import numpy as np
from tests.jit.test_pool import *
pool().resize(16)
loaded = Engine(host()).load([TASKS], ["task"], {PARALLEL_FOR: pool().parallel_for})
counters = np.zeros(400, np.int64)
for i, tasks in zip(range(20_000), itertools.cycle((2, 400, 3))):
    run(loaded["task"], counters, tasks)
    if i % 2000 == 0:
        pool().resize(16 - i // 2000)
assert counters[400 - 1] == 20_000 // 3 + 1 and counters[2] == 2 * (20_000 // 3) + 1, counters
"""


def test_workers_late_for_one_region_leave_the_next_alone() -> None:
    command = [sys.executable, "-c", LATE_WORKERS]
    assert subprocess.run(command, timeout=60, check=False).returncode == 0


FORK = """
import os, sys, threading
import numpy as np
from tests.jit.test_pool import *
pool().resize(2)
loaded = Engine(host()).load([TASKS], ["repeat"], {PARALLEL_FOR: pool().parallel_for})
counters = np.zeros(16, np.int64)
repeat(loaded)(counters.ctypes.data, 16, 100)
child = os.fork()
if child == 0:
    others = [np.zeros(16, np.int64) for _ in range(4)]
    calls = [threading.Thread(target=repeat(loaded), args=(c.ctypes.data, 16, 50)) for c in others]
    for call in calls:
        call.start()
    for call in calls:
        call.join()
    assert all((c == 50).all() for c in others)
repeat(loaded)(counters.ctypes.data, 16, 100)
pool().resize(3)
repeat(loaded)(counters.ctypes.data, 16, 100)
good = (counters == 300).all()
if child == 0:
    os._exit(0 if good else 1)
sys.exit(0 if good and os.waitpid(child, 0)[1] == 0 else 1)
"""


def test_a_fork_has_threads_of_its_own() -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORK]
    assert subprocess.run(command, timeout=60, check=False).returncode == 0


# One task calls Python, which forks; the others add 1 to a counter each. No two threads may call
# Python here: CPython 3.11 takes a lock for that which stays locked in a child, as ours do not.
FORKING_TASK = """
define void @fork(ptr %context, i64 %task, i64 %worker) {
  %first = icmp eq i64 %task, 0
  br i1 %first, label %call, label %count
call:
  %function = load ptr, ptr %context
  call void %function()
  ret void
count:
  %place = getelementptr i64, ptr %context, i64 %task
  atomicrmw add ptr %place, i64 1 monotonic
  ret void
}
"""
FORK_IN_A_REGION = """
import ctypes, os, sys
import numpy as np
from dmc.jit.engine import Engine
from dmc.jit.pool import PARALLEL_FOR, pool
from dmc.jit.target import host
from tests.jit.test_pool import FORKING_TASK, TASKS, repeat, run
pool().resize(8)
symbols = {PARALLEL_FOR: pool().parallel_for}
loaded = Engine(host()).load([TASKS, FORKING_TASK], ["repeat", "fork"], symbols)
runs = np.zeros(64, np.int64)
def forks():
    child = os.fork()
    if child:
        assert os.waitpid(child, 0)[1] == 0
        return
    counters = np.zeros(16, np.int64)
    before = runs.copy()
    repeat(loaded)(counters.ctypes.data, 16, 100)
    os._exit(0 if (counters == 100).all() and (runs == before).all() else 1)
called = ctypes.CFUNCTYPE(None)(forks)
for _ in range(5):
    runs[:] = 0
    runs[0] = ctypes.cast(called, ctypes.c_void_p).value
    run(loaded["fork"], runs, 64)
    assert (runs[1:] == 1).all()
"""


def test_a_fork_has_nothing_of_the_region_it_interrupts() -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORK_IN_A_REGION]
    done = subprocess.run(command, timeout=60, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("threads", [0, -1, MAX_THREADS + 1])
def test_numbers_out_of_range(threads: int) -> None:
    with pytest.raises(CallError, match="number of threads") as caught:
        pool().resize(threads)
    assert caught.value.diagnostics[0].code == "call.threads"


def test_the_environment_sets_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(THREADS_VARIABLE, "3")
    assert pool_module.default_threads() == 3
    monkeypatch.delenv(THREADS_VARIABLE)
    assert 1 <= pool_module.default_threads() <= len(os.sched_getaffinity(0))
    for bad in ("many", "0"):
        monkeypatch.setenv(THREADS_VARIABLE, bad)
        with pytest.raises(CallError, match=THREADS_VARIABLE):
            pool_module.default_threads()


def test_public_functions() -> None:
    pool_module.set_num_threads(2)
    assert pool_module.get_num_threads() == 2


def test_the_pool_compiles_for_other_targets() -> None:
    assert "isb" in Engine(named("aarch64")).assembly(pool_module.source(named("aarch64")))


def test_two_pools_do_not_disturb_each_other(code: Code) -> None:
    engine = Engine(host())
    exports = (PARALLEL_FOR, "dmc_pool_configure", "dmc_pool_pause")
    second = ThreadPool(engine.load([pool_module.source(host())], exports), 2)
    counters = np.zeros(8, np.int64)
    prototype = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
    prototype(second.parallel_for)(code["task"], counters.ctypes.data, 8)
    assert (counters == 1).all()
    second.resize(1)
