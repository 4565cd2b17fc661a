"""A function compiled for one set of sizes."""

from __future__ import annotations

from collections.abc import Sequence

from dmc.api.conversion import PythonValue, flatten, rebuild, refuse
from dmc.api.entry import Entry
from dmc.driver import Compilation, Stage
from dmc.ir.types import Array
from dmc.semantics.types import leaves


class Compiled:
    """Machine code for one function and one set of sizes, and every stage on the way to it."""

    def __init__(self, entry: Entry, taken: Sequence[str]) -> None:
        """`taken` are the parameters that are passed; the others have their defaults."""
        self.taken = tuple(taken)
        self._entry = entry
        self._compilation = Compilation(entry.module, entry.function.sym_name)

    def __call__(self, *arguments: PythonValue) -> PythonValue:
        """Run on one value for each parameter, of exactly the types compiled for."""
        wanted = [name for name, _ in self._entry.parameters]
        if len(arguments) != len(wanted):
            message = f"{len(wanted)} arguments are taken ({', '.join(wanted)})"
            raise refuse("call.argument", message, self._entry.span)
        return self.run(arguments)

    def run(self, arguments: Sequence[PythonValue]) -> PythonValue:
        arrays: list[Array] = []
        for (name, type_), value in zip(self._entry.parameters, arguments, strict=True):
            before = len(arrays)
            arrays.extend(flatten(value, type_))
            for leaf, array in zip(leaves(type_, (name,)), arrays[before:], strict=True):
                wanted = self._compilation.argument_types[before]
                before += 1
                if array.shape != wanted.shape:
                    message = f"{leaf.name} has shape {list(array.shape)}, not {leaf.type}"
                    raise refuse("shape.argument", message, self._entry.span)
        outputs = self._compilation.executable(*arrays)
        return rebuild(self._entry.result, iter(outputs))

    def ir(self, stage: str = "tensor", *, generic: bool = False) -> str:
        """The program at a stage: tensor, tangent, adjoint, optimized, kernel, loop, llvm or asm.

        `tangent` and `adjoint` of a function that takes no derivative show those of the function
        itself. Raises ValueError for another stage.
        """
        return self._compilation.ir(Stage(stage), generic=generic)

    def memory(self) -> str:
        """What the function needs: the size of its arena and its largest values."""
        return self._compilation.memory()
