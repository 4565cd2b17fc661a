"""A checked program, as its functions use it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dmc.api.entry import Entry, is_several
from dmc.api.marshal import as_python
from dmc.api.records import Classes
from dmc.ir.types import Array
from dmc.process import native
from dmc.semantics.program import Program
from dmc.semantics.signature import Binding
from dmc.semantics.types import Role, leaves
from dmc_runtime.records import Constant


class LoadedProgram:
    """A checked program with the Python classes of its records, which `open_program` makes."""

    def __init__(self, program: Program, origin: Callable[[], LoadedProgram], checks: bool) -> None:
        """`origin` gives it again, in this process or, pickled, in another one.

        `checks`: whether indexes that it computes are checked when it runs.
        """
        self.program = program
        self.origin = origin
        self.checks = checks
        self.classes = Classes()

    def __reduce__(self) -> tuple[Callable[[], LoadedProgram], tuple[()]]:
        return self.origin, ()

    def lower(self, binding: Binding) -> Entry:
        """The tensor-level IR of one instance of a function."""
        # Checking a program needs nothing of the lower half of the compiler.
        with native:
            from dmc.dialects import func
            from dmc.semantics.lower.program import lower

        module = lower(binding)
        entry = next(f for f in func.functions(module) if not f.is_private)
        parameters = tuple((p.name, p.type) for p in binding.parameters)
        result, signature = binding.result, binding.signature
        return Entry(
            module, entry, parameters, result, is_several(result), signature.name, signature.span
        )

    def hyperparameters(
        self, binding: Binding, arguments: Sequence[Array]
    ) -> dict[str, Constant]:
        """Those of the model that a function makes; nothing else of it is computed."""
        with native:
            from dmc.driver import interpreted

        entry = self.lower(binding)
        own = {
            leaf.path[0]: position
            for position, leaf in enumerate(leaves(entry.result))
            if leaf.role is Role.HYPER and len(leaf.path) == 1
        }
        values = interpreted(entry.module, entry.function.sym_name, [*own.values()], arguments)
        return dict(zip(own, map(as_python, values), strict=True))
