"""A function compiled for one set of sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from dmc.api.conversion import PythonValue, refuse
from dmc.api.donation import GIVEN_UP, can_be_donated, successor
from dmc.api.entry import Entry, tensor_type
from dmc.api.marshal import Marshal
from dmc.api.program import LoadedProgram
from dmc.diagnostics.diagnostic import Diagnostic, Label
from dmc.diagnostics.errors import Error, error
from dmc.ir.collection import seldom_collecting
from dmc.ir.location import Span
from dmc.ir.types import Array
from dmc.process import compiling, lazy, native
from dmc.semantics.types import Role, TensorType
from dmc_runtime.arguments import shown, text
from dmc_runtime.errors import ArgumentError
from dmc_runtime.sizes import shown_bytes

if TYPE_CHECKING:
    from dmc.api.memory import Memory
    from dmc.api.recall import Recall
    from dmc.driver import Compilation
    from dmc.jit.artifact import Artifact
    from dmc.jit.calls import TreeCall
    from dmc.jit.entry import ArgumentMismatch, ArgumentSpec, Executable, TapesFull
    from dmc.transforms.index_arguments import IndexArgument

Direct = Callable[..., object]
"""Takes and gives values of Python; an int where `Compiled.run` has to take over."""
_ADDRESSES = 1 << 63
_COPY = "pass a copy: `x.copy()`"


def directly(direct: Direct | None, arguments: Sequence[PythonValue]) -> object:
    """What a native call gives; an int where there is none, or something is to be said."""
    if direct is None or GIVEN_UP:
        return 0
    try:
        return direct(*arguments)
    except MemoryError:  # `Compiled.run` says for what there is none
        return 0


@dataclass(frozen=True, slots=True)
class _Ready:
    """What a call runs; `tree` does where there is nothing to do in Python."""

    executable: Executable
    artifact: Artifact
    tree: TreeCall | None


class Compiled:
    """Machine code for one function and one set of sizes, and every stage on the way to it."""

    def __init__(
        self,
        name: str,
        entry: Entry,
        program: LoadedProgram,
        donated: Sequence[str] = (),
        recall: Recall | None = None,
    ) -> None:
        """`name` is that of the function, for messages; `donated` are paths of arguments.

        Machine code may be found at `recall`. Raises dmc.Error for a path that does not exist, and
        for a program that is wrong for its sizes.
        """
        # LLVM is loaded with the first function that is compiled.
        with native:
            from dmc.jit.calls import TreeCall
            from dmc.jit.entry import ArgumentMismatch, TapesFull

        self.name = name
        self.entry = entry
        self._require_addressable()
        self._options = program.options
        self._recall = recall
        self._donated = self._find_donated(donated)
        self._marshal = marshal = Marshal(program.classes)
        self._takers = [
            marshal.taker(type_, f"{name}: {parameter}", entry.span)
            for parameter, type_ in entry.parameters
        ]
        self._make = marshal.maker(entry.result)
        self._tree_call: type[TreeCall] = TreeCall
        self._mismatch: type[ArgumentMismatch] = ArgumentMismatch
        self._tapes_full: type[TapesFull] = TapesFull
        if recall is None or not recall.has_program:
            _ = self.compilation  # never compiled, and perhaps wrong
        self._ready: _Ready | None = None
        self.patterns: dict[object, object] = {}
        """What is known of sparse derivatives of the function, by what it depends on."""

    def __reduce__(self) -> NoReturn:
        raise ArgumentError(f"{self.name} is compiled for this process; pickle the function")

    def _require_addressable(self) -> None:
        """Refuse sizes that no array has; compiling ahead of time gives any."""
        for leaf in self.entry.arguments:
            if isinstance(leaf.type, TensorType) and tensor_type(leaf).bytes >= _ADDRESSES:
                message = f"{self.name}: there is no array as large as {leaf.name}: {leaf.type}"
                raise refuse("call.size", message, self.entry.span)

    @lazy
    def compilation(self) -> Compilation:
        """Every stage on the way to the machine code."""
        with native:
            from dmc.driver import Compilation

        lowered = self.entry.lowered
        if self._donated:
            lowered.function.attributes["donated"] = self._donated
        return Compilation(
            lowered.module,
            lowered.function.sym_name,
            checked=self._options.checks,
            strict=self._options.strict,
            budget=self.entry.budget,
        )

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of what a call takes, by position."""
        return tuple(name for name, _ in self.entry.parameters)

    def __call__(self, *arguments: PythonValue) -> PythonValue:
        """Run on one value for each parameter, of exactly the types compiled for.

        Raises dmc.Error when they do not fit.
        """
        if len(arguments) != len(self._takers):
            names = ", ".join(self.parameters)
            message = f"{self.name}: {len(arguments)} arguments given for {names}"
            raise refuse("call.argument", message, self.entry.span)
        result = directly(self.direct, arguments)
        return self.run(arguments) if type(result) is int else result

    @property
    def direct(self) -> Direct | None:
        """A call that does everything in native code, if there is one; see `TreeCall.function`.

        It lives as long as this object, and does not know of arrays that were given up.
        """
        ready = self._ready
        return None if ready is None or ready.tree is None else ready.tree.function

    def run(self, arguments: Sequence[PythonValue]) -> PythonValue:
        """`__call__` without counting, and with every error."""
        arrays = self.arrays(arguments)
        if GIVEN_UP or self._donated:
            self._check_ownership(arrays)
        ready = self._ready or self._prepare()
        self._check_indexes(ready.artifact.index_arguments, arrays)
        try:
            results = ready.executable(*arrays)
        except self._mismatch as failure:
            raise self._refusal(failure, arrays, ready.executable.arguments) from None
        except self._tapes_full:
            # It had run, and perhaps written over them.
            GIVEN_UP.add(arrays[index] for index in self._donated)
            raise self._tapes_refused() from None
        except MemoryError as failure:
            raise self._explained(failure) from None
        if self._donated:
            GIVEN_UP.add(arrays[index] for index in self._donated)
            results = [
                result if spec.overwrites is None else successor(result)
                for result, spec in zip(results, ready.executable.results, strict=True)
            ]
        return self.put_together(results, ready.artifact)

    def check_indexes(self, arrays: Sequence[Array]) -> None:
        """Raise dmc.Error when an argument holds an index that is outside of its axis."""
        self._check_indexes(self.compilation.index_arguments, arrays)

    def _check_indexes(self, uses: Sequence[IndexArgument], arrays: Sequence[Array]) -> None:
        for use in uses:
            self._check_index(use, arrays[use.argument])

    def put_together(
        self, results: Sequence[Array], checks: Artifact | Compilation | None = None
    ) -> PythonValue:
        """The value that the arrays are which the code gives.

        Raises dmc.Error where these tell of an index that was outside of its axis.
        """
        checks = checks or self.compilation
        if checks.returns_fault and results[-1]:
            raise self._outside(checks, int(results[-1]))
        return self._make(iter(results))

    def arrays(self, arguments: Sequence[PythonValue]) -> list[Array]:
        """The leaves of what is given for the parameters."""
        arrays: list[Array] = []
        for take, value in zip(self._takers, arguments, strict=True):
            take(value, arrays)
        return arrays

    def arrays_of(self, parameter: int, value: PythonValue) -> list[Array]:
        """The leaves of what is given for one parameter."""
        arrays: list[Array] = []
        self._takers[parameter](value, arrays)
        return arrays

    def not_finite(self, arguments: Sequence[PythonValue]) -> tuple[Span, float] | None:
        """Where a call first makes NaN or infinity of finite numbers, and which; it is interpreted.

        None where every value is finite, or where what is not was given.
        """
        with native:
            from dmc.ir.tracing import first_not_finite

        arrays = self.arrays(arguments)
        with compiling:
            compilation = self.compilation
            found = first_not_finite(compilation.expanded, compilation.entry, arrays)
        if found is None:
            return None
        return found.op.location.span or self.entry.span, found.value

    def _explained(self, failure: MemoryError) -> Error:
        """The error that says what takes the memory."""
        if isinstance(failure, Error):
            return failure
        with compiling:
            return self.compilation.out_of_memory()

    def _tapes_refused(self) -> Error:
        """The error for a loop that ran for so long that its reverse has no memory."""
        with compiling:
            budget = self.compilation.budget.bytes
        bound = f"a budget of {shown_bytes(budget)}" if budget else "memory"
        title = f"{self.name}: {bound} ran out for what the reverse pass needs of its loops"
        help_ = (
            "bound the loop that runs for too long: `while c limit 1000 { … }`",
            "or keep less of it: `checkpoint while c { … }`, `checkpoint for`",
        )
        return error(Diagnostic("memory.tape", title, Label(self.entry.span), help=help_))

    def _outside(self, checks: Artifact | Compilation, code: int) -> Error:
        """The error for an index that the program found outside its axis."""
        with native:
            from dmc.transforms.trap_indexes import Fault

        fault = Fault.read(code)
        use = checks.checked_indexes[fault.use]
        title = f"{self.name}: index {fault.index} is outside 0..{use.size}"
        return error(Diagnostic("index.bounds", title, Label(use.span or self.entry.span)))

    def _find_donated(self, paths: Sequence[str]) -> tuple[int, ...]:
        """The leaves that are donated, by position."""
        found: list[int] = []
        for path in paths:
            steps = tuple(path.split("."))
            leaves = enumerate(self.entry.arguments)
            here = [(i, leaf) for i, leaf in leaves if leaf.path[: len(steps)] == steps]
            if not here:
                message = f"{self.name}: there is no argument `{path}` to donate"
                raise refuse("call.donated", message, self.entry.span)
            # Hyperparameters are numbers that a record carries, not arrays of its own.
            found += [i for i, leaf in here if leaf.role is not Role.HYPER]
        return tuple(sorted(set(found)))

    def _check_ownership(self, arrays: list[Array]) -> None:
        """Raise dmc.Error for arrays that were donated before, or cannot be donated now."""
        for index, array in enumerate(arrays):
            problem, hint = "", _COPY
            if array in GIVEN_UP:
                problem, hint = (
                    "was donated to an earlier call",
                    "go on with the result of that call",
                )
            elif index in self._donated and not can_be_donated(array):
                problem = "is not contiguous and writeable, and so cannot be donated"
            if problem:
                raise self._not_donated(index, problem, hint)

    def _not_donated(self, index: int, problem: str, hint: str) -> Error:
        message = f"{self.name}: {self.entry.arguments[index].name} {problem}"
        return refuse("call.donated", message, self.entry.span, hint)

    def _prepare(self) -> _Ready:
        """Machine code, found or made."""
        with compiling, seldom_collecting():
            if self._ready is None:
                recalled = None if self._recall is None else self._recall.program()
                if recalled is not None:
                    self._ready = self._readied(recalled.executable, recalled.artifact)
                else:
                    self._ready = self._made()
            return self._ready

    def _made(self) -> _Ready:
        compilation = self.compilation
        try:
            executable = compilation.executable
        except MemoryError as failure:
            raise self._explained(failure) from None
        if self._recall is not None:
            self._recall.keep_program(compilation.artifact)
        ready = self._readied(executable, compilation.artifact)
        compilation.forget_stages()
        return ready

    def _readied(self, executable: Executable, artifact: Artifact) -> _Ready:
        if self._donated or artifact.index_arguments or artifact.polls:
            return _Ready(executable, artifact, None)
        arguments = [self._marshal.shape(type_) for _, type_ in self.entry.parameters]
        result = self._marshal.result_shape(self.entry.result)
        if result is None or None in arguments:
            return _Ready(executable, artifact, None)
        tree = self._tree_call(
            executable,
            [shape for shape in arguments if shape],
            result,
            returns_fault=artifact.returns_fault,
        )
        return _Ready(executable, artifact, tree if tree.function else None)

    def _check_index(self, use: IndexArgument, array: Array) -> None:
        """Raise dmc.Error when an element of an argument is no index of what it is used for."""
        if array.dtype.kind != "i" or array.ndim < len(use.part):
            return  # the call itself is refused
        part = array[tuple(slice(*axis) for axis in use.part)] if use.part else array
        # As unsigned numbers the negative ones are large.
        if not part.size or part.view(f"u{part.itemsize}").max() < use.bound:
            return
        worst = part.min() if part.min() < 0 else part.max()
        leaf = self.entry.arguments[use.argument]
        holds = "holds" if part.ndim else "is"
        message = f"{self.name}: {leaf.name} {holds} {worst}, which is outside 0..{use.bound}"
        raise refuse("index.bounds", message, use.location.span or self.entry.span)

    def _refusal(
        self,
        failure: ArgumentMismatch,
        arrays: Sequence[Array],
        specs: Sequence[ArgumentSpec],
    ) -> Error:
        index = failure.index
        assert index is not None
        if failure.is_shared:
            problem = "is donated, and another argument has the same memory"
            return self._not_donated(index, problem, _COPY)
        leaf, given = self.entry.arguments[index], arrays[index]
        found = f"{given.dtype.name}{list(given.shape)}" if given.ndim else given.dtype.name
        message = f"{self.name}: {leaf.name} must be {leaf.type}, and {found} was given"
        wanted = specs[index].dtype
        code = "type.argument" if given.dtype != wanted.numpy else "shape.argument"
        return refuse(code, message, self.entry.span)

    def load(self) -> None:
        """Make the machine code now rather than with the first call."""
        self._prepare()

    def ir(self, stage: str = "tensor", *, generic: bool = False, locations: bool = False) -> str:
        """The program at a stage: tensor, tangent, adjoint, optimized, kernel, loop, llvm or asm.

        `tangent` and `adjoint` of a function that takes no derivative show those of the function
        itself. `generic` is MLIR's generic syntax; `locations` adds to every operation its place
        in the source and what produced it. Raises dmc.Error for another stage.
        """
        from dmc.driver import Stage

        stages = [known.value for known in Stage]
        if text(stage, f"{self.name}: the stage") not in stages:
            there = ", ".join(stages)
            message = f"{self.name}: there is no stage {shown(stage)}; there are {there}"
            raise refuse("call.stage", message, self.entry.span)
        with compiling:
            return self.compilation.ir(Stage(stage), generic=generic, locations=locations)

    def memory(self) -> Memory:
        """What a call takes, and which values take it; known before it runs."""
        with native:
            from dmc.api.memory import memory_of
        with compiling:
            return memory_of(self.name, self.compilation)

    def __repr__(self) -> str:
        parameters = ", ".join(f"{name}: {type_}" for name, type_ in self.entry.parameters)
        return f"<compiled {self.name}({parameters}) -> {self.entry.result}>"
