"""The table of operations: sample invocations of each, over domains where its rules hold.

Every operation of the dialects in `DIALECTS` has a row here; `tests/dialects/test_ops.py` runs
every check on every row.
"""

from __future__ import annotations

from dmc.ir import Operation
from tests.dialects.checks import Sample
from tests.dialects.rows_elementwise import ELEMENTWISE
from tests.dialects.rows_linalg import LINALG
from tests.dialects.rows_tensor import TENSOR

DIALECTS = ("arith", "math", "tensor", "random", "linalg")

ROWS: tuple[Sample, ...] = (*ELEMENTWISE, *TENSOR, *LINALG)

ASPECTS = ("runs", "fold", "tangent", "adjoint", "second order", "batch", "cost")


def operations() -> list[str]:
    """The names of all operations of `DIALECTS`."""
    return sorted(name for name in Operation.registry if name.split(".")[0] in DIALECTS)
