"""Comparison with independent systems: JAX, PyTorch, SciPy, mpmath and MLIR's parser."""
