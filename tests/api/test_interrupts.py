"""Ctrl-C ends a call that would not end, and the next one works."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

import numpy as np
import pytest

import dmc
from dmc.api.function import Function

program = dmc.loads("""
fn endless(x: f64) -> f64 {
    var s = x
    while s < 1e300 { s = s * 0.5 + 1.0 }
    s
}
fn each[N](x: f64[N]) -> f64[N] = [i] => endless(x[i])
fn nested(x: f64, n: i64) -> f64 {
    var s = x
    for i in 0..n { for j in 0..n { s = sin(s + f64(j)) } }
    s
}
fn short(x: f64) -> f64 {
    var s = x
    while s < 100.0 { s = s * 2.0 + 1.0 }
    s
}
""")

CALLS: dict[str, tuple[Function, tuple[object, ...]]] = {
    "while": (program.endless, (1.0,)),
    "lanes": (program.each, (np.ones(64),)),
    "for": (program.nested, (1.0, 1 << 31)),
    "tape": (dmc.grad(program.endless), (1.0,)),
}


@pytest.fixture(autouse=True)
def heard() -> Generator[None]:
    """Ctrl-C as Python has it: what is started in the background may ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@contextmanager
def interrupted(after: float) -> Generator[None]:
    """As if Ctrl-C was pressed some seconds from now."""
    timer = threading.Timer(after, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_does_not_end(call: str) -> None:
    function, arguments = CALLS[call]
    # An interrupt in the middle of compiling may meet a finaliser of LLVM's, where Python loses it.
    function.compile(*arguments)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), interrupted(0.2):
            function(*arguments)
        assert program.short(3.0) == 127.0
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_the_caller_is_called_when_the_call_is_over() -> None:
    seen: list[int] = []

    def handler(number: int, frame: FrameType | None) -> None:
        seen.append(number)

    before = signal.signal(signal.SIGINT, handler)
    try:
        with interrupted(0.02):
            result = program.nested(1.0, 2500)
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [signal.SIGINT]
    assert result == program.nested(1.0, 2500)


def test_a_call_on_another_thread_goes_on() -> None:
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(program.nested(1.0, 2500)))
    thread.start()
    with pytest.raises(KeyboardInterrupt), interrupted(0.02):
        program.endless(1.0)
    thread.join()
    assert results == [program.nested(1.0, 2500)]


def test_a_handler_that_stayed_is_not_in_front_of_itself() -> None:
    """Called by itself it would not end; a process of its own, since it would not end well."""
    code = """
import ctypes, os, signal
from dmc.jit.interrupts import watched
words = ctypes.c_int32(), ctypes.c_int32()
try:
    with watched(words[0]), watched(words[1]):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(10**6):
            pass
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "interrupted\n")
