"""A loaded program as a Python object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dmc.api.conversion import Describer, PythonValue, refuse
from dmc.api.donation import GIVEN_UP
from dmc.api.function import Function, Method
from dmc.api.marshal import Marshal, sizes_of
from dmc.api.options import Options
from dmc.api.program import LoadedProgram
from dmc.api.records import Classes, record_in
from dmc.ir.types import Array, DType
from dmc.semantics.binding import record_of
from dmc.semantics.program import FunctionDeclaration, Program, SourceModule, body_of
from dmc.semantics.signature import GivenArray, GivenNumber, GivenRecord, NumberClass
from dmc.semantics.sizes import Size
from dmc.semantics.types import (
    FieldDeclaration,
    GenericKind,
    RecordDeclaration,
    RecordType,
    Role,
    StackType,
    TensorType,
    TupleType,
    Type,
    children,
    resolved,
)
from dmc_runtime import keys
from dmc_runtime.records import (
    Check,
    Constant,
    Record,
    Tree,
    build,
    constants_of,
    stack_of,
    values_of,
)
from dmc_runtime.spelling import did_you_mean


class Module:
    """A loaded program: its functions, records, models and imports are attributes."""

    def __init__(self, loaded: LoadedProgram, module: SourceModule) -> None:
        """`module` is the one to show of the program."""
        self._loaded = loaded
        self._module = module
        self._functions: dict[str, Function] = {}
        self.__name__ = module.name

    @property
    def __file__(self) -> str:
        return str(self._module.path or self.__name__)

    def __copy__(self) -> Module:
        """The program itself, which never changes."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Module:
        return self

    def __reduce__(self) -> tuple[Callable[[LoadedProgram, str], Module], tuple[object, ...]]:
        return module_named, (self._loaded, self._module.name)

    def __getattr__(self, name: str) -> Any:
        if name in self._functions:
            return self._functions[name]
        entity = self._module.names.get(name)
        _make_classes(self._loaded)  # the name may be the first asked of its module
        match entity:
            case FunctionDeclaration() as entity:
                function = self._functions[name] = Function(self._loaded, entity.signature)
                return function
            case RecordDeclaration() as entity:
                return self._loaded.classes[entity]
            case SourceModule() as entity:
                return Module(self._loaded, entity)
            case _:
                known = self.__dir__()
                (hint,) = did_you_mean(name, known) or (f"it has {', '.join(known)}",)
                message = f"`{self.__name__}` has no function or record `{name}`: {hint}"
                raise AttributeError(message)

    def class_of(self, declaration: RecordDeclaration) -> type[Record]:
        """The class of a record of the program, imported or not."""
        return self._loaded.classes[declaration]

    def class_named(self, module: str, name: str) -> type[Record] | None:
        """The class that has these names in the program; None where there is none."""
        if module not in self._loaded.program.modules:
            return None
        declaration = self._loaded.program.module(module).records.get(name)
        _make_classes(self._loaded)
        return None if declaration is None else self._loaded.classes[declaration]

    def __dir__(self) -> list[str]:
        kinds = (FunctionDeclaration, RecordDeclaration, SourceModule)
        names = self._module.names.items()
        return sorted(name for name, entity in names if isinstance(entity, kinds))

    def __repr__(self) -> str:
        return f"<dm module {self.__name__}: {', '.join(self.__dir__())}>"


def module_named(loaded: LoadedProgram, name: str) -> Module:
    """One of the modules of a program, by the name that it has there."""
    return Module(loaded, loaded.program.module(name))


def open_program(
    program: Program, origin: Callable[[], LoadedProgram], options: Options
) -> LoadedProgram:
    """A checked program with Python classes for all of its records; see `LoadedProgram`."""
    loaded = LoadedProgram(program, origin, options)
    _make_classes(loaded)
    return loaded


def _make_classes(loaded: LoadedProgram) -> None:
    """Classes for the records of every module that is loaded."""
    for module in loaded.program.modules.values():
        for declaration in module.records.values():
            _make_class(loaded, declaration)


def _make_class(loaded: LoadedProgram, declaration: RecordDeclaration) -> None:
    if declaration in loaded.classes:
        return
    for entry in declaration.fields:
        held = record_in(entry.type)
        if held is not None:
            _make_class(loaded, held)
    members: dict[str, Any] = {"__reduce__": _reducer(loaded, declaration)}
    body = body_of(declaration)
    if body is not None:
        members["init"] = Function(loaded, body.init_signature)
        for name, method in body.methods.items():
            members[name] = Method(Function(loaded, method.signature))
        if "forward" in members:
            members["__call__"] = _call_forward
    check = _checker(declaration, loaded.classes, members.get("init"))
    loaded.classes.make(declaration, check, members)


def _reducer(loaded: LoadedProgram, declaration: RecordDeclaration) -> Callable[[Record], Any]:
    def reduce(record: Record) -> tuple[Callable[..., Record], tuple[object, ...]]:
        parts = values_of(record), constants_of(record), stack_of(record)
        return record_named, (loaded, declaration.module, declaration.name, *parts)

    return reduce


def record_named(
    loaded: LoadedProgram,
    module: str,
    name: str,
    values: tuple[Tree, ...],
    constants: dict[str, Constant],
    stack: tuple[int, ...],
) -> Record:
    """A record of a program, by the names that module and class have there."""
    declaration = loaded.program.module(module).records[name]
    _make_classes(loaded)
    return build(loaded.classes[declaration], values, constants, stack)


def _call_forward(record: Any, *arguments: PythonValue, **named: PythonValue) -> PythonValue:
    return record.forward(*arguments, **named)


def _checker(declaration: RecordDeclaration, classes: Classes, init: Function | None) -> Check:
    """Converts what is passed to the constructor of a record class and infers its sizes.

    `init` makes a model; hyperparameters that are left out are those it has by default.
    """
    known = [entry.name for entry in declaration.fields]
    describer = Describer(declaration.name)
    marshal = Marshal(classes)
    defaults: dict[object, dict[str, Constant]] = {}
    """The hyperparameters of models of a kind: with these generic arguments and chosen ones."""

    def convert(value: PythonValue, type_: Type, where: str) -> Tree:
        """An array of the declared dtype for a number; everything else as it is."""
        if isinstance(type_, RecordType | StackType | TupleType):
            return value
        arrays: list[Array] = []
        marshal.taker(type_, where, declaration.span)(value, arrays)
        (array,) = arrays
        if array in GIVEN_UP:
            hint = "go on with the result of that call"
            message = f"{where} was donated to an earlier call"
            raise refuse("call.donated", message, declaration.span, hint)
        return array if array.ndim else array[()]

    def check(
        fields: dict[str, Tree], constants: dict[str, Constant]
    ) -> tuple[dict[str, Tree], dict[str, Constant]]:
        given: dict[str, PythonValue] = {**fields, **constants}
        missing = [entry for entry in declaration.fields if entry.name not in given]
        for entry in missing:
            if entry.role is not Role.HYPER or not entry.has_default or init is None:
                message = f"{declaration.name}: the field `{entry.name}` is missing"
                hint = f"its fields are {', '.join(known)}"
                raise refuse("call.field", message, declaration.span, hint)
        entries = {
            entry.name: describer.give(given[entry.name], entry.type, entry.name, entry.span)
            for entry in declaration.fields
            if entry.name in given
        }
        stand_ins = {entry.name: _scalar(entry) for entry in missing}
        generics = [g.name for g in declaration.generics if g.kind is GenericKind.SIZE]
        given_sizes = tuple((n, int(constants[n])) for n in generics if n in constants)
        type_ = record_of(
            GivenRecord(declaration, tuple({**entries, **stand_ins}.items()), sizes=given_sizes)
        )
        converted: dict[str, Tree] = {}
        for name, part, role in children(type_):
            if role is not Role.HYPER:
                converted[name] = convert(given[name], part, f"{declaration.name}: {name}")
        sizes = sizes_of(type_)
        if missing and init is not None:
            hypers = {entry.name for entry in declaration.fields if entry.role is Role.HYPER}
            chosen = {name: constants[name] for name in hypers & constants.keys()}
            brackets = _brackets(type_)
            kind = brackets, frozenset(chosen.items())
            if kind not in defaults:
                named = {} if brackets else {name: sizes[name] for name in generics}
                maker = init[brackets] if brackets else init
                defaults[kind] = maker.hyperparameters(key=keys.key(0), **named, **chosen)
            constants = constants | {entry.name: defaults[kind][entry.name] for entry in missing}
        return converted, {**constants, **sizes}

    return check


def _brackets(type_: RecordType) -> tuple[int | np.dtype[Any], ...]:
    """The generic arguments of a concrete record as brackets take them, if they do."""
    found: list[int | np.dtype[Any]] = []
    for value in type_.arguments:
        match value:
            case Size() if value.constant is not None:
                found.append(value.constant)
            case DType():
                found.append(value.numpy)
            case _:
                return ()
    return tuple(found)


def _scalar(entry: FieldDeclaration) -> GivenArray | GivenNumber:
    """A hyperparameter whose value is not known yet."""
    element = resolved(entry.type.element) if isinstance(entry.type, TensorType) else None
    return GivenArray(element, ()) if isinstance(element, DType) else GivenNumber(NumberClass.FLOAT)
