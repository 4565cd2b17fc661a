"""What the threads of a process share, and what becomes of it when the process forks.

A child has one thread, and whatever its siblings held in the parent stays held for ever. So a fork
waits until nobody is inside LLVM or importing a module of ours (`native`), whose state would else
be torn; all other locks are free in the child (`Lock`), which starts over with what they guard.
"""

from __future__ import annotations

import functools
import importlib
import os
import threading
import weakref
from collections.abc import Callable
from typing import Generic, TypeVar, overload

R = TypeVar("R")

VERIFY_EACH = "DMC_VERIFY_EACH"
"""Environment variable: set, passes run even where what they made before is in the cache.

Unless it is 0, the IR is checked after every pass instead of before it is lowered only.
"""


class Lock:
    """A reentrant lock that is free in a forked child.

    Only for what is still right when its holder vanishes halfway.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def renew(self) -> None:
        """Be free, whoever had it."""
        self._lock = threading.RLock()


class _Native:
    """A reentrant lock that a fork waits for, before those who come later."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Be free, whoever had it."""
        # Reentrant, since a destructor may run between any two lines below.
        self._gate, self._lock = threading.RLock(), threading.RLock()
        self._owner, self._depth = 0, 0

    def __enter__(self) -> None:
        thread = threading.get_ident()
        if self._owner == thread:
            self._depth += 1
            return
        # Who waits for the lock holds the gate: nobody passes it meanwhile.
        with self._gate:
            self._lock.acquire()
        self._owner, self._depth = thread, 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            self._owner = 0
            self._lock.release()


_locks: weakref.WeakSet[Lock] = weakref.WeakSet()

native = _Native()
"""Held while inside LLVM, while importing a module for the first time, and by `once`."""

compiling = Lock()
"""Held while a function is compiled, so that no two threads compile the same one."""


def _begin_anew() -> None:
    native.renew()
    for lock in list(_locks):
        lock.renew()


# Handlers run in the reverse order of their registration. Those of these modules take locks that an
# import needs, so ours, which waits for imports, must be registered behind them.
for _name in ("logging", "concurrent.futures.thread"):
    importlib.import_module(_name)

os.register_at_fork(
    before=native.__enter__, after_in_parent=native.__exit__, after_in_child=_begin_anew
)


def once(make: Callable[[], R]) -> Callable[[], R]:
    """Make something once in a process, whatever thread asks first."""
    made: list[R] = []

    @functools.wraps(make)
    def get() -> R:
        if not made:
            with native:
                if not made:
                    made.append(make())
        return made[0]

    return get


O = TypeVar("O")


class lazy(Generic[O, R]):  # noqa: N801  # used like `property`
    """A property that is computed when it is first asked for and kept.

    Without the lock of `functools.cached_property` in Python 3.11, which all instances share and a
    forked child would find held; two threads may compute it, to the same effect.
    """

    def __init__(self, compute: Callable[[O], R]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type[O], name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type[O]) -> lazy[O, R]: ...
    @overload
    def __get__(self, instance: O, owner: type[O]) -> R: ...
    def __get__(self, instance: O | None, owner: type[O]) -> lazy[O, R] | R:
        if instance is None:
            return self
        value = self._compute(instance)
        instance.__dict__[self._name] = value
        return value

    def forget(self, instance: O) -> None:
        """Compute it anew when it is next asked for."""
        instance.__dict__.pop(self._name, None)
