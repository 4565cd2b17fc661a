"""Records of a program that was loaded before, as records of one that is loaded again."""

from __future__ import annotations

from typing import TypeVar, cast

from dmc.api.module import Module
from dmc.diagnostics.diagnostic import Diagnostic
from dmc.diagnostics.errors import Error, error
from dmc_runtime.arguments import shallow, shown
from dmc_runtime.records import Kind, Record, Tree, build, constants_of, kind_of, spec_of, stack_of
from dmc_runtime.trees import children_of, with_children

T = TypeVar("T", bound=Tree)


def convert(value: T, program: Module) -> T:
    """The records in `value` as records of `program`, found by the names of module and class.

    For going on with a program that was edited and loaded again: each record must have the fields
    that the program declares now. Arrays are shared. Raises dmc.Error naming what differs.
    """
    if not isinstance(cast("object", program), Module):
        raise _refused(f"`program` is {shown(program)}, not a loaded program", "")
    with shallow("`dmc.convert`: the value"):
        return cast("T", _converted(value, program, ""))


def _converted(value: Tree, program: Module, path: str) -> Tree:
    if kind_of(value) in (Kind.LEAF, Kind.NONE):
        return value
    children = [_converted(child, program, path + step) for step, child in children_of(value)]
    if not isinstance(value, Record):
        return with_children(value, children)
    spec = spec_of(value)
    cls = program.class_named(spec.module, spec.name)
    if cls is None:
        raise _refused(f"`{program.__file__}` has no {spec.name} in {spec.module}", path)
    new = spec_of(cls)
    if new.names != spec.names:
        there, here = ", ".join(new.names), ", ".join(spec.names)
        raise _refused(f"{spec.name} has the fields {there} now, and not {here}", path)
    return build(cls, children, constants_of(value), stack_of(value))


def _refused(message: str, path: str) -> Error:
    where = f" (at `{path.removeprefix('.')}`)" if path else ""
    return error(Diagnostic("call.value", f"dmc.convert: {message}{where}", at_call=True))
