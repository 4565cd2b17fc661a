"""Typed tree to tensor-level IR, for one choice of sizes at a time."""

from dmc.semantics.lower.program import lower_function

__all__ = ["lower_function"]
