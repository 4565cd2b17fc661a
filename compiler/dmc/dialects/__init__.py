"""The dialects: one file (or one package of files by family) each. Importing this loads all."""

from dmc.dialects import arith, autodiff, control, func, kernel, linalg, loop, math, random, tensor

__all__ = [
    "arith",
    "autodiff",
    "control",
    "func",
    "kernel",
    "linalg",
    "loop",
    "math",
    "random",
    "tensor",
]
