"""Tables: named arrays with one leading axis in common, that of the examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dmc_runtime.errors import TrainCode, TrainError
from dmc_runtime.trees import Array


@dataclass(frozen=True)
class Table:
    """Named arrays whose leading axis counts the examples; `TrainError` when the lengths differ.

    `rows` are those that count, in order; all of them by default.
    """

    columns: dict[str, Array]
    rows: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if not self.columns:
            raise data_error("a data set needs at least one array")
        first = next(iter(self.columns))
        for name, array in self.columns.items():
            if array.ndim == 0:
                raise data_error(f"`{name}` is a single number, not an array of examples")
            if len(array) != len(self.columns[first]):
                there = len(self.columns[first])
                raise data_error(f"`{name}` has {len(array)} examples but `{first}` has {there}")

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())) if self.rows is None else self.rows)

    def __getitem__(self, name: str) -> Array:
        if name not in self.columns:
            known = ", ".join(f"`{column}`" for column in self.columns)
            raise data_error(f"the data has no array `{name}`; it has {known}")
        array = self.columns[name]
        return array if self.rows is None else np.asarray(array[self.rows])

    def view(self, indices: NDArray[np.int64]) -> Table:
        """The examples at `indices`; nothing is read before it is used."""
        return Table(self.columns, indices if self.rows is None else self.rows[indices])

    def take(self, indices: NDArray[np.int64]) -> Table:
        """The examples at `indices`, copied."""
        return self.view(indices).read()

    def read(self) -> Table:
        """The same examples, and nothing else, in memory."""
        return Table({name: self[name] for name in self.columns})

    def part(self, rows: slice) -> Table:
        """Some examples that follow each other; nothing is read before it is used."""
        if self.rows is not None:
            return Table(self.columns, self.rows[rows])
        return Table({name: column[rows] for name, column in self.columns.items()})

    def select(self, names: Sequence[str]) -> Table:
        """Some of the columns, in the order given; `TrainError` for one that is not there."""
        return Table({name: self[name] for name in names})


def table(**columns: Array) -> Table:
    """A table of the given arrays."""
    return Table({name: np.asarray(array) for name, array in columns.items()})


def data_error(message: str) -> TrainError:
    """What is wrong with data."""
    return TrainError(TrainCode.DATA, message)
