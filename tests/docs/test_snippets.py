"""Every block of code in the documentation works, and every link leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.snippets import Page, SnippetFailure, compare

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")],
)
_CODE = re.compile(r"^```.*?^```[ \t]*$|^ {4}[^\n]*$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_snippets_do_what_the_page_says(path: Path, tmp_path: Path) -> None:
    Page(str(path.relative_to(ROOT)), tmp_path).run(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    links = _LINK.findall(_CODE.sub("", path.read_text(encoding="utf-8")))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (path.parent / link).exists()] == []


PLANTED = {
    "wrong output": "```python\nprint(1)\n```\n```text\n2\n```\n",
    "an exception": "```python\nraise ValueError\n```\n",
    "wrong console output": "```console\n$ echo one\ntwo\n```\n",
    "text that is not IR": "```mlir\nthis is not IR\n```\n",
    "a program with an error": "```dm\nfn f(x: f32) -> f32 = y\n```\n",
    "a program with a warning": "```dm\nfn f(x: f64) -> f64 = log(sigmoid(x))\n```\n",
    "a right program shown with a warning": (
        "```dm warning=lint.key\nfn f(x: f32) -> f32 = x\n```\n"
    ),
    "a right program shown as wrong": "```dm error=name.unknown\nfn f(x: f32) -> f32 = x\n```\n",
}


@pytest.mark.parametrize("markdown", PLANTED.values(), ids=PLANTED.keys())
def test_planted_mistakes_are_found(markdown: str, tmp_path: Path) -> None:
    with pytest.raises(SnippetFailure, match=r"page\.md:1|page\.md:4"):
        Page("page.md", tmp_path).run(markdown)


def test_ellipses_stand_for_text_and_for_lines() -> None:
    compare("a\nb\nc 1.5 s\n", "a\n...\nc … s\n")
    compare("a\n", "a\n...\n")
    with pytest.raises(SnippetFailure):
        compare("a\nb\n", "a\n")
