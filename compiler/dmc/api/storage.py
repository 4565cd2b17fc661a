"""Saving and restoring records."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from dmc.diagnostics.diagnostic import Diagnostic
from dmc.diagnostics.errors import error
from dmc_runtime import checkpoint
from dmc_runtime.errors import CheckpointError
from dmc_runtime.records import Tree

T = TypeVar("T")


def save(tree: Tree, path: str | Path, metadata: Mapping[str, Any] | None = None) -> None:
    """Write records and arrays as safetensors, replacing the file in one step.

    Raises dmc.Error (`checkpoint.*`); a file that was there before is then untouched.
    """
    try:
        checkpoint.save(tree, path, metadata)
    except CheckpointError as failure:
        raise error(Diagnostic(failure.code, str(failure), at_call=True)) from None


def restore(path: str | Path, like: type[T] | T, part: str = "") -> T:
    """Read what `save` wrote, as a record of class `like` or in the structure of `like`.

    `part` is the path of the subtree to take: a training checkpoint has the model at `net`.
    Raises dmc.Error (`checkpoint.*`) for a damaged or foreign file, or one of another model.
    """
    try:
        return checkpoint.restore(path, like, part)  # type: ignore[arg-type]  # records only
    except CheckpointError as failure:
        raise error(Diagnostic(failure.code, str(failure), at_call=True)) from None
