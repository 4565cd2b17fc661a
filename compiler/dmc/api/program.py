"""A checked program, as its functions use it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dmc.api.entry import Entry, Lowered, is_several
from dmc.api.marshal import as_python
from dmc.api.operators import Operator
from dmc.api.options import Options
from dmc.api.records import Classes
from dmc.ir.types import Array
from dmc.process import native
from dmc.semantics.program import Program
from dmc.semantics.signature import Binding
from dmc.semantics.types import Role, leaves
from dmc_runtime.records import Constant

if TYPE_CHECKING:
    from dmc.api.recall import Recall


class LoadedProgram:
    """A checked program with the Python classes of its records, which `open_program` makes."""

    def __init__(
        self, program: Program, origin: Callable[[], LoadedProgram], options: Options
    ) -> None:
        """`origin` gives it again, in this process or, pickled, in another one."""
        self.program = program
        self.origin = origin
        self.options = options
        self.classes = Classes()

    def __reduce__(self) -> tuple[Callable[[], LoadedProgram], tuple[()]]:
        return self.origin, ()

    def entry(self, binding: Binding) -> Entry:
        """One instance of a function."""
        parameters = tuple((p.name, p.type) for p in binding.parameters)
        result, signature = binding.result, binding.signature
        several = is_several(result)
        return Entry(
            lambda: _lower(binding), parameters, result, several, signature.name, signature.span
        )

    def recall(
        self, binding: Binding, operators: Sequence[Operator], donated: Sequence[str]
    ) -> Recall | None:
        """Where the cache has the machine code of an instance under operators."""
        # LLVM is loaded with the first function that is compiled.
        with native:
            from dmc.api.recall import recall

        return recall(self.program, binding, operators, donated, self.options)

    def hyperparameters(self, binding: Binding, arguments: Sequence[Array]) -> dict[str, Constant]:
        """Those of the model that a function makes; nothing else of it is computed."""
        place = self.recall(binding, (), ())
        known = None if place is None else place.constants(arguments)
        if known is not None:
            return known
        with native:
            from dmc.driver import interpreted

        lowered = _lower(binding)
        own = {
            leaf.path[0]: position
            for position, leaf in enumerate(leaves(binding.result))
            if leaf.role is Role.HYPER and len(leaf.path) == 1
        }
        values = interpreted(lowered.module, lowered.function.sym_name, [*own.values()], arguments)
        constants = dict(zip(own, map(as_python, values), strict=True))
        if place is not None:
            place.keep_constants(arguments, constants)
        return constants


def _lower(binding: Binding) -> Lowered:
    """The tensor-level IR of one instance of a function."""
    # Checking a program needs nothing of the lower half of the compiler.
    with native:
        from dmc.dialects import func
        from dmc.semantics.lower.program import lower
        from dmc.sparsity.layout import compressed

    module = lower(binding, compressed)
    return Lowered(module, next(f for f in func.functions(module) if not f.is_private))
