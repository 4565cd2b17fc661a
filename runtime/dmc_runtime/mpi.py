"""A team of processes that talk by MPI (`pip install "dmc[mpi]"`)."""

# ruff: noqa: N802  # MPI's own names

from __future__ import annotations

import importlib
import sys
import time
import traceback
from typing import Protocol, TypeVar, cast

from dmc_runtime.errors import MissingExtraError
from dmc_runtime.trees import Array

T = TypeVar("T")

_PATIENCE = 5.0
"""Seconds after which a member that failed no longer waits for the others to fail, too."""


class _Request(Protocol):
    def Test(self) -> bool: ...


class _Communicator(Protocol):
    """What is used of `mpi4py.MPI.Comm`, which need not be installed."""

    def Get_rank(self) -> int: ...
    def Get_size(self) -> int: ...
    def Dup(self) -> _Communicator: ...
    def Sendrecv(
        self, given: _Buffer, to: int, tag: int, taken: _Buffer, source: int, other_tag: int
    ) -> None: ...
    def Send(self, given: _Buffer, to: int, tag: int) -> None: ...
    def Recv(self, taken: _Buffer, source: int, tag: int) -> None: ...
    def Ibarrier(self) -> _Request: ...
    def Abort(self, status: int) -> None: ...
    def allgather(self, value: T) -> list[T]: ...


class _Module(Protocol):
    """What is used of `mpi4py.MPI`."""

    COMM_WORLD: _Communicator
    BYTE: object


_Buffer = list[object]
"""An array, its bytes, and their MPI type."""


class Processes:
    """All that `mpirun` started. MPI is called from one thread at a time."""

    def __init__(self) -> None:
        self._mpi = _mpi4py()
        self._world = self._mpi.COMM_WORLD
        self._farewell = self._world.Dup()
        self.rank = self._world.Get_rank()
        self.size = self._world.Get_size()

    def swap(self, partner: int, give: Array, take: Array) -> None:
        """Give an array to another member, and fill one with what that gives."""
        self._world.Sendrecv(self._bytes(give), partner, 0, self._bytes(take), partner, 0)

    def share(self, value: T) -> list[T]:
        """What every member gives, by rank."""
        return self._world.allgather(value)

    def send(self, array: Array, to: int) -> None:
        """Give an array to a member that takes it."""
        self._world.Send(self._bytes(array), to, 1)

    def receive(self, array: Array, source: int) -> None:
        """Fill an array with what a member sends."""
        self._world.Recv(self._bytes(array), source, 1)

    def give_up(self) -> None:
        """End the processes of all, unless all of them come here now."""
        request = self._farewell.Ibarrier()
        late = time.monotonic() + _PATIENCE
        while not request.Test():
            if time.monotonic() > late:
                # Nothing is said after that.
                sys.stderr.write(f"process {self.rank} of {self.size}: {traceback.format_exc()}")
                sys.stderr.flush()
                self._world.Abort(1)
            time.sleep(0.01)

    def _bytes(self, array: Array) -> _Buffer:
        return [array, array.nbytes, self._mpi.BYTE]


def _mpi4py() -> _Module:
    try:
        return cast("_Module", importlib.import_module("mpi4py.MPI"))
    except ImportError as error:
        raise MissingExtraError("mpi4py", "mpi", "a run on several processes") from error
