"""The processes that take the steps of a run together; usually there is one.

What a team does, all of its members call at the same place of the program. Which ones a process is
in is known from how it was started; see `of_this_process`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import Protocol, TypeVar, cast

from dmc_runtime.errors import Error
from dmc_runtime.trees import Array

T = TypeVar("T")


class Team(Protocol):
    """Processes with numbers from 0 on; the first leads: it alone writes files and says anything.

    Attributes:
        rank: the number of this process.
        size: how many there are.
    """

    rank: int
    size: int

    def swap(self, partner: int, give: Array, take: Array) -> None:
        """Give an array to another member, and fill one with what that gives. Both are flat."""
        ...

    def share(self, value: T) -> list[T]:
        """What every member gives, by rank."""
        ...

    def send(self, array: Array, to: int) -> None:
        """Give an array to a member that takes it."""
        ...

    def receive(self, array: Array, source: int) -> None:
        """Fill an array with what a member sends."""
        ...

    def give_up(self) -> None:
        """End the processes of all, unless all of them come here now."""
        ...


class Alone:
    """A team of one."""

    rank = 0
    size = 1

    def swap(self, partner: int, give: Array, take: Array) -> None:
        raise ValueError("there is nobody else")

    def share(self, value: T) -> list[T]:
        return [value]

    def send(self, array: Array, to: int) -> None:
        raise ValueError("there is nobody else")

    def receive(self, array: Array, source: int) -> None:
        raise ValueError("there is nobody else")

    def give_up(self) -> None:
        """Nobody waits."""


_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")
"""Where Open MPI, MPICH and its kin tell a process how many there are."""


@cache
def of_this_process() -> Team:
    """Those that `mpirun` started together with this process, or it alone.

    Raises MissingExtraError where there are others and the package mpi4py is missing.
    """
    if all(os.environ.get(name, "1") == "1" for name in _SIZES):
        return Alone()
    from dmc_runtime.mpi import Processes

    return Processes()


def led(team: Team, work: Callable[[], T]) -> T:
    """What `work` gives, which the leader alone does; all get its result, or its refusal."""
    told: tuple[T | None, Error | None] = None, None
    if team.rank == 0:
        try:
            told = work(), None
        except Error as error:
            told = None, error
    result, error = team.share(told)[0]
    if error is not None:
        raise error
    return cast("T", result)


def any_of(team: Team, wish: bool) -> bool:
    """Whether some member wishes it."""
    return any(team.share(wish))


def bits_reversed(number: int, size: int) -> int:
    """The bits of a number below `size`, a power of two, in the other order."""
    width = size.bit_length() - 1
    return int(f"{number:0{width}b}"[::-1], 2) if width else 0
