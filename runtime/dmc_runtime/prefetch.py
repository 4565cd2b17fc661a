"""Preparing batches while a step runs."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class _Failed:
    """What went wrong while the next item was made."""

    error: BaseException


class _Ahead(Generic[T]):
    """An iterator whose next items another thread makes, a few ahead."""

    def __init__(self, items: Iterator[T], depth: int) -> None:
        self._items = items
        self._ready: queue.Queue[T | _Failed | None] = queue.Queue(depth)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, name="dmc-prefetch", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        item = self._ready.get()
        if isinstance(item, _Failed):
            raise item.error
        if item is None:
            raise StopIteration
        return item

    def close(self) -> None:
        """End the thread; what it made and nobody took is dropped."""
        self._closed.set()
        while self._thread.is_alive():
            try:
                self._ready.get(timeout=0.01)
            except queue.Empty:
                continue
        self._thread.join()

    def _work(self) -> None:
        last: _Failed | None = None
        try:
            for item in self._items:
                if self._closed.is_set():
                    return
                self._ready.put(item)
        except BaseException as error:  # noqa: BLE001  # raised where the item is asked for
            last = _Failed(error)
        self._ready.put(last)


@contextmanager
def prefetched(items: Iterator[T], depth: int) -> Generator[Iterator[T]]:
    """The items in order, up to `depth` of them made ahead by a thread; 0 makes none ahead."""
    if depth < 1:
        yield items
        return
    ahead = _Ahead(items, depth)
    try:
        yield ahead
    finally:
        ahead.close()
