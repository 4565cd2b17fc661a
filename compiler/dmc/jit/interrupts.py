"""Ctrl-C during a call: a program that polls ends, and Python raises KeyboardInterrupt.

Python's own handler only makes a note, which is read when the call is over. So, while a program
runs on the main thread, a handler stands in front of it that also tells the program to end.
"""

from __future__ import annotations

import ctypes
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from dmc.jit.cpython import natives
from dmc.process import once

STOPPED = 2
"""The status of a program that has ended because it should."""

_ACTION_BYTES = 512
"""More than a `struct sigaction` has anywhere; it begins with the address of the handler."""


@dataclass
class _Behind:
    """The handler that ours last stood in front of."""

    handler: int | None = None


_BEHIND = _Behind()


@contextmanager
def watched(stop: ctypes.c_int32) -> Generator[None]:
    """Within, Ctrl-C sets the word that a program polls.

    Only where Ctrl-C would raise KeyboardInterrupt: other handlers decide for themselves.
    """
    if not _raises():
        yield
        return
    before = (ctypes.c_char * _ACTION_BYTES)()
    _sigaction(None, before)
    handler = ctypes.c_void_p.from_buffer(before).value
    if handler == natives().interrupted:
        # It stayed: an interrupt came while it was taken away, or this call is inside another.
        handler = _BEHIND.handler
    _BEHIND.handler = handler
    action = (ctypes.c_char * _ACTION_BYTES).from_buffer_copy(before)
    ctypes.c_void_p.from_buffer(action).value = natives().interrupted
    stop.value = 0
    natives().watch(ctypes.addressof(stop), handler)
    _sigaction(action, None)
    try:
        yield
    finally:
        natives().watch(None, handler)
        _sigaction(before, None)
        stop.value = 0


def _raises() -> bool:
    return (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )


def _sigaction(
    new: ctypes.Array[ctypes.c_char] | None, old: ctypes.Array[ctypes.c_char] | None
) -> None:
    if _libc().sigaction(int(signal.SIGINT), new, old):
        raise OSError("cannot install a handler of SIGINT")


@once
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)
