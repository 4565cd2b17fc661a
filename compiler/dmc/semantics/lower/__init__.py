"""Typed tree to tensor-level IR, for one choice of sizes at a time."""
