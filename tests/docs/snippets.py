"""Runs what the documentation shows.

Fenced blocks are run in order, page by page, in one folder and one Python namespace a page:

- `file=NAME` after the language writes the block to NAME for the blocks after it.
- `dm` is checked and has no warnings; `dm error=CODE` must be refused with CODE, and
  `dm warning=CODE` be accepted with that warning.
- `python` is executed.
- `console` runs what follows `$ ` and compares what is below it.
- `mlir` is read by the IR's parser.
- `shown` after the language means that another test runs the block.
- `text` is what the block before it printed, or the diagnostics of a `dm error=…`.

In expected output a line `...` stands for any lines and `…` for any text within a line. Other
languages (`sh`, `toml`, `ebnf`) are only shown.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import dmc
import dmc.dialects  # the operations that the parser knows
from dmc.diagnostics.errors import Error
from dmc.diagnostics.render import render_all
from dmc.ir import Operation
from dmc.ir.parser import parse_module
from dmc.lints.lint import lint
from dmc.semantics.modules import check_program
from dmc.tools.cli import main

_FENCE = re.compile(r"^```(\w*)[ \t]*([^\n]*)\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Snippet:
    """One fenced block: its language, the words after it and where it starts."""

    language: str
    options: dict[str, str]
    text: str
    line: int


class SnippetFailure(AssertionError):
    """A block that does not do what the page says."""


def snippets(markdown: str) -> list[Snippet]:
    """The fenced blocks of a page, in order."""
    found: list[Snippet] = []
    for match in _FENCE.finditer(markdown):
        words: list[str] = match[2].split()
        options = {word.split("=")[0]: word.partition("=")[2] for word in words}
        line = markdown.count("\n", 0, match.start()) + 1
        found.append(Snippet(match[1], options, match[3], line))
    return found


@dataclass
class Page:
    """Runs the blocks of one page in `folder`."""

    name: str
    folder: Path
    namespace: dict[str, object] = field(default_factory=dict)
    printed: str | None = None

    def run(self, markdown: str) -> None:
        """Run every block. Raises SnippetFailure naming the page and the line."""
        with contextlib.chdir(self.folder), _registry_restored():
            for snippet in snippets(markdown):
                try:
                    self._run(snippet)
                except SnippetFailure as failure:
                    raise SnippetFailure(f"{self.name}:{snippet.line}: {failure}") from None
                except Exception as error:
                    place = f"{self.name}:{snippet.line}"
                    raise SnippetFailure(f"{place}: {type(error).__name__}: {error}") from error

    def _run(self, snippet: Snippet) -> None:
        before, self.printed = self.printed, None
        if "shown" in snippet.options:
            return
        match snippet.language:
            case "dm":
                self._dm(snippet)
            case "python":
                output = io.StringIO()
                with contextlib.redirect_stdout(output):
                    exec(compile(snippet.text, self.name, "exec"), self.namespace)
                self.printed = output.getvalue()
            case "console":
                console(snippet.text, self.folder)
            case "mlir":
                parse_module(snippet.text)
            case "text" if before is not None:
                compare(before, snippet.text)
            case _ if "file" in snippet.options:
                (self.folder / snippet.options["file"]).write_text(snippet.text, encoding="utf-8")
            case _:
                pass

    def _dm(self, snippet: Snippet) -> None:
        path = self.folder / snippet.options.get("file", f"line{snippet.line}.dm")
        path.write_text(snippet.text, encoding="utf-8")
        wanted = snippet.options.get("error")
        try:
            dmc.load(path.name)
        except Error as error:
            codes = [diagnostic.code for diagnostic in error.diagnostics]
            if wanted not in codes:
                raise SnippetFailure(str(error)) from None
            self.printed = str(error)
        else:
            if wanted is not None:
                raise SnippetFailure(f"accepted, but {wanted} was expected")
            warnings = lint(check_program(path.name))
            allowed = {snippet.options["warning"]} if "warning" in snippet.options else set[str]()
            if {warning.code for warning in warnings} != allowed:
                raise SnippetFailure(render_all(warnings))
            self.printed = render_all(warnings) if warnings else None


@contextlib.contextmanager
def _registry_restored() -> Iterator[None]:
    """Forget the operations that a page defines."""
    known = dict(Operation.registry)
    try:
        yield
    finally:
        Operation.registry.clear()
        Operation.registry.update(known)


def console(text: str, folder: Path) -> None:
    """Run the commands of a console block in `folder` and compare their output.

    `dmc` runs in this process, which spares starting another; `tests/tools` starts some.
    """
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        while command.endswith("\\"):
            more, _, expected = expected.partition("\n")
            command = f"{command[:-1]}{more}"
        calls = [shlex.split(call, comments=True) for call in command.split(" | ")]
        is_own = all(call[:1] == ["dmc"] for call in calls)
        compare(_called(calls) if is_own else _shell(command, folder), expected)


def _called(calls: Sequence[Sequence[str]]) -> str:
    """What a pipe of `dmc` commands prints."""
    passed = ""
    for _, *arguments in calls:
        output, before = io.StringIO(), sys.stdin
        sys.stdin = io.TextIOWrapper(io.BytesIO(passed.encode()))
        try:
            with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
                main(arguments)
        finally:
            sys.stdin = before
        passed = output.getvalue()
    return passed


def _shell(command: str, folder: Path) -> str:
    """What a command of the shell prints."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=os.environ | {"PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    return done.stdout


def compare(actual: str, expected: str) -> None:
    """Raise SnippetFailure unless `actual` is what the page shows."""
    pattern = ""
    for line in expected.strip("\n").split("\n"):
        if line == "...":
            pattern += "(?:.*\n)*?"
        else:
            pattern += ".*".join(re.escape(part) for part in line.split("…")) + "\n"
    if not re.fullmatch(pattern, actual.strip("\n") + "\n"):
        raise SnippetFailure(f"the page shows\n{expected}\nbut it printed\n{actual}")
