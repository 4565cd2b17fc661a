"""Where the data of a run comes from: the files of its recipe, or what is given in Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np

from dmc_runtime import data
from dmc_runtime.arguments import shown
from dmc_runtime.errors import TrainCode, TrainError
from dmc_runtime.leafwise import as_array, bfloat16
from dmc_runtime.recipe import Recipe
from dmc_runtime.trees import Array

Arrays: TypeAlias = "data.Table | Mapping[str, Array]"
Training: TypeAlias = "Arrays | Iterable[data.Batch]"
"""Arrays, or an iterable of batches, each a dict of arrays."""


@dataclass(frozen=True)
class Given:
    """Data given in Python, by the parameters of `step`, in place of what the recipe names."""

    train: Training | None = None
    validation: Arrays | None = None
    test: Arrays | None = None


@dataclass(frozen=True)
class Tables:
    """The data of a run: where its batches come from, and what is held out."""

    train: data.Table | data.Stream
    validation: data.Table | None
    test: data.Table | None


def load_tables(recipe: Recipe, given: Given | None = None) -> Tables:
    """Reads the files of a recipe, puts columns together as inputs, and splits."""
    given = given or Given()
    train = _training(recipe, given.train)
    validation = None if given.validation is None else _given(given.validation)
    if validation is None and recipe.data.validation > 0:
        if isinstance(train, data.Stream):
            raise TrainError(TrainCode.RECIPE, "a stream of batches cannot be split: give both")
        train, validation = data.split(train, recipe.data.validation, recipe.seed)
    has_test = given.test is not None or recipe.data.test
    return Tables(
        train, validation, _table(recipe, given.test, recipe.data.test) if has_test else None
    )


def batches_of(recipe: Recipe, train: data.Table | data.Stream) -> data.Source:
    """The batches of a run."""
    if isinstance(train, data.Stream):
        return train
    how = recipe.data
    return data.Batches(train, how.batch_size, recipe.seed, how.shuffle, how.last)


def _training(recipe: Recipe, given: Training | None) -> data.Table | data.Stream:
    if given is None:
        if not recipe.data.train:
            raise TrainError(TrainCode.RECIPE, "the recipe names no training data: `data.train`")
        return _inputs(recipe, recipe.data.train)
    if isinstance(given, data.Table | Mapping):
        return _given(cast("Arrays", given))
    if isinstance(given, np.ndarray) or not isinstance(cast("object", given), Iterable):
        told = shown(cast("object", given))
        message = f"data is {told}, neither a dict of arrays nor an iterable of such"
        raise TrainError(TrainCode.DATA, message)
    return data.Stream.of(given, recipe.data.epoch)


def _table(recipe: Recipe, given: Arrays | None, name: str) -> data.Table:
    return _inputs(recipe, name) if given is None else _given(given)


def _given(given: Arrays) -> data.Table:
    """Arrays given in Python as a table."""
    if isinstance(given, data.Table):
        return given
    if not isinstance(cast("object", given), Mapping):
        message = f"data is {shown(given)}, not a dict of arrays by the parameters of `step`"
        raise TrainError(TrainCode.DATA, message)
    columns: dict[str, Array] = {}
    for name, value in given.items():
        array = as_array(value)
        if array is None or not isinstance(cast("object", name), str):
            message = f"the data at {shown(name)} is {shown(value)}, not an array of numbers"
            raise TrainError(TrainCode.DATA, message)
        columns[name] = array
    return data.Table(columns)


def _inputs(recipe: Recipe, name: str) -> data.Table:
    """The inputs of a recipe from one of its files."""
    kinds = {column: _dtype(kind) for column, kind in recipe.data.dtypes.items()}
    table = data.load(recipe.path(name), kinds)
    columns = {
        parameter: table[column]
        if isinstance(column, str)
        else np.stack([table[part] for part in column], axis=1)
        for parameter, column in recipe.data.inputs.items()
    }
    return data.Table(columns)


def _dtype(name: str) -> np.dtype[Any]:
    known = {"f16": "f2", "f32": "f4", "f64": "f8", "i32": "i4", "i64": "i8", "bool": "?"}
    if name == "bf16":
        return bfloat16()
    if name not in known:
        expected = ", ".join(["bf16", *known])
        raise TrainError(TrainCode.RECIPE, f"`{name}` is no dtype of data; known: {expected}")
    return np.dtype(known[name])
