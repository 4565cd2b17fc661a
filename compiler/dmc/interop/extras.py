"""Packages that are optional."""

from __future__ import annotations

import importlib
from typing import Any

from dmc_runtime.errors import MissingExtraError


def extra(module: str, package: str, name: str, purpose: str) -> Any:
    """A module of an optional package. Raises MissingExtraError where it is not installed.

    The checkers of an environment that lacks it know nothing of it, so it is imported by name.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(package, name, purpose) from error
