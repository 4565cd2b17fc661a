"""MLIR's own parser accepts the generic form of any module (jaxlib brings a build of it)."""

from __future__ import annotations

from typing import Protocol, cast

import pytest
from hypothesis import given, settings

from dmc.ir import Module
from dmc.ir.printer import print_module
from tests.ir.modules import modules

pytestmark = pytest.mark.oracle


class _MlirModule(Protocol):
    def __str__(self) -> str: ...


def accept(text: str) -> _MlirModule:
    """Parse `text` with MLIR. Raises MLIR's error when it is not MLIR."""
    from jaxlib.mlir import ir  # pyright: ignore[reportMissingImports]

    with ir.Context() as context:
        context.allow_unregistered_dialects = True
        return cast(_MlirModule, ir.Module.parse(text))


@given(modules())
@settings(max_examples=200)
def test_mlir_accepts_random_modules(module: Module) -> None:
    for locations in (False, True):
        accept(print_module(module, generic=True, locations=locations))


def test_the_pretty_form_is_our_own() -> None:
    """What MLIR must refuse is refused, so accepting means something."""
    with pytest.raises(Exception, match="not found for custom op"):
        accept("test.func @f() {\n}\n")
