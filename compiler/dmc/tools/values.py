"""Results on the terminal and in files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dmc.api.conversion import PythonValue
from dmc.tools.failures import UsageError
from dmc_runtime.records import tree_flatten, tree_paths


def show(value: PythonValue, name: str = "") -> None:
    """Print every leaf, named where there are several."""
    for path, leaf in _leaves(value):
        label = _joined(name, path)
        array: np.ndarray[Any, Any] = np.asarray(leaf)
        text = np.array2string(array) if array.ndim else str(array[()])
        separator = "\n" if "\n" in text else " "
        print(f"{label} ={separator}{text}" if label else text)


def write(value: PythonValue, file: str) -> None:
    """Write an array as .npy, or every leaf under its path as .npz."""
    suffix = Path(file).suffix
    leaves = _leaves(value)
    if suffix == ".npz":
        arrays: dict[str, Any] = {path or "value": np.asarray(leaf) for path, leaf in leaves}
        np.savez(file, **arrays)
    elif suffix != ".npy":
        raise UsageError(f"`{file}`: results are written as .npy or .npz")
    elif len(leaves) != 1:
        raise UsageError(f"the result is {len(leaves)} arrays: write them as .npz")
    else:
        np.save(file, np.asarray(leaves[0][1]))


def _leaves(value: PythonValue) -> list[tuple[str, Any]]:
    return list(zip(tree_paths(value), tree_flatten(value)[0], strict=True))


def _joined(name: str, path: str) -> str:
    return f"{name}{path if path.startswith('[') or not name or not path else f'.{path}'}"
