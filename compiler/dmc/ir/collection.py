"""Collecting garbage seldom while IR is built and taken apart."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

SELDOM = (2_000_000, 1000, 100)
"""Thresholds of `gc`: a module is many small objects that live on, or are freed at once."""

MANY = 1_000_000
"""So many objects are declared old without a look before all are looked at once."""

SHARE = 0.03
"""What that may take of the time spent inside: a process may have any number of objects."""


@dataclass
class _Collection:
    """How many `with` blocks are being run, and the thresholds from before the first of them."""

    inside: int = 0
    usual: tuple[int, int, int] = (0, 0, 0)
    unseen: int = 0
    """Objects that were declared old since all were looked at."""
    begun: float = 0.0
    spent: float = 0.0
    """Seconds inside since then."""
    cost: float = 0.0
    """Seconds that it took."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def enter(self) -> None:
        with self.lock:
            if self.inside == 0:
                self.usual = gc.get_threshold()
                pairs = zip(SELDOM, self.usual, strict=True)
                gc.set_threshold(*(max(pair) if all(pair) else 0 for pair in pairs))
                self.begun = time.perf_counter()
            self.inside += 1

    def leave(self) -> None:
        with self.lock:
            self.inside = max(self.inside - 1, 0)
            if self.inside == 0:
                self._declare_old()
                gc.set_threshold(*self.usual)

    def _declare_old(self) -> None:
        """Move what was made to the oldest generation, where the collector would put it in the end.

        With the usual thresholds it would look at all of it as soon as the block is left.
        """
        if gc.get_freeze_count() or not gc.isenabled():
            return
        self.unseen += gc.get_count()[0]
        self.spent += time.perf_counter() - self.begun
        gc.freeze()
        gc.unfreeze()
        if self.unseen > MANY and self.cost <= SHARE * self.spent:
            start = time.perf_counter()
            gc.collect()
            self.unseen, self.spent, self.cost = 0, 0.0, time.perf_counter() - start

    def forget(self) -> None:
        """Start anew in a child process, which has no part of what other threads were doing."""
        if self.inside:
            gc.set_threshold(*self.usual)
        self.inside = 0
        self.lock = threading.Lock()


_COLLECTION = _Collection()
os.register_at_fork(after_in_child=_COLLECTION.forget)


@contextmanager
def seldom_collecting() -> Generator[None]:
    """Let the cyclic garbage collector run seldom inside the `with` block, on all threads.

    Operations and values refer to each other, so with the usual thresholds a third of the time of
    a compilation goes into walking modules that are in use.
    """
    _COLLECTION.enter()
    try:
        yield
    finally:
        _COLLECTION.leave()
