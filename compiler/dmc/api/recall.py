"""Programs compiled by earlier processes, found again by what they were compiled from.

The name of an entry is a hash of everything that decides what is compiled: the compiler, the
target, all source texts, the function, its sizes and types, operators and options. So parsing and
checking are all that is done of a program that was compiled before.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

import dmc_grammar
from dmc.api.operators import Operator
from dmc.api.options import Options
from dmc.ir.location import SourceFile, Span
from dmc.ir.types import Array, DType
from dmc.jit.artifact import Artifact
from dmc.jit.cache import digest
from dmc.jit.engine import Engine, default_engine
from dmc.jit.entry import Executable
from dmc.jit.processors import memory
from dmc.jit.rates import rates_of
from dmc.process import VERIFY_EACH
from dmc.semantics.program import ModelBody, Program
from dmc.semantics.signature import Binding, Instance
from dmc.semantics.sizes import Size
from dmc.semantics.typed import DeclaredFunction
from dmc.semantics.types import (
    Axis,
    Declared,
    Form,
    FunctionType,
    GenericValue,
    KeyType,
    PackValue,
    RecordDeclaration,
    RecordType,
    Side,
    StackType,
    TensorType,
    TupleType,
)
from dmc_runtime import STD_FOLDER
from dmc_runtime.records import Constant


@dataclass(frozen=True)
class Recalled:
    """A program from the cache, loaded."""

    artifact: Artifact
    executable: Executable


@dataclass(frozen=True)
class Recall:
    """The place of one instance of a function in the cache of the process's engine.

    `files` are the sources that spans may be in.
    """

    name: str
    engine: Engine
    files: tuple[SourceFile, ...]

    @property
    def has_program(self) -> bool:
        """Whether the function was compiled before."""
        return self._get(self._program_name) is not None

    def program(self) -> Recalled | None:
        """The program, loaded."""
        content = self._get(self._program_name)
        if content is None:
            return None
        artifact = Artifact.of_bytes(content, self.files)
        if artifact.rates and artifact.rates != rates_of(self.engine).text:
            return None
        objects = self.engine.stored(artifact.code)
        if objects is None or artifact.needed_bytes > memory():
            return None
        return Recalled(artifact, artifact.load(self.engine, objects))

    def keep_program(self, artifact: Artifact) -> None:
        content = artifact.to_bytes(self.files)
        if content is not None:
            self._put(self._program_name, content)

    def constants(self, arguments: Sequence[Array]) -> dict[str, Constant] | None:
        """The numbers that the function makes of these arguments."""
        content = self._get(self._constants_name(arguments))
        return None if content is None else json.loads(content)

    def keep_constants(self, arguments: Sequence[Array], constants: Mapping[str, Constant]) -> None:
        self._put(self._constants_name(arguments), json.dumps(constants).encode())

    @property
    def _program_name(self) -> str:
        return digest("program", self.name)

    def _constants_name(self, arguments: Sequence[Array]) -> str:
        return digest("constants", self.name, *[f"{a.dtype} {a.tolist()}" for a in arguments])

    def _get(self, name: str) -> bytes | None:
        return None if self.engine.cache is None else self.engine.cache.get(name)

    def _put(self, name: str, content: bytes) -> None:
        if self.engine.cache is not None:
            self.engine.cache.put(name, content)


def recall(
    program: Program,
    binding: Binding,
    operators: Sequence[Operator],
    donated: Sequence[str],
    compiled: Options,
) -> Recall | None:
    """Where an instance of a function of `program` is kept.

    None where nothing is: without a cache, where passes are to be verified, and of a function that
    is given functions of another program.
    """
    engine = default_engine()
    if engine.cache is None or VERIFY_EACH in os.environ:
        return None
    modules = list(program.modules.values())
    spelling = _Spelling(tuple(module.source for module in modules))
    try:
        what = list(spelling.binding(binding))
    except ValueError:
        return None
    sources = [
        text
        for module in modules
        for text in (_relative(module.path, program.main.path), module.source.text)
    ]
    options = f"{operators} {donated} {compiled}"
    name = digest("instance", _compiler(), engine.key(), *sources, *what, options)
    return Recall(name, engine, spelling.files)


def _relative(path: Path | None, main: Path | None) -> str:
    """Where a module is: in the library, or seen from the main module."""
    if path is None or main is None:
        return ""
    path, library = path.resolve(), STD_FOLDER.resolve()
    if path.is_relative_to(library):
        return f"library {path.relative_to(library)}"
    return os.path.relpath(path, main.resolve().parent)


@cache
def _compiler() -> str:
    """The compiler as it is installed here: its files, and what computes constants for it."""
    found: list[str] = [sys.version, np.__version__]
    for folder in (Path(__file__).parent.parent, Path(dmc_grammar.__file__).parent):
        found += sorted(_files(folder))
    return digest(*found)


def _files(folder: Path | str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _files(entry.path)
            elif not entry.name.endswith(".pyc"):
                status = entry.stat()
                yield f"{entry.path} {status.st_size} {status.st_mtime_ns}"


@dataclass(frozen=True)
class _Spelling:
    """Texts that tell instances of the functions of one program apart, in any process.

    Declarations are told apart by where they stand in `files`. Raises ValueError for others.
    """

    files: tuple[SourceFile, ...]

    def binding(self, binding: Binding) -> Iterator[str]:
        yield from self._instance(binding.instance)

    def _instance(self, instance: Instance) -> Iterator[str]:
        yield self._declared(instance.declaration)
        for name, value in instance.generics:
            yield f"{name} = {self._value(value)}"
        for name, function in instance.functions:
            yield f"{name} is {' '.join(self._instance(function))}"
        for name, receiver in instance.receivers:
            yield f"{name} is of {self._value(receiver)}"
        yield f"defaults {sorted(instance.defaults)}"

    def _declared(self, declared: Declared) -> str:
        match declared:
            case ModelBody(declaration=declaration):
                return f"init {self._place(declaration.span)}"
            case DeclaredFunction(span=span):
                return self._place(span)
            case _:
                raise ValueError(declared)

    def _place(self, span: Span) -> str:
        number = next((i for i, file in enumerate(self.files) if file is span.file), None)
        if number is None:
            raise ValueError(span)
        return f"{number}:{span.start_line}:{span.start_column}"

    def _value(self, value: GenericValue | Axis) -> str:
        match value:
            case Size() | KeyType():
                return str(value)
            case DType():
                return value.value
            case PackValue(axes):
                return self._all(axes)
            case TensorType(element, shape):
                return f"{self._value(element)}{self._all(shape)}"
            case TupleType(items):
                return f"tuple {self._all(items)}"
            case FunctionType(parameters, result):
                return f"{self._all(parameters)} -> {self._value(result)}"
            case StackType(count, item):
                return f"{count} * {self._value(item)}"
            case RecordType(declaration, arguments, is_grad, forms):
                inner = "".join(map(self._form, forms))
                return f"{self._record(declaration)}{self._all(arguments)} {is_grad}{inner}"
            case _:
                raise ValueError(value)

    def _form(self, form: Form) -> str:
        return f" {form.value}" if isinstance(form, Side) else f" of {self._value(form.inner)}"

    def _record(self, declaration: RecordDeclaration) -> str:
        return f"record {self._place(declaration.span)}"

    def _all(self, values: Sequence[GenericValue | Axis]) -> str:
        return f"[{', '.join(map(self._value, values))}]"
