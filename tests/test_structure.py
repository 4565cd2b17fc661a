"""Limits on the shape of the code base."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
MOST_LINES = 600


def python_files(root: Path) -> list[Path]:
    folders = ("compiler", "runtime", "grammar", "tests", "benchmarks", "examples")
    return sorted(path for folder in folders for path in (root / folder).rglob("*.py"))


def too_long(files: list[Path]) -> list[str]:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    return [f"{path}: {length} lines" for path, length in lengths.items() if length > MOST_LINES]


def test_files_are_short_enough_to_read_in_one_go() -> None:
    assert too_long(python_files(ROOT)) == []


def test_a_file_that_is_too_long_is_found(tmp_path: Path) -> None:
    (tmp_path / "compiler").mkdir()
    (tmp_path / "compiler" / "short.py").write_text("x = 1\n" * MOST_LINES)
    (tmp_path / "compiler" / "long.py").write_text("x = 1\n" * (MOST_LINES + 1))
    found = too_long(python_files(tmp_path))
    assert [Path(line.split(":")[0]).name for line in found] == ["long.py"]


def test_packages_are_typed() -> None:
    packages = ("compiler/dmc", "runtime/dmc_runtime", "grammar/dmc_grammar")
    assert [p for p in packages if not (ROOT / p / "py.typed").is_file()] == []
