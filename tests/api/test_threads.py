"""Threads of Python, and forks while others call or compile: nothing is held, nothing lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import dmc
from dmc.jit.cpython import natives
from dmc.jit.engine import default_engine
from dmc.jit.pool import pool
from dmc.process import Lock, native

SOURCE = """\
fn work[N](x: f64[N]) -> f64[N] = sin(x) * exp(x) + cos(x)
fn other[N](x: f64[N]) -> f64 = sum(sin(x))
fn grown[N](x: f64[N, N]) -> f64[N, N] = x @ x
"""


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = pool().threads
    yield
    pool().resize(before)


def ends(child: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Whether a forked child ends in time, having seen what it should."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = 0 if child() else 2
        finally:
            os._exit(status)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


class Busy:
    """A thread that does something again and again."""

    def __init__(self, act: Callable[[int], object]) -> None:
        self._stop = threading.Event()
        self._began = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(act,))

    def _run(self, act: Callable[[int], object]) -> None:
        count = 0
        while not self._stop.is_set():
            count += 1
            self._began.set()
            act(count)

    def __enter__(self) -> None:
        self._thread.start()
        self._began.wait()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def test_a_fork_while_another_thread_calls() -> None:
    program = dmc.loads(SOURCE)
    x = np.linspace(0.0, 1.0, 500_000)
    want = program.work(x)
    with Busy(lambda _: program.work(x)):
        for pause in (0.0, 0.003, 0.007):
            time.sleep(pause)
            assert ends(lambda: bool((program.work(x) == want).all()))


def test_a_fork_while_another_thread_compiles() -> None:
    program = dmc.loads(SOURCE)
    with Busy(lambda n: program.work(np.ones(n))):
        for pause in (0.0, 0.01, 0.02):
            time.sleep(pause)
            assert ends(lambda: program.other(np.zeros(7)) == 0)
            assert ends(lambda: dmc.loads(SOURCE).other(np.zeros(7)) == 0)


FIRST_USE = """
import os, threading, time
import numpy as np
import dmc
program = dmc.loads({source!r})
thread = threading.Thread(target=lambda: program.work(np.ones(4)))
thread.start()
time.sleep({pause})
pid = os.fork()
if pid == 0:
    os._exit(0 if program.other(np.zeros(7)) == 0 else 3)
thread.join()
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""


@pytest.mark.parametrize("pause", [0.0, 0.05, 0.07, 0.1])
def test_a_fork_while_another_thread_loads_the_compiler(pause: float) -> None:
    # Such a fork may come while modules are loaded that take part in forks themselves.
    command = [sys.executable, "-c", FIRST_USE.format(source=SOURCE, pause=pause)]
    subprocess.run(command, check=True, timeout=60)


def test_a_fork_waits_for_those_inside_llvm_and_nothing_else() -> None:
    lock, entered, leave = Lock(), threading.Event(), threading.Event()
    left: list[float] = []

    def inside() -> None:
        with lock, native:
            entered.set()
            leave.wait(0.2)
            left.append(time.monotonic())
        with lock:
            leave.wait()

    thread = threading.Thread(target=inside)
    thread.start()
    entered.wait()

    def child() -> bool:
        with lock, native:
            return bool(left)

    assert ends(child)
    leave.set()
    thread.join()


def test_threads_get_one_pool_and_one_engine() -> None:
    code = (
        "import threading\n"
        "from dmc.jit.pool import pool\n"
        "from dmc.jit.engine import default_engine\n"
        "from dmc.jit.cpython import natives\n"
        "found, barrier = [], threading.Barrier(8)\n"
        "def ask():\n"
        "    barrier.wait()\n"
        "    found.append((id(pool()), id(default_engine()), id(natives())))\n"
        "threads = [threading.Thread(target=ask) for _ in range(8)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "assert len(set(found)) == 1, found\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    assert pool() is pool()
    assert default_engine() is default_engine()
    assert natives() is natives()


def test_threads_compile_a_function_once() -> None:
    program = dmc.loads(SOURCE)
    compiled: list[object] = []
    barrier = threading.Barrier(4)

    def ask() -> None:
        barrier.wait()
        compiled.append(program.work.compile(N=33))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, compiled))) == 1


def test_the_pool_grows_while_calls_wait_for_memory_of_their_own() -> None:
    program = dmc.loads(SOURCE)
    x = np.eye(160) * 0.5
    want = program.grown(x)
    wrong: list[int] = []

    def call(_: int) -> None:
        if not (program.grown(x) == want).all():
            wrong.append(1)

    with Busy(call), Busy(call), Busy(call):
        for threads in (2, 9, 1, 17, 3, 33, 2, 65):
            dmc.set_num_threads(threads)
            time.sleep(0.005)
    assert not wrong


def test_no_property_keeps_a_lock_across_forks() -> None:
    # In Python 3.11 all instances of a class share the lock of a `functools.cached_property`.
    files = Path(dmc.__file__).parent.rglob("*.py")
    used = [f.name for f in files if "import cached_property" in f.read_text(encoding="utf-8")]
    assert used == []


AT_EXIT = """
import threading, time
import numpy as np
import dmc
program = dmc.loads({source!r})
x = np.linspace(0.0, 1.0, 300_000)
program.work(x)
def call():
    while True:
        program.work(x)
for _ in range(2):
    threading.Thread(target=call, daemon=True).start()
time.sleep(0.05)
"""


def test_an_interpreter_ends_while_daemons_call() -> None:
    command = [sys.executable, "-c", AT_EXIT.format(source=SOURCE)]
    for _ in range(3):
        subprocess.run(command, check=True, timeout=120)
