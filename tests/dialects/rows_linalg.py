"""Rows of the op table: `linalg`."""

from __future__ import annotations

from dmc.dialects import linalg
from dmc.ir import Builder, Value
from tests.dialects.checks import Build, Draw, Sample

POSITIVE = Draw((3, 3), low=-1.0, high=1.0, diagonal=(4.0, 3.0, 5.0))
GENERAL = Draw((3, 3), low=-1.0, high=1.0, diagonal=(0.5, -2.0, 3.0))
SMALL = Draw((3, 3), low=-0.4, high=0.4)
TALL = Draw((4, 2), diagonal=(2.0, -1.0))
RIGHT = Draw((3, 2))


def solves(**flags: bool) -> Build:
    return lambda b, a, x: linalg.triangular_solve(b, a, x, **flags)


def factored(transposed: bool) -> Build:
    """A system, with the factors of its matrix."""

    def build(b: Builder, a: Value, x: Value) -> Value:
        operands = [a, *linalg.lu(b, a), x]
        return b.insert(linalg.Solve(operands, {"transposed": transposed})).result

    return build


LINALG = (
    Sample("linalg.cholesky", linalg.cholesky, (POSITIVE,)),
    Sample("linalg.expm", linalg.expm, (SMALL,)),
    Sample("linalg.expm_derivative", linalg.expm_derivative, (SMALL, SMALL)),
    Sample("linalg.qr", linalg.qr, (GENERAL,)),
    Sample("linalg.qr", linalg.qr, (TALL,), "tall"),
    Sample("linalg.eigh", linalg.eigh, (POSITIVE,)),
    Sample("linalg.svd", linalg.svd, (GENERAL,)),
    Sample("linalg.svd", linalg.svd, (TALL,), "tall"),
    Sample("linalg.lu", linalg.lu, (GENERAL,)),
    Sample("linalg.solve", factored(False), (GENERAL, RIGHT)),
    Sample("linalg.solve", factored(True), (GENERAL, RIGHT), "transposed"),
    Sample("linalg.triangular_solve", solves(), (POSITIVE, RIGHT), "upper"),
    Sample("linalg.triangular_solve", solves(lower=True), (POSITIVE, RIGHT), "lower"),
    Sample("linalg.triangular_solve", solves(transposed=True), (POSITIVE, RIGHT), "transposed"),
    Sample(
        "linalg.triangular_solve",
        solves(lower=True, transposed=True, unit=True, absorbs=True),
        (POSITIVE, RIGHT),
        "unit",
    ),
)
