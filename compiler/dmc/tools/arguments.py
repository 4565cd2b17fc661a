"""Arguments of a function from the command line: `NAME=VALUE`, files, and random ones."""

from __future__ import annotations

import argparse
import ast
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any, cast

import numpy as np

from dmc.api.conversion import PythonValue
from dmc.api.function import Function
from dmc.api.module import Module
from dmc.api.placeholders import sizes_in
from dmc.api.storage import restore
from dmc.ir.types import Array, DType
from dmc.semantics.signature import Parameter
from dmc.semantics.sizes import Size, SizeError
from dmc.semantics.types import (
    FunctionType,
    KeyType,
    RecordType,
    Role,
    StackType,
    TensorType,
    TupleType,
    Type,
    resolved,
)
from dmc.tools.failures import UsageError
from dmc.tools.functions import Sizes, add_function, complete_sizes
from dmc_runtime import keys
from dmc_runtime.records import Record, stack


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare FILE, FUNCTION, arguments of the function, `--sizes` and `--seed`."""
    add_function(parser)
    parser.add_argument(
        "arguments",
        nargs="*",
        metavar="NAME=VALUE",
        help="a number, a list, @file.npy, @file.npz:NAME or @file.safetensors:PART; "
        "NAME may be a field, such as p.w; what is not given is drawn at random",
    )
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn (default: 0)")


@dataclass(frozen=True)
class Call:
    """A function with a value for each of its parameters that has no default, and its sizes."""

    function: Function
    values: dict[str, PythonValue]
    sizes: Sizes
    """Those that do not follow from arguments that were given."""

    def named(self) -> dict[str, PythonValue]:
        """What the function is called with."""
        own = {g.name for g in self.function.checked.generics}
        return {**self.values, **{n: v for n, v in self.sizes.items() if n in own}}

    def specialized(self) -> tuple[Function, tuple[PythonValue, ...]]:
        """The function with its sizes in brackets, and the values by position.

        Brackets count from the first generic parameter; an element type there is left to the
        arguments, and so are the sizes behind it.
        """
        checked = self.function.checked
        known = takewhile(lambda generic: generic.name in self.sizes, checked.generics)
        sizes = [self.sizes[generic.name] for generic in known]
        function = self.function[tuple(sizes)] if sizes else self.function
        values = [self.values[p.name] for p in checked.parameters if p.name in self.values]
        return function, tuple(values)


def prepare(module: Module, function: Function, options: argparse.Namespace) -> Call:
    """Read the arguments given and draw the others. Raises dmc.Error or UsageError."""
    signature = function.checked
    texts = _by_path(options.arguments)
    names = [p.name for p in signature.parameters]
    for path in texts:
        if path.split(".")[0] not in names:
            listed = ", ".join(names) or "none"
            raise UsageError(f"`{signature.name}` has no parameter `{path}`: it has {listed}")
    given: dict[str, PythonValue] = {}
    reader = _Reader(module)
    for parameter in signature.parameters:
        if parameter.name in texts:
            given[parameter.name] = reader.read(texts[parameter.name], parameter.type)
    sizes = complete_sizes(signature, options.sizes, given)
    values: dict[str, PythonValue] = {}
    drawer = _Drawer(module, sizes, np.random.default_rng(options.seed), texts, options.seed)
    for parameter in signature.parameters:
        if parameter.name in given:
            values[parameter.name] = given[parameter.name]
        elif parameter.default is None or _is_in(texts, parameter.name):
            values[parameter.name] = drawer.draw(parameter)
    if drawer.drawn:
        listed = ", ".join(drawer.drawn)
        print(f"dmc: drawn with seed {options.seed}: {listed}", file=sys.stderr)
    inferred = sizes_in(signature, given)
    return Call(function, values, {n: v for n, v in sizes.items() if n not in inferred})


def _by_path(arguments: Sequence[str]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for argument in arguments:
        name, separator, text = argument.partition("=")
        if not separator or not all(part.isidentifier() for part in name.strip().split(".")):
            raise UsageError(f"`{argument}` is not an argument: write NAME=VALUE")
        if name.strip() in texts:
            raise UsageError(f"`{name.strip()}` is given twice")
        texts[name.strip()] = text.strip()
    return texts


def _is_in(texts: Mapping[str, str], name: str) -> bool:
    return any(path == name or path.startswith(f"{name}.") for path in texts)


@dataclass(frozen=True)
class _Reader:
    """Reads values as the declared types want them."""

    module: Module

    def read(self, text: str, type_: Type) -> PythonValue:
        if text.startswith("@"):
            return self._file(text[1:], type_)
        if isinstance(type_, FunctionType):
            found = getattr(self.module, text, None)
            if not isinstance(found, Function):
                raise UsageError(f"the program has no function `{text}`")
            return found
        if isinstance(type_, RecordType | StackType):
            name = type_ if isinstance(type_, StackType) else type_.declaration.name
            raise UsageError(f"give a {name} by its fields, or as @file.safetensors: not `{text}`")
        return self._literal(text, type_)

    def _literal(self, text: str, type_: Type) -> PythonValue:
        words = {"true": "True", "false": "False", "inf": "1e999", "-inf": "-1e999"}
        if text == "nan":
            return float("nan")
        try:
            value: object = ast.literal_eval(words.get(text, text))
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise UsageError(
                f"`{text[:60]}` is not a number or a list of numbers (a file is @FILE)"
            ) from None
        if isinstance(type_, TensorType) and isinstance(value, list | tuple):
            return _array(cast("Sequence[object]", value), type_, text)
        if not isinstance(value, bool | int | float | tuple):
            raise UsageError(f"`{text[:60]}` is not a number or a list of numbers")
        return cast("PythonValue", value)

    def _file(self, name: str, type_: Type) -> PythonValue:
        path, _, part = name.partition(":")
        suffix = Path(path).suffix
        if suffix == ".safetensors":
            record = type_.item if isinstance(type_, StackType) else type_
            if not isinstance(record, RecordType):
                raise UsageError(f"`{path}` holds a record, and {type_} is wanted")
            return restore(path, cast("Any", self.module.class_of(record.declaration)), part)
        if suffix not in (".npy", ".npz"):
            raise UsageError(f"`{path}` is not a .npy, .npz or .safetensors file")
        try:
            loaded = np.load(path, allow_pickle=False)
        except (ValueError, EOFError, zipfile.BadZipFile) as failure:
            raise UsageError(f"`{path}` is not a NumPy file: {failure}") from None
        if isinstance(loaded, np.ndarray):
            return cast("Array", loaded)
        names = list(loaded.files)
        if not part and len(names) == 1:
            part = names[0]
        if part not in names:
            wanted = f"no array `{part}`" if part else "several arrays"
            raise UsageError(
                f"`{path}` has {wanted}: write @{path}:NAME, one of {', '.join(names)}"
            )
        return loaded[part]


def _array(value: Sequence[object], type_: TensorType, text: str) -> PythonValue:
    dtype = resolved(type_.element)
    kind = dtype.numpy if isinstance(dtype, DType) else np.dtype(np.float64)
    try:
        return np.array(value, kind)
    except (ValueError, TypeError, OverflowError) as failure:
        raise UsageError(f"`{text[:60]}` is not a {type_}: {failure}") from None


@dataclass
class _Drawer:
    """Draws values of declared types: floats are standard normal, integers 0 or 1."""

    module: Module
    sizes: Sizes
    rng: np.random.Generator
    texts: Mapping[str, str]
    seed: int
    drawn: list[str] = field(default_factory=list[str])

    def draw(self, parameter: Parameter) -> PythonValue:
        return self._value(parameter.type, parameter.name)

    def _value(self, type_: Type, path: str) -> PythonValue:
        if path in self.texts:
            return _Reader(self.module).read(self.texts[path], type_)
        fields = [text[len(path) + 1 :] for text in self.texts if text.startswith(f"{path}.")]
        match type_:
            case RecordType(declaration) if fields:
                known = [entry.name for entry in declaration.fields]
                for name in fields:
                    if name.partition(".")[0] not in known:
                        listed = ", ".join(known)
                        message = f"{declaration.name} has no field `{name}`: it has {listed}"
                        raise UsageError(f"`{path}`: {message}")
                return self._record(type_, path)
            case _ if fields:
                raise UsageError(f"`{path}` is {type_}, which has no field `{fields[0]}`")
            case TupleType(items):
                return tuple(self._value(item, f"{path}[{i}]") for i, item in enumerate(items))
            case _:
                self.drawn.append(path)
                return self._random(type_, path)

    def _random(self, type_: Type, path: str) -> PythonValue:
        match type_:
            case TensorType(element, shape):
                return self._tensor(resolved(element), [self._extent(a, path) for a in shape])
            case KeyType():
                return keys.key(self.seed)
            case TupleType(items):
                return tuple(self._random(item, path) for item in items)
            case RecordType(declaration, _, is_grad):
                if not declaration.is_model:
                    record = self._record(type_, path)
                else:
                    record = self._model(type_)
                return record.params if is_grad else record
            case StackType(count, item):
                extent = self._extent(count, path)
                return stack([self._random(item, path) for _ in range(max(extent, 1))])[:extent]
            case FunctionType():
                raise UsageError(f"`{path}` is a function: give one of the program by name")
            case _:
                raise UsageError(f"`{path}` can be of any type: give it")

    def _tensor(self, element: object, shape: list[int]) -> PythonValue:
        dtype = element if isinstance(element, DType) else DType.F64
        if dtype.is_float:
            drawn = self.rng.standard_normal(shape).astype(dtype.numpy)
        else:
            drawn = self.rng.integers(0, 2, shape).astype(dtype.numpy)
        return drawn if drawn.ndim else drawn[()]

    def _record(self, type_: RecordType, path: str) -> Record:
        """A record with the fields that are given, the others drawn."""
        generics = type_.generics()
        fields: dict[str, PythonValue] = {}
        for entry in type_.declaration.fields:
            here = f"{path}.{entry.name}"
            part = generics.type(entry.type)
            if entry.role is Role.HYPER and entry.has_default and here not in self.texts:
                continue
            fields[entry.name] = (
                self._value(part, here) if _is_in(self.texts, path) else self._random(part, here)
            )
        return self.module.class_of(type_.declaration)(**fields)

    def _model(self, type_: RecordType) -> Record:
        """A model as its `init` makes it."""
        sizes = type_.generics().sizes
        own = [g.name for g in type_.declaration.generics]
        given = {name: sizes[name].evaluate(self.sizes) for name in own if name in sizes}
        init = cast("Any", self.module.class_of(type_.declaration)).init
        return init(keys.key(self.seed), **given)

    def _extent(self, axis: object, path: str) -> int:
        try:
            assert isinstance(axis, Size)
            return axis.evaluate(self.sizes)
        except (SizeError, KeyError, AssertionError):
            raise UsageError(f"the size `{axis}` of `{path}` is not known: use --sizes") from None
