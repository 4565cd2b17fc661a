"""Collecting garbage seldom while IR is built and taken apart."""

from __future__ import annotations

import gc
import threading
from collections.abc import Generator
from contextlib import contextmanager

SELDOM = (50_000, 20, 100)
"""Thresholds of `gc`: a module is many small objects, most of which live on or are freed at once."""

_lock = threading.Lock()
_inside = 0
_usual = gc.get_threshold()


@contextmanager
def seldom_collecting() -> Generator[None]:
    """Let the cyclic garbage collector run seldom inside the `with` block, on all threads.

    Operations and values refer to each other, so with the usual thresholds a third of the time of
    a compilation goes into walking modules that are in use.
    """
    global _inside, _usual
    with _lock:
        if _inside == 0:
            _usual = gc.get_threshold()
            gc.set_threshold(*(max(pair) for pair in zip(SELDOM, _usual, strict=True)))
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                gc.set_threshold(*_usual)
