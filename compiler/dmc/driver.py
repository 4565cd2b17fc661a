"""The whole story, top to bottom: tensor IR → derivatives → optimized → kernels → loops → native.

What comes before, from source text to tensor IR, is in `semantics`; what comes after, calling
native code with Python values, is in `api`.
"""

from __future__ import annotations

import enum
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace

from dmc.autodiff.activity import is_differentiable
from dmc.autodiff.errors import NotDifferentiable
from dmc.autodiff.narrate import Narrator
from dmc.diagnostics.diagnostic import Diagnostic, Label
from dmc.diagnostics.errors import CompilerBug, Error, error
from dmc.dialects import autodiff, func
from dmc.dialects.derivatives import Problem
from dmc.ir import (
    USUAL,
    Array,
    Interpreter,
    Module,
    PassFailure,
    Rates,
    TensorType,
    VerifyError,
)
from dmc.ir.collection import seldom_collecting
from dmc.ir.parser import IRSyntaxError, parse
from dmc.ir.passes import Pass, PassManager, parse_pipeline
from dmc.ir.printer import print_module
from dmc.ir.verifier import verify
from dmc.jit.artifact import Artifact, CheckedIndex
from dmc.jit.engine import Engine, default_engine
from dmc.jit.entry import ArgumentSpec, Executable, ResultSpec
from dmc.jit.processors import memory, unused_memory
from dmc.jit.program import LLVMProgram, to_llvm
from dmc.jit.rates import rates_of
from dmc.lowering.to_loops import LoopProgram, lower_to_loops
from dmc.process import VERIFY_EACH, lazy
from dmc.transforms import pipeline
from dmc.transforms.index_arguments import IndexArgument, index_arguments
from dmc.transforms.index_uses import indexes_of
from dmc.transforms.inline import MOST_OPERATIONS, TooLarge
from dmc.transforms.memory import MemoryPlan, report
from dmc.transforms.memory.place import verify_places
from dmc.transforms.memory.shortage import needed_bytes, shortage
from dmc.transforms.rematerialize import BudgetTooSmall
from dmc.transforms.trap_indexes import IndexUse, TrapIndexes, unproved_indexes
from dmc_runtime.budget import NO_BUDGET, Budget
from dmc_runtime.sizes import shown_bytes


class Stage(enum.Enum):
    """Where a program can be looked at on its way."""

    TENSOR = "tensor"
    TANGENT = "tangent"
    ADJOINT = "adjoint"
    OPTIMIZED = "optimized"
    KERNEL = "kernel"
    LOOP = "loop"
    LLVM = "llvm"
    ASM = "asm"


Print = Callable[[str, str], None]
"""Is given a title and IR around every pass that is to be printed."""


class Compilation:
    """One entry function on its way to machine code. Each stage is made when it is asked for."""

    def __init__(
        self,
        module: Module,
        entry: str,
        *,
        engine: Engine | None = None,
        print_after: frozenset[str] = frozenset(),
        on_print: Print | None = None,
        checked: bool = False,
        strict: bool = False,
        budget: Budget = NO_BUDGET,
    ) -> None:
        """`entry` names the public function of the tensor-level `module`.

        Its arena may take `budget`, and what gradients in it may take.

        If `checked`, a program with `index_uses` may return one more value (`returns_fault`): 0, or
        what `Fault` reads. If `strict`, sums are taken as they are written: no product is rounded
        into one, and no pass chooses its order.
        """
        self.tensor = module
        self.entry = entry
        self.checked = checked
        self.strict = strict
        self._allowed = budget
        self._engine = engine
        self._print_after = print_after
        self._on_print = on_print
        self.seconds: list[tuple[str, float]] = []
        """The time of each pass that has run."""

    @property
    def engine(self) -> Engine:
        return self._engine or default_engine()

    @lazy
    def budget(self) -> Budget:
        """What the arena may take."""
        budget = self._allowed.with_other(autodiff.budget_of(self.tensor))
        there = memory()
        if budget.bytes > there:
            given = f"a budget of {shown_bytes(budget.bytes)} holds nothing back"
            warnings.warn(f"{given}: the machine has {shown_bytes(there)}", stacklevel=2)
        return budget

    @lazy
    def rates(self) -> Rates | None:
        """What the machine does in a second; only a budget makes it count."""
        return rates_of(self.engine) if self.budget.bytes else None

    @property
    def _left_out(self) -> frozenset[str]:
        """The passes that a strict program goes without."""
        return pipeline.ROUNDING if self.strict else frozenset()

    @property
    def argument_types(self) -> list[TensorType]:
        return _tensors(func.lookup(self.tensor, self.entry).function_type.inputs)

    @property
    def result_types(self) -> list[TensorType]:
        return _tensors(func.lookup(self.tensor, self.entry).function_type.results)

    @lazy
    def expanded(self) -> Module:
        """Every derivative that was asked for is ordinary IR."""
        derivatives = pipeline.derivatives(self._left_out, self.budget)
        if not self.index_uses:
            return self._run(self.tensor, derivatives)
        return self._run(self.inlined, [TrapIndexes(), *pipeline.clean(), *derivatives])

    @lazy
    def inlined(self) -> Module:
        """Functions stand on their own, but for those that are differentiated."""
        return self._run(self.tensor, pipeline.inlined())

    @property
    def returns_fault(self) -> bool:
        """Whether the last value that a call returns says which index was outside."""
        expanded = func.lookup(self.expanded, self.entry)
        return len(expanded.function_type.results) > len(self.result_types)

    @lazy
    def index_uses(self) -> list[IndexUse]:
        """Where an index may turn out to be outside; faults tell them by their position."""
        return unproved_indexes(self.inlined) if self.checked and self._indexes else []

    @property
    def _indexes(self) -> bool:
        """Whether any index is computed."""
        return any(any(indexes_of(op)) for op in self.tensor.walk())

    @lazy
    def index_arguments(self) -> list[IndexArgument]:
        """Arguments that are indexes, for the caller to check."""
        if not self._indexes:
            return []
        return index_arguments(self.inlined, func.lookup(self.inlined, self.entry))

    @property
    def checked_indexes(self) -> tuple[CheckedIndex, ...]:
        """What a fault that is returned tells of."""
        return tuple(CheckedIndex(use.size, use.location.span) for use in self.index_uses)

    @lazy
    def optimized(self) -> Module:
        return self._run(self.expanded, pipeline.optimize(self._left_out))

    @lazy
    def kernels(self) -> Module:
        """Grouped into passes over memory."""
        passes = pipeline.to_kernels(self._left_out, self.budget, self.rates or USUAL)
        return self._run(self.optimized, passes, verified=True)

    @lazy
    def loops(self) -> LoopProgram:
        """Explicit loops over buffers in one arena."""
        kernels = self.kernels
        with seldom_collecting():
            machine = replace(self.engine.target.machine, strict=self.strict)
            return lower_to_loops(kernels, self.entry, machine)

    @lazy
    def llvm(self) -> LLVMProgram:
        loops = self.loops
        with seldom_collecting():
            return to_llvm(loops, self.engine)

    @property
    def llvm_text(self) -> str:
        """The program in one LLVM module, for people; `llvm` is what is compiled."""
        (text,) = to_llvm(self.loops, self.engine, most=1).modules
        return text

    @lazy
    def artifact(self) -> Artifact:
        """The program as data, but for its machine code."""
        program, engine = self.llvm, self.engine
        results = _tensors(func.lookup(self.expanded, self.entry).function_type.results)
        return Artifact(
            tuple(map(engine.name_of, program.modules)),
            program.entry,
            tuple(
                ArgumentSpec(type_.dtype, type_.shape, donated=index in program.donated)
                for index, type_ in enumerate(self.argument_types)
            ),
            tuple(
                ResultSpec(type_.dtype, type_.shape, overwrites)
                for type_, overwrites in zip(results, program.overwrites, strict=True)
            ),
            program.arena_bytes,
            program.scratch_bytes,
            needed_bytes(func.lookup(self.kernels, self.entry)),
            tuple(self.index_arguments),
            self.checked_indexes,
            self.returns_fault,
            program.tapes,
            program.polls,
            "" if self.rates is None else self.rates.text,
        )

    @lazy
    def executable(self) -> Executable:
        """Machine code, loaded. Raises OutOfMemory when it needs more than the machine has."""
        if needed_bytes(func.lookup(self.kernels, self.entry)) > memory():
            raise self.out_of_memory()
        return self.artifact.load(self.engine, self.engine.compile_all(self.llvm.modules))

    def forget_stages(self) -> None:
        """Let go of what is large and made again when somebody asks for it."""
        _ = self._memory  # small, and often asked for
        for stage in (Compilation.optimized, Compilation.kernels):
            stage.forget(self)
        Compilation.loops.forget(self)
        Compilation.llvm.forget(self)

    def out_of_memory(self) -> Error:
        """The error for a call whose memory cannot be had."""
        planned = func.lookup(self.kernels, self.entry)
        return error(shortage(planned, self.entry, unused_memory()))

    def ir(self, stage: Stage, *, generic: bool = False, locations: bool = False) -> str:
        """The program at `stage` as text; `generic` is MLIR's generic syntax.

        `locations` adds to every operation its place in the source and what produced it.

        Without derivatives in the program, `tangent` and `adjoint` are those of the entry itself.
        The text of an adjoint quotes the source, unless it has all locations or is generic.
        """
        match stage:
            case Stage.LLVM:
                return self.llvm_text
            case Stage.ASM:
                return self.engine.assembly(self.llvm_text)
            case Stage.TENSOR:
                module = self.tensor
            case Stage.TANGENT:
                module = self._derivative(autodiff.Jvp)
            case Stage.ADJOINT:
                module = self._derivative(autodiff.Vjp)
            case Stage.OPTIMIZED:
                module = self.optimized
            case Stage.KERNEL:
                module = self.kernels
            case Stage.LOOP:
                module = self.loops.module
        quotes = stage is Stage.ADJOINT and not generic and not locations
        comments = Narrator() if quotes else None
        return print_module(module, generic=generic, locations=locations, comments=comments)

    def memory(self) -> MemoryPlan:
        """What lies in the arena, and when."""
        return self._memory

    @lazy
    def _memory(self) -> MemoryPlan:
        return report(func.lookup(self.kernels, self.entry))

    def _derivative(self, mode: type[autodiff.Jvp | autodiff.Vjp]) -> Module:
        """Derivatives that are asked for; where none is, that of the entry, as if it were."""
        if any(isinstance(op, autodiff.Jvp | autodiff.Vjp) for op in self.tensor.walk()):
            return self.expanded
        module = self.tensor.copy()
        _ask_for(module, self.entry, in_reverse=mode is autodiff.Vjp)
        passes = pipeline.derivatives(self._left_out, self.budget, selecting=False)
        if self.index_uses:
            passes = [*pipeline.inlined(), TrapIndexes(), *pipeline.clean(), *passes]
        return self._run(module, passes)

    @seldom_collecting()
    def _run(self, module: Module, passes: Sequence[Pass], verified: bool = False) -> Module:
        """The module after `passes`. Only what is lowered is `verified`, and what is asked to be.

        What earlier stages break, the later ones refuse or hand on.
        """
        copy = module.copy()
        manager = PassManager(
            passes,
            verify_each=os.environ.get(VERIFY_EACH, "0") != "0",
            verify_last=verified,
            print_after=self._print_after,
            on_print=self._on_print,
        )
        with _Refusals():
            manager.run(copy, module)
        self.seconds += manager.seconds
        return copy


def _ask_for(module: Module, name: str, in_reverse: bool) -> None:
    """Add the tangent or adjoint of a function, which takes the directions."""
    entry = func.lookup(module, name)
    given, outputs = entry.body.args, entry.body.terminator.operands
    wrt = tuple(i for i, value in enumerate(given) if is_differentiable(value))
    of = tuple(i for i, value in enumerate(outputs) if is_differentiable(value))
    moved = [outputs[i] for i in of] if in_reverse else [given[i] for i in wrt]
    mark, default = ("bar", "out") if in_reverse else ("dot", "in")
    names = [value.name for value in given]
    names += [f"{value.name or default}_{mark}" for value in moved]
    derivative, builder = func.function(
        module,
        f"{name}_{'adjoint' if in_reverse else 'tangent'}",
        [value.type for value in (*given, *moved)],
        names,
        entry.location,
    )
    arguments = derivative.body.args
    problem = Problem(entry, tuple(arguments[: len(given)]), wrt)
    ask = problem.pull if in_reverse else problem.push
    values, found = ask(builder, arguments[len(given) :], of)
    func.finish(derivative, builder, [*values, *found])
    entry.attributes["visibility"] = "private"


class _Refusals:
    """Turns what passes raise into errors for users or reports of bugs."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, failure: BaseException | None, trace: object) -> None:
        cause = failure.__cause__ if isinstance(failure, PassFailure) else failure
        if isinstance(cause, NotDifferentiable):
            span = cause.location.span
            label = Label(span) if span is not None else None
            raise error(Diagnostic(cause.code, cause.title, label, help=(cause.help,))) from None
        if isinstance(cause, TooLarge):
            raise error(_too_large(cause)) from None
        if isinstance(cause, BudgetTooSmall):
            raise error(cause.diagnostic) from None
        if isinstance(failure, PassFailure):
            name, path = failure.pass_name, failure.reproducer
            raise CompilerBug(str(cause), pass_name=name, reproducer=path) from cause


def _too_large(cause: TooLarge) -> Diagnostic:
    span = cause.function.location.span
    name = cause.function.sym_name
    title = f"with its calls written out `{name}` has more than {MOST_OPERATIONS:,} operations"
    label = Label(span) if span is not None else None
    help_ = "call once what is needed twice, `let y = f(x)`, and let loops do what repeats"
    return Diagnostic("memory.calls", title, label, help=(help_,))


def _tensors(types: Sequence[object]) -> list[TensorType]:
    return [type_ for type_ in types if isinstance(type_, TensorType)]


def interpreted(
    module: Module, entry: str, results: Sequence[int], arguments: Sequence[Array]
) -> list[Array]:
    """Only some of the results of a function, without making machine code for that."""
    reduced = module.copy()
    function = func.lookup(reduced, entry)
    returned = function.body.terminator
    returned.set_operands([returned.operands[index] for index in results])
    function.update_type()
    with _Refusals():
        PassManager(pipeline.inlined()).run(reduced)
    return Interpreter(reduced).call(entry, arguments)


def run_textual(
    text: str,
    passes: str,
    *,
    file: str = "<ir>",
    generic: bool = False,
    on_print: Print | None = None,
) -> str:
    """`dmc opt`: read IR at any level, run the pipeline `passes`, print the outcome.

    `on_print` is given the IR after every pass. Raises Error (`ir.*`) for IR that is wrong as it
    came, PipelineError, or CompilerBug.
    """
    pipeline = parse_pipeline(passes)
    module = _read_ir(text, file)
    every = frozenset({"*"}) if on_print is not None else frozenset[str]()
    manager = PassManager(pipeline, print_after=every, on_print=on_print)
    with _Refusals():
        manager.run(module)
    return print_module(module, generic=generic)


def _read_ir(text: str, file: str) -> Module:
    try:
        parsed = parse(text, file)
        try:
            verify(parsed.module)
            parsed.module.verify_uses_end()
            verify_places(parsed.module)
        except VerifyError as failure:
            places = (span for op, span in parsed.spans.items() if op is failure.op)
            place = next(places, None)
            label = None if place is None else Label(place)
            raise error(Diagnostic("ir.invalid", str(failure), label)) from None
    except IRSyntaxError as failure:
        raise error(Diagnostic("ir.syntax", failure.message, Label(failure.span))) from None
    return parsed.module
