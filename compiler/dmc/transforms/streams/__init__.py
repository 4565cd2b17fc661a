"""Kernels that share rows, run on a few rows after the other."""
