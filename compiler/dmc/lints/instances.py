"""The functions of a file as IR, for sizes that are chosen for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from dmc.api.placeholders import fitting_sizes, placeholders
from dmc.diagnostics.diagnostic import Diagnostic
from dmc.diagnostics.errors import Error
from dmc.dialects import func
from dmc.ir import Module
from dmc.ir.passes import PassManager
from dmc.semantics.binding import bind
from dmc.semantics.lower.program import lower
from dmc.semantics.program import FunctionDeclaration, SourceModule
from dmc.semantics.types import Type
from dmc.sparsity.layout import compressed
from dmc.transforms.cse import Cse
from dmc.transforms.dce import Dce
from dmc.transforms.inline import Inline

SMALLEST = (3, 7)
"""What sizes grow from, in the first and in the second instance of a function."""


@dataclass(frozen=True)
class InstanceOfFunction:
    """A function with sizes; the arguments of `function` are the leaves of `parameters`."""

    declaration: FunctionDeclaration
    module: Module
    function: func.Func
    parameters: tuple[tuple[str, Type], ...]
    result: Type
    has_sizes: bool
    dense: tuple[Diagnostic, ...]
    """What is told of its sparse derivatives."""


def declared_in(file: SourceModule) -> Iterator[FunctionDeclaration]:
    """Every function and method of a file."""
    yield from file.functions.values()
    for model in file.models.values():
        yield from model.methods.values()


def instantiate(declaration: FunctionDeclaration, smallest: int) -> InstanceOfFunction | None:
    """None for a function that is not complete without those it is given, or its sizes.

    Raises Error for what is wrong whatever the sizes: a rule that is not linear.
    """
    signature = declaration.signature
    try:
        sizes = fitting_sizes(signature, {}, smallest)
        own = {g.name: sizes[g.name] for g in signature.generics if g.name in sizes}
        binding = bind(signature, placeholders(signature, {}, {}, sizes), (), own)
        dense: list[Diagnostic] = []
        module = lower(binding, partial(compressed, tell=dense.append))
        PassManager([Inline(), Dce(), Cse()]).run(module)
    except Error as failure:
        if any(each.code == "grad.linear" for each in failure.diagnostics):
            raise
        return None
    function = next(f for f in func.functions(module) if not f.is_private)
    parameters = tuple((p.name, p.type) for p in binding.parameters)
    return InstanceOfFunction(
        declaration, module, function, parameters, binding.result, bool(sizes), tuple(dense)
    )
