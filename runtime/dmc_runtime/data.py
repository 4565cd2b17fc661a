"""Data sets in memory: reading, splitting, and seeded batches.

A data set is a table of named arrays with one leading axis in common. The order of the batches of
an epoch is a pure function of seed and epoch, so a run resumes at any step without replaying.
"""

from __future__ import annotations

import csv
import itertools
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from dmc_runtime import keys
from dmc_runtime.errors import TrainCode, TrainError
from dmc_runtime.recipe import Last
from dmc_runtime.trees import Array


@dataclass(frozen=True)
class Table:
    """Named arrays whose leading axis counts the examples; `TrainError` when the lengths differ."""

    columns: dict[str, Array]

    def __post_init__(self) -> None:
        if not self.columns:
            raise _bad("a data set needs at least one array")
        for name, array in self.columns.items():
            if array.ndim == 0:
                raise _bad(f"`{name}` is a single number, not an array of examples")
            if len(array) != len(self):
                first = next(iter(self.columns))
                raise _bad(f"`{name}` has {len(array)} examples but `{first}` has {len(self)}")

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, name: str) -> Array:
        if name not in self.columns:
            known = ", ".join(f"`{column}`" for column in self.columns)
            raise _bad(f"the data has no array `{name}`; it has {known}")
        return self.columns[name]

    def take(self, indices: NDArray[np.int64]) -> Table:
        """The examples at `indices`, copied."""
        return Table({name: array[indices] for name, array in self.columns.items()})

    def select(self, names: Sequence[str]) -> Table:
        """Some of the columns, in the order given; `TrainError` for one that is not there."""
        return Table({name: self[name] for name in names})


def table(**columns: Array) -> Table:
    """A table of the given arrays."""
    return Table({name: np.asarray(array) for name, array in columns.items()})


def load(path: str | Path, dtypes: Mapping[str, DTypeLike] | None = None) -> Table:
    """Reads `.npz`, or `.csv` with a header line, as a table.

    Args:
        dtypes: for CSV, the dtype of some columns; the others are read as f32.

    Raises:
        TrainError: when the file is missing, of another kind, or not numeric; never unpickles.
    """
    source = Path(path)
    readers = {".npz": _load_npz, ".csv": _load_csv}
    reader = readers.get(source.suffix.lower())
    if reader is None:
        raise _bad(f"`{source}` is neither .npz nor .csv")
    try:
        return reader(source, dtypes or {})
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise _bad(f"cannot read `{source}`: {reason}") from error


def _load_npz(path: Path, dtypes: Mapping[str, DTypeLike]) -> Table:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            columns = {name: np.asarray(archive[name]) for name in archive.files}
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise _bad(f"`{path}` is no archive of plain arrays") from error
    return Table({name: _converted(name, array, dtypes) for name, array in columns.items()})


def _load_csv(path: Path, dtypes: Mapping[str, DTypeLike]) -> Table:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise _bad(f"`{path}` is no CSV text: {error}") from error
    if not rows:
        raise _bad(f"`{path}` is empty")
    header, *body = rows
    for number, row in enumerate(body, start=2):
        if len(row) != len(header):
            raise _bad(f"{path}:{number}: {len(row)} values under {len(header)} names")
    columns: dict[str, Array] = {}
    for index, name in enumerate(header):
        if name in columns:
            raise _bad(f"{path}: two columns are named `{name}`")
        cells = [row[index] for row in body]
        columns[name] = _column(path, name, cells, np.dtype(dtypes.get(name, np.float32)))
    return Table(columns)


def _column(path: Path, name: str, cells: list[str], kind: np.dtype[Any]) -> Array:
    column = np.empty(len(cells), kind)
    for index, cell in enumerate(cells):
        try:
            column[index] = _cell(cell, kind)
        except (ValueError, OverflowError) as error:
            message = f"{path}:{index + 2}: `{cell}` under `{name}` is no {kind.name}"
            raise _bad(message) from error
    return column


_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


def _cell(text: str, kind: np.dtype[Any]) -> bool | int | float:
    """A number as it is written; `OverflowError` for an integer that `kind` does not hold."""
    if kind.kind == "b":
        if text.strip().lower() not in _BOOLEANS:
            raise ValueError("neither true nor false")
        return _BOOLEANS[text.strip().lower()]
    return int(text) if kind.kind in "iu" else float(text)


def _converted(name: str, array: Array, dtypes: Mapping[str, DTypeLike]) -> Array:
    return array if name not in dtypes else array.astype(dtypes[name])


def split(data: Table, fraction: float, seed: int) -> tuple[Table, Table]:
    """A random training part and a held-out `fraction`, the same for the same seed.

    Raises:
        TrainError: when one of the parts would be empty.
    """
    held_out = round(fraction * len(data))
    if not 0 < held_out < len(data):
        raise _bad(f"a held-out fraction of {fraction} of {len(data)} examples leaves a part empty")
    order = keys.permutation(keys.fold_path(keys.key(seed), "split"), len(data))
    return data.take(order[held_out:]), data.take(order[:held_out])


@dataclass(frozen=True)
class Batches:
    """The batches of a table, shuffled anew for each epoch.

    Attributes:
        size: examples in a batch, at most those that there are.
        last: what becomes of what is left for the last batch of an epoch; see `Last`.
        shuffle: else every epoch has the order of the table.
    """

    data: Table
    size: int
    seed: int = 0
    shuffle: bool = True
    last: Last = Last.FILL

    def __post_init__(self) -> None:
        if self.size < 1:
            raise _bad(f"a batch of {self.size} examples")
        if self.per_epoch == 0:
            raise _bad(f"no full batch of {self.size} among {len(self.data)} examples")

    @property
    def per_epoch(self) -> int:
        """Batches in an epoch."""
        whole, rest = divmod(len(self.data), self.size)
        return whole + (rest > 0 and self.last is not Last.DROP)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The indices of the examples in the order of an epoch."""
        if not self.shuffle:
            return np.arange(len(self.data))
        key = keys.fold(keys.fold_path(keys.key(self.seed), "shuffle"), epoch)
        return keys.permutation(key, len(self.data))

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Table]:
        """The batches of an epoch, from batch `start` on."""
        order = self.order(epoch)
        for number in range(start, self.per_epoch):
            chosen = order[number * self.size : (number + 1) * self.size]
            missing = min(self.size, len(self.data)) - len(chosen)
            if missing and self.last is not Last.SHORT:
                chosen = np.concatenate([chosen, order[:missing]])
            yield self.data.take(chosen)

    def mask(self, step: int) -> NDArray[np.bool_]:
        """Which examples of the batch of a step are not there to fill it up."""
        number = step % self.per_epoch
        size = min(self.size, len(self.data))
        return np.arange(size) < len(self.data) - number * self.size

    def stream(self, step: int = 0) -> Iterator[Table]:
        """All batches without end, from the step on that is counted from the start of a run."""
        first, start = divmod(step, self.per_epoch)
        for epoch in itertools.count(first):
            yield from self.epoch(epoch, start if epoch == first else 0)


def _bad(message: str) -> TrainError:
    return TrainError(TrainCode.DATA, message)
