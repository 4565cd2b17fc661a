"""Files of data as tables."""

from __future__ import annotations

import csv
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from dmc_runtime.checkpoint import read_safetensors
from dmc_runtime.tables import Table, data_error
from dmc_runtime.trees import Array


def load(path: str | Path, dtypes: Mapping[str, DTypeLike] | None = None) -> Table:
    """Reads a table: `.npz`, `.safetensors`, `.csv` with a header line, `.npy`, a folder of these.

    An `.npy` file is one column with the name of the file (or, of records, a column for each
    field). It stays on the disk, so that a folder of them may be larger than the memory.

    Args:
        dtypes: the dtype of some columns; the others of CSV are read as f32.

    Raises:
        TrainError: when the file is missing, of another kind, or not numeric; never unpickles.
    """
    source = Path(path)
    reader = _load_folder if source.is_dir() else _READERS.get(source.suffix.lower())
    if reader is None:
        raise data_error(f"`{source}` is no folder and none of {', '.join(_READERS)}")
    try:
        return reader(source, dtypes or {})
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise data_error(f"cannot read `{source}`: {reason}") from error


@contextmanager
def _parsing(path: Path, kind: str) -> Generator[None]:
    """Raises TrainError for a file that is not of a kind.

    What parsers raise for a file that a stranger made is none of their promises.
    """
    try:
        yield
    except OSError:
        raise
    except MemoryError as error:
        raise data_error(f"`{path}` needs more memory than there is") from error
    except Exception as error:
        raise data_error(f"`{path}` is no {kind}") from error


def _load_npz(path: Path, dtypes: Mapping[str, DTypeLike]) -> Table:
    with (
        _parsing(path, "archive of plain arrays"),
        path.open("rb") as file,
        np.load(file, allow_pickle=False) as archive,
    ):
        columns = {name: np.asarray(archive[name]) for name in archive.files}
    return Table({name: _converted(name, array, dtypes) for name, array in columns.items()})


def _load_npy(path: Path, dtypes: Mapping[str, DTypeLike]) -> Table:
    with _parsing(path, "plain array"):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    names = array.dtype.names
    columns = {path.stem: array} if names is None else {name: array[name] for name in names}
    return Table({name: _converted(name, column, dtypes) for name, column in columns.items()})


def _load_folder(path: Path, dtypes: Mapping[str, DTypeLike]) -> Table:
    files = sorted(path.glob("*.npy"))
    if not files:
        raise data_error(f"the folder `{path}` holds no .npy files")
    columns: dict[str, Array] = {}
    for file in files:
        columns |= _load_npy(file, dtypes).columns
    return Table(columns)


def _load_safetensors(path: Path, dtypes: Mapping[str, DTypeLike]) -> Table:
    arrays = read_safetensors(path)
    return Table({name: _converted(name, array, dtypes) for name, array in arrays.items()})


def _load_csv(path: Path, dtypes: Mapping[str, DTypeLike]) -> Table:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise data_error(f"`{path}` is no CSV text: {error}") from error
    if not rows:
        raise data_error(f"`{path}` is empty")
    header, *body = rows
    for number, row in enumerate(body, start=2):
        if len(row) != len(header):
            raise data_error(f"{path}:{number}: {len(row)} values under {len(header)} names")
    columns: dict[str, Array] = {}
    for index, name in enumerate(header):
        if name in columns:
            raise data_error(f"{path}: two columns are named `{name}`")
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
            raise data_error(message) from error
    return column


_READERS: dict[str, Callable[[Path, Mapping[str, DTypeLike]], Table]] = {
    ".npz": _load_npz,
    ".npy": _load_npy,
    ".csv": _load_csv,
    ".safetensors": _load_safetensors,
}

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
