"""Stopping politely: Ctrl-C ends a run after the step at hand, not in the middle of it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class Interrupt:
    """Whether a stop is wanted."""

    wanted: bool = False


@contextmanager
def interruptible() -> Generator[Interrupt]:
    """Turns the first Ctrl-C (or SIGTERM) into a wish to stop; a second one stops at once."""
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = {kind: signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for kind, handler in before.items():
            signal.signal(kind, handler)

    def stop(kind: int, frame: FrameType | None) -> None:
        del kind, frame
        interrupt.wanted = True
        restore()

    for kind in before:
        signal.signal(kind, stop)
    try:
        yield interrupt
    finally:
        restore()
