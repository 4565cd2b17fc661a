"""The page of measured accuracy is complete, and within what the tests allow."""

from pathlib import Path

from tests.dialects.op_table import operations
from tests.lowering.vector_math_accuracy import CLAIMS

PAGE = Path(__file__).parents[2] / "docs" / "accuracy.md"
HOW = "run `python -m tests.oracle.accuracy_page` in the oracles' environment"


def rows() -> dict[str, list[str]]:
    """Cells of all tables by their first."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    return {first.strip("`"): rest for first, *rest in cells}


def test_every_operation_is_in_the_table() -> None:
    wanted = {name for name in operations() if not name.startswith("random.")}
    assert {name for name in rows() if "." in name} == wanted, HOW


def test_derivatives_are_as_exact_as_the_comparison_demands() -> None:
    for name, (_, *cells) in rows().items():
        if "." in name:
            errors = [0.0 if cell in "=-" else float(cell) for cell in cells]
            assert max(errors[:3]) <= 1e-12, name
            assert max(errors[3:]) <= 5e-6, name


def test_every_function_is_in_the_table_within_its_claim() -> None:
    measured = rows()
    for name, claim in CLAIMS.items():
        assert name in measured, HOW
        f32, f64 = map(float, measured[name])
        assert f32 <= claim.f32, name
        assert f64 <= claim.f64, name
