"""Passes and the manager that runs, verifies, times and prints them."""

from __future__ import annotations

import dataclasses
import re
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import ClassVar, get_type_hints

from dmc.ir.edits import edit
from dmc.ir.module import Module
from dmc.ir.printer import print_module
from dmc.ir.verifier import verify


@dataclass(frozen=True)
class Pass:
    """One transformation of a module in place.

    Subclasses are frozen dataclasses; their fields are the typed options, and also the syntax of
    pipelines: `unroll{limit=4,deep=true}`.
    """

    name: ClassVar[str] = ""
    registry: ClassVar[dict[str, type[Pass]]] = {}

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if cls.name:
            Pass.registry[cls.name] = cls

    def run(self, module: Module) -> None:
        raise TypeError(f"{type(self).__name__} does not say what it does")

    def __str__(self) -> str:
        options = [
            f"{f.name}={_print_option(getattr(self, f.name))}"
            for f in dataclasses.fields(self)
            if getattr(self, f.name) != f.default
        ]
        return self.name + (f"{{{','.join(options)}}}" if options else "")


@dataclass(frozen=True)
class Compound(Pass):
    """A pass that consists of others, which depend on what the module has become."""

    def steps(self, module: Module) -> Iterator[Pass]:
        """The passes, each asked for when those before it have run on `module`."""
        raise TypeError(f"{type(self).__name__} does not say what it consists of")

    def run(self, module: Module) -> None:
        for step in self.steps(module):
            step.run(module)


def _print_option(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class PassFailure(Exception):
    """A pass raised, or left IR that does not verify; `reproducer` holds the IR it was given."""

    def __init__(self, pass_name: str, cause: Exception, reproducer: Path | None) -> None:
        where = f"; its input is in {reproducer}" if reproducer else ""
        super().__init__(f"pass {pass_name} failed: {type(cause).__name__}: {cause}{where}")
        self.pass_name = pass_name
        self.reproducer = reproducer


class PipelineError(ValueError):
    """A textual pipeline names an unknown pass or option, or is malformed."""


def parse_pipeline(text: str) -> list[Pass]:
    """Passes from `"cse,fuse{limit=3}"`. Raises PipelineError."""
    passes: list[Pass] = []
    at = 0
    pattern = re.compile(r"\s*([\w-]+)\s*(?:\{([^}]*)\})?\s*(?:,|$)")
    while at < len(text):
        match = pattern.match(text, at)
        if match is None:
            raise PipelineError(f"cannot read the pipeline at `{text[at:]}`")
        at = match.end()
        passes.append(_make_pass(match[1], match[2] or ""))
    return passes


def _make_pass(name: str, options: str) -> Pass:
    if name not in Pass.registry:
        raise PipelineError(f"no pass `{name}`; there are {', '.join(sorted(Pass.registry))}")
    cls = Pass.registry[name]
    hints = get_type_hints(cls)
    known = {f.name: hints[f.name] for f in dataclasses.fields(cls)}
    values: dict[str, bool | int | float | str] = {}
    for item in filter(None, (part.strip() for part in options.split(","))):
        key, separator, value = (part.strip() for part in item.partition("="))
        if key not in known or not separator:
            raise PipelineError(f"`{name}` has no option `{item}`; it has {sorted(known)}")
        values[key] = _parse_option(name, key, value, known[key])
    return cls(**values)


def _parse_option(name: str, key: str, text: str, kind: type) -> bool | int | float | str:
    if kind is bool and text in ("true", "false"):
        return text == "true"
    try:
        if kind in (int, float):
            return kind(text)
    except ValueError:
        pass
    if kind is str:
        return text
    raise PipelineError(f"`{name}` wants {kind.__name__} for `{key}`, not `{text}`")


def _plain(item: Pass, module: Module) -> Iterator[Pass]:
    """`item`, or the passes that it consists of in the end."""
    if not isinstance(item, Compound):
        yield item
        return
    for step in item.steps(module):
        yield from _plain(step, module)


@dataclass
class PassManager:
    """Runs passes in order, compound ones step by step.

    A pass that changed nothing does not run again before another has changed something.
    `verify_each` checks the IR after every pass that changed it, `verify_last` only after the last;
    `on_print` receives a title and the IR around the passes named in `print_before`/`print_after`
    ("*" is all of them); `seconds` collects the time of each pass. A failing pass raises
    PassFailure naming a file with the IR it was given.
    """

    passes: Sequence[Pass]
    verify_each: bool = True
    verify_last: bool = True
    print_before: frozenset[str] = frozenset()
    print_after: frozenset[str] = frozenset()
    on_print: Callable[[str, str], None] | None = None
    reproducers: Path | None = None
    seconds: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])

    def run(self, module: Module, original: Module | None = None) -> None:
        """Run the passes on `module`; `original` is a copy of it, if the caller has one."""
        original = original or module.copy()
        last: tuple[int, Pass] | None = None
        settled: set[Pass] = set()
        verified = False
        for position, item in enumerate(self._steps(module)):
            if item in settled:
                continue
            last = position, item
            self._show("before", item, module, self.print_before)
            start, before = time.perf_counter(), edit()
            with self._blaming(position, item, original):
                item.run(module)
                if edit() > before + 1:
                    settled.clear()
                    verified = False
                else:
                    settled.add(item)
                if self.verify_each and not verified:
                    verify(module)
                    verified = True
            self.seconds.append((str(item), time.perf_counter() - start))
            self._show("after", item, module, self.print_after)
        if last is not None and self.verify_last and not self.verify_each:
            with self._blaming(*last, original):
                verify(module)

    def _steps(self, module: Module) -> Iterator[Pass]:
        for item in self.passes:
            yield from _plain(item, module)

    @contextmanager
    def _blaming(self, position: int, item: Pass, original: Module) -> Generator[None]:
        """Whatever is raised is the failure of the step `item`, the one at `position`."""
        try:
            yield
        except PassFailure:
            raise
        except Exception as cause:
            path = self._reproducer(position, original)
            raise PassFailure(item.name, cause, path) from cause

    def _show(self, when: str, item: Pass, module: Module, wanted: frozenset[str]) -> None:
        if self.on_print is not None and (item.name in wanted or "*" in wanted):
            self.on_print(f"{when} {item}", print_module(module))

    def _reproducer(self, position: int, original: Module) -> Path | None:
        """Write what the step at `position` was given, by running those before it once more."""
        given = original.copy()
        steps = self._steps(given)
        for earlier in islice(steps, position):
            earlier.run(given)
        item = next(steps)
        folder = self.reproducers or Path(tempfile.gettempdir())
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                "w", prefix=f"dmc-{item.name}-", suffix=".mlir", dir=folder, delete=False
            ) as file:
                file.write(f"// dmc opt --passes '{item}'\n{print_module(given)}")
        except OSError:
            return None
        return Path(file.name)
