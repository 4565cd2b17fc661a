"""Loading programs: a `.dm` file as a Python object."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dmc.api import records
from dmc.api.conversion import PythonValue, flatten, give, refuse, sizes_of
from dmc.api.entry import Entry
from dmc.api.function import Function, Method
from dmc.dialects import func
from dmc.semantics.binding import record_of
from dmc.semantics.check import check_file
from dmc.semantics.lower import lower
from dmc.semantics.program import FunctionDeclaration, Program, SourceModule
from dmc.semantics.signature import Binding, Signature
from dmc.semantics.types import RecordDeclaration, RecordType, Role, StackType, Type, children
from dmc_runtime.records import Check, Constant, Record, Tree


class Module:
    """A loaded program: its functions, records and models are attributes."""

    def __init__(self, program: Program) -> None:
        self._program = program
        main = program.main
        self.__name__ = main.name
        self.__doc__ = main.file.doc if hasattr(main.file, "doc") else None
        self._functions: dict[str, Function] = {}
        for module in program.modules.values():
            for declaration in module.records.values():
                self._make_class(module, declaration)

    def __getattr__(self, name: str) -> Any:
        main = self._program.main
        if name in self._functions:
            return self._functions[name]
        entity = main.names.get(name)
        match entity:
            case FunctionDeclaration():
                function = self._function(entity.signature)
                self._functions[name] = function
                return function
            case RecordDeclaration():
                return records.record_class(entity)
            case SourceModule():
                return Module(Program(entity, self._program.modules))
            case _:
                known = ", ".join(sorted(self.__dir__()))
                raise AttributeError(f"`{main.name}` has no function or record `{name}` ({known})")

    def __dir__(self) -> list[str]:
        kinds = (FunctionDeclaration, RecordDeclaration, SourceModule)
        names = self._program.main.names.items()
        return [name for name, entity in names if isinstance(entity, kinds)]

    def __repr__(self) -> str:
        return f"<dm module {self.__name__}: {', '.join(self.__dir__())}>"

    def _function(self, signature: Signature) -> Function:
        return Function(self._program, signature, self._lower)

    def _lower(self, binding: Binding) -> Entry:
        module = lower(self._program, binding)
        entry = next(f for f in func.functions(module) if not f.is_private)
        parameters = tuple((p.name, p.type) for p in binding.parameters)
        return Entry(module, entry, parameters, binding.result, binding.signature.span)

    def _make_class(self, module: SourceModule, declaration: RecordDeclaration) -> None:
        members: dict[str, Any] = {}
        body = module.models.get(declaration)
        if body is not None:
            members["init"] = self._function(body.init_signature)
            for name, method in body.methods.items():
                signature = method.signature
                members[name] = Method(lambda s=signature: self._function(s))
            if "forward" in members:
                members["__call__"] = _call_forward
        records.make_class(declaration, _checker(declaration), members)


def _call_forward(record: Any, *arguments: PythonValue, **named: PythonValue) -> PythonValue:
    return record.forward(*arguments, **named)


def load(path: str | Path) -> Module:
    """Parse and check a file and everything it imports.

    Raises dmc.Error with every mistake found, each marked in the source.
    """
    return Module(check_file(Path(path)))


def _checker(declaration: RecordDeclaration) -> Check:
    """Converts what is passed to the constructor of a record class and infers its sizes."""

    def check(
        fields: dict[str, Tree], constants: dict[str, Constant]
    ) -> tuple[dict[str, Tree], dict[str, Constant]]:
        given: dict[str, PythonValue] = {**fields, **constants}
        entries = {
            entry.name: give(given[entry.name], entry.type, entry.name, entry.span)
            for entry in declaration.fields
            if entry.name in given
        }
        missing = [
            entry.name
            for entry in declaration.fields
            if entry.name not in given and not (entry.role is Role.HYPER and entry.has_default)
        ]
        if missing:
            message = f"{declaration.name}: the field `{missing[0]}` is missing"
            raise refuse("call.field", message, declaration.span)
        type_ = record_of(declaration, entries)
        converted: dict[str, Tree] = {}
        for name, part, role in children(type_):
            if role is not Role.HYPER:
                converted[name] = _converted(given[name], part)
        kept = {name: value for name, value in constants.items() if name not in sizes_of(type_)}
        return converted, {**kept, **sizes_of(type_)}

    return check


def _converted(value: PythonValue, type_: Type) -> Tree:
    """An array of the declared dtype for a number; everything else as it is."""
    if isinstance(type_, RecordType | StackType) or isinstance(value, Record | tuple):
        return value
    array = next(iter(flatten(value, type_)))
    return array if array.ndim else array[()]
