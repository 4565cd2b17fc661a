"""Sparse derivatives: which inputs each result depends on, and directions that share a pass."""
