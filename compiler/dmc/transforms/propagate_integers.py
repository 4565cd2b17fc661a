"""Integer arguments that are the same constant wherever a function is used."""

from __future__ import annotations

from dataclasses import dataclass

from dmc.dialects import arith, autodiff, func
from dmc.ir import Builder, DenseElements, Module, Operation, SymbolRef, Value, dtype_of
from dmc.ir.passes import Pass


@dataclass(frozen=True)
class PropagateIntegers(Pass):
    """Make constant integer arguments of private functions known inside them.

    Loop counts are passed so, and reverse mode needs to know them. Floats are left alone: they may
    be what a derivative is taken in.
    """

    name = "propagate-integers"

    def run(self, module: Module) -> None:
        functions = func.functions(module)
        rules = {f.jvp_rule for f in functions} | {f.vjp_rule for f in functions}
        known = [f for f in functions if f.is_private and SymbolRef(f.sym_name) not in rules]
        while any(_propagate(module, function) for function in known):
            pass


def _propagate(module: Module, function: func.Func) -> bool:
    uses = [arguments for op in module.walk() if (arguments := _passed(op, function)) is not None]
    changed = False
    for index, arg in enumerate(function.body.args):
        if dtype_of(arg.type).is_float or not arg.uses or not uses:
            continue
        values = {_constant(arguments[index]) for arguments in uses}
        known = values.pop()
        if known is None or values:
            continue
        builder = Builder(function.body, function.body.first, function.location)
        arg.replace_all_uses_with(builder.insert(arith.Constant([], {"value": known})).result)
        changed = True
    return changed


def _passed(op: Operation, function: func.Func) -> tuple[Value, ...] | None:
    """What `op` passes to `function`, if it refers to it."""
    match op:
        case func.Call() if op.callee.name == function.sym_name:
            return op.arguments
        case autodiff.Jvp() | autodiff.Vjp() if op.callee.name == function.sym_name:
            return op.arguments
        case _:
            return None


def _constant(value: Value) -> DenseElements | None:
    op = value.defining_op
    data = op.attributes["value"] if isinstance(op, arith.Constant) else None
    return data if isinstance(data, DenseElements) else None
