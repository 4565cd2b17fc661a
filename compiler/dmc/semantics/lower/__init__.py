"""Typed tree to tensor-level IR, for one choice of sizes at a time."""

from dmc.ir import Module
from dmc.semantics.lower.program import lower_function
from dmc.semantics.signature import Binding

__all__ = ["lower", "lower_function"]


def lower(binding: Binding) -> Module:
    """The module for a call that has been matched with its signature: see `lower_function`."""
    return lower_function(binding.instance)
