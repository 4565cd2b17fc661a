"""The generated pages are those that the tables in the compiler give."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_current(generator: ModuleType) -> None:
    pages: dict[Path, str] = generator.generated()
    stale = [
        str(path.relative_to(ROOT))
        for path, text in pages.items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    assert stale == [], "run `make docs`"


def test_no_page_is_left_over(generator: ModuleType) -> None:
    pages: dict[Path, str] = generator.generated()
    folders = ("docs/errors", "docs/library/reference")
    on_disk = {page for folder in folders for page in (ROOT / folder).glob("*.md")}
    assert on_disk <= set(pages)


def test_no_rule_of_an_operation_is_missing(generator: ModuleType) -> None:
    page: str = generator.generated()[ROOT / "docs" / "ir" / "aspects.md"]
    missing = [line.split("`")[1] for line in page.splitlines() if generator.MISSING in line]
    assert missing == []
