"""Holds a case against the oracles: what the language says, the interpreter, finite differences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

import dmc
from dmc.diagnostics.errors import Error
from dmc.ir import Interpreter
from tests.property.net.cases import Arrays, Case, widened
from tests.property.net.statements import Parameter
from tests.property.net.syntax import Data, RecordType, TooLong, Trace, Type
from tests.property.net.taylor import Jet


class Verdict(StrEnum):
    AGREES = "agrees"
    FAULT = "fault"
    REFUSED = "refused"
    """By a message for users. The program is valid, so many of these are a fault, too."""
    UNDECIDED = "undecided"
    """The oracle cannot tell: rounding decides, or the value is too hard to find."""


@dataclass(frozen=True)
class Finding:
    verdict: Verdict
    kind: str
    """A few words, by which findings are told apart."""
    detail: str = ""


# The functions that are compiled


def dot(parameter: Parameter) -> str:
    """The product of the gradient in a parameter with the direction."""
    name = parameter.name
    if isinstance(parameter.type, RecordType):
        parts = [(f"{{}}.{n}", t) for n, t in parameter.type.fields]
    else:
        parts = [("{}", parameter.type)]
    terms: list[str] = []
    for form, type_ in parts:
        a, b = form.format(f"slope_{name}"), form.format(f"along_{name}")
        terms.append(f"sum({a} * {b})" if type_.shape else f"{a} * {b}")
    return " + ".join(terms)


def derivatives(case: Case) -> str:
    """Functions `slope_1`, `slope_2`, … each the derivative of the one before."""
    entry, wrt = case.program.entry, case.wrt
    names = [p.name for p in wrt]

    def pattern(items: Sequence[str]) -> str:
        return items[0] if len(items) == 1 else f"({', '.join(items)})"

    own = [p.name for p in entry.parameters]
    along = [f"along_{name}" for name in names]
    extra = [f"along_{p.name}: {p.type}" for p in wrt]
    text = ""
    of, given = entry.name, own
    for order, mode in enumerate(case.modes, start=1):
        inputs = f"wrt = {pattern(names)}"
        if mode == "r":
            slopes = pattern([f"slope_{name}" for name in names])
            body = f"    let {slopes} = grad({of}, {inputs})({', '.join(given)})\n"
            body += "    " + " + ".join(dot(p) for p in wrt)
        else:
            call = f"jvp({of}, {inputs}, along = {pattern(along)})({', '.join(given)})"
            body = f"    let (_, slope) = {call}\n    slope"
        of, given = f"slope_{order}", own + along
        text += f"\n{entry.head(of, extra, 'f64')} {{\n{body}\n}}\n"
    return text


def joined(case: Case) -> str:
    """A function `joined` of the value and of the last derivative, to be compiled as one."""
    entry = case.program.entry
    own = [p.name for p in entry.parameters]
    along = [f"along_{p.name}" for p in case.wrt]
    extra = [f"along_{p.name}: {p.type}" for p in case.wrt]
    value, slope = f"{entry.name}({', '.join(own)})", f"slope_{len(case.modes)}"
    pair = f"({value}, {slope}({', '.join(own + along)}))"
    return f"\n{entry.head('joined', extra, '(f64, f64)')} {{\n    {pair}\n}}\n"


def source(case: Case) -> str:
    return case.program.text() + (derivatives(case) + joined(case) if case.is_loss else "")


# What is compared


def flat(value: Data) -> list[np.ndarray]:
    """The leading coefficients of every part of a meaning."""
    if isinstance(value, tuple):
        return [part for item in value for part in flat(item)]
    items = value.flat if isinstance(value, np.ndarray) else [value]
    numbers = [x.value if isinstance(x, Jet) else x for x in items]
    return [np.array(numbers, np.float64).reshape(np.shape(value))]


def parts(value: object) -> list[np.ndarray]:
    """Results of a call from Python."""
    if isinstance(value, tuple):
        return [part for item in value for part in parts(item)]
    return [np.asarray(value).astype(np.float64)]


def is_close(got: Sequence[np.ndarray], wanted: Sequence[np.ndarray], tolerance: float) -> bool:
    for a, b in zip(got, wanted, strict=True):
        finite = np.isfinite(b)
        if a.shape != b.shape or not np.array_equal(np.isfinite(a), finite):
            return False
        if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
            return False
        size = max(1.0, float(np.max(np.abs(b[finite]), initial=0.0)))
        if np.any(np.abs(a[finite] - b[finite]) > tolerance * size):
            return False
    return True


def brief(arrays: Sequence[np.ndarray]) -> str:
    return "; ".join(np.array2string(a, threshold=12, precision=10) for a in arrays)


@dataclass
class Checker:
    case: Case

    def __post_init__(self) -> None:
        self.tolerance = 3e-4 if self.case.has_f32 else 1e-8

    def run(self) -> Finding:
        """The first thing that is wrong, or that all is well."""
        case = self.case
        try:
            order = len(case.modes) if case.is_loss else 0
            meaning, trace = case.meaning(order)
        except TooLong:
            return Finding(Verdict.UNDECIDED, "too long")
        except OverflowError:
            return Finding(Verdict.UNDECIDED, "too large")
        try:
            program = dmc.loads(source(case))
        except dmc.CompilerBug as bug:
            return Finding(Verdict.FAULT, f"load: {bug_kind(bug)}", str(bug))
        except dmc.Error as refusal:
            code = code_of(refusal)
            return Finding(Verdict.REFUSED, f"load: {code}", str(refusal))
        except Exception as bug:  # noqa: BLE001  # whatever it is, it is a fault
            return Finding(Verdict.FAULT, f"load: {bug_kind(bug)}", str(bug))
        found = self.compare(program, case.program.entry.name, 0, flat(meaning), trace)
        if found is not None or not case.is_loss:
            return found or Finding(Verdict.AGREES, "value")
        coefficient = meaning.c[order] if order < len(meaning.c) else 0.0
        wanted = np.array(coefficient * math.factorial(order))
        found = self.compare(program, f"slope_{order}", order, [wanted], trace)
        return found or Finding(Verdict.AGREES, f"order {order}")

    def quick(self) -> Finding:
        """As `run`, but value and derivative are compiled as one; apart only where that fails."""
        case = self.case
        if not case.is_loss:
            return self.run()
        order = len(case.modes)
        try:
            meaning, _ = case.meaning(order)
            program = dmc.loads(source(case))
            arguments = [make(program, p, case.arguments) for p in case.program.entry.parameters]
            arguments += [make(program, p, case.directions) for p in case.wrt]
            compiled = program.joined.compile(*arguments)
            got = parts(compiled(*arguments))
            interpreted = self.interpret(compiled, order)
        except Exception:  # noqa: BLE001  # whatever it is, the long way finds it
            return self.run()
        coefficient = meaning.c[order] if order < len(meaning.c) else 0.0
        wanted = [*flat(meaning), np.array(coefficient * math.factorial(order))]
        if all(is_close(got, other or got, self.tolerance) for other in (wanted, interpreted)):
            return Finding(Verdict.AGREES, f"order {order}")
        return self.run()

    def compare(
        self, program: dmc.Module, name: str, level: int, wanted: list[np.ndarray], trace: Trace
    ) -> Finding | None:
        case = self.case
        where = f"order {level} ({case.modes[:level]})" if level else "value"
        arguments = [make(program, p, case.arguments) for p in case.program.entry.parameters]
        if level:
            arguments += [make(program, p, case.directions) for p in case.wrt]
        try:
            compiled = getattr(program, name).compile(*arguments)
            got = parts(compiled(*arguments))
        except dmc.CompilerBug as bug:
            return Finding(Verdict.FAULT, f"{where}: {bug_kind(bug)}", str(bug))
        except dmc.Error as refusal:
            code = code_of(refusal)
            return Finding(Verdict.REFUSED, f"{where}: {code}", str(refusal))
        except Exception as bug:  # noqa: BLE001  # whatever it is, it is a fault
            return Finding(Verdict.FAULT, f"{where}: {bug_kind(bug)}", repr(bug))
        interpreted = self.interpret(compiled, level)
        fragile = trace.fragile > 0
        if interpreted is not None and not is_close(got, interpreted, self.tolerance):
            told = f"native {brief(got)}\ninterpreter {brief(interpreted)}\noracle {brief(wanted)}"
            if not fragile and not self.is_ill_conditioned(level, got, interpreted):
                return Finding(Verdict.FAULT, f"{where}: native and interpreter differ", told)
            return Finding(Verdict.UNDECIDED, "rounding decides")
        if is_close(got, wanted, self.tolerance):
            return None
        if fragile:
            return Finding(Verdict.UNDECIDED, "rounding decides")
        if level and (trace.kinks or not all(np.isfinite(w).all() for w in wanted)):
            return Finding(Verdict.UNDECIDED, "no derivative")
        if self.is_ill_conditioned(level, got, wanted):
            return Finding(Verdict.UNDECIDED, "ill conditioned")
        if level > 1 and case.has_f32:
            # Higher derivatives cancel: what is wrong must be wrong in double precision, too.
            wide = Checker(widened(case)).run()
            if wide.verdict is not Verdict.FAULT:
                return Finding(Verdict.UNDECIDED, "single precision")
        told = f"native {brief(got)}\noracle {brief(wanted)}"
        return Finding(Verdict.FAULT, f"{where}: wrong", told)

    def interpret(self, compiled: dmc.Compiled, level: int) -> list[np.ndarray] | None:
        case = self.case
        leaves = [
            x for p in case.program.entry.parameters for x in flat_argument(case.arguments[p.name])
        ]
        if level:
            leaves += [x for p in case.wrt for x in flat_argument(case.directions[p.name])]
        try:
            module = compiled.compilation.expanded
        except dmc.Error:
            return None  # compiled for known integers instead
        with np.errstate(all="ignore"):
            made = Interpreter(module).call(compiled.compilation.entry, leaves)
        # Where indexes are checked, the fault stands behind the results.
        results = made[:-1] if compiled.compilation.returns_fault else made
        return [np.asarray(x).astype(np.float64) for x in results]

    def is_ill_conditioned(
        self, level: int, got: Sequence[np.ndarray], wanted: Sequence[np.ndarray]
    ) -> bool:
        """Whether changes of the arguments by rounding explain the difference."""
        jitter = 1e-6 if self.case.has_f32 else 1e-14
        meaning, _ = self.case.meaning(level)
        moved, _ = self.case.meaning(level, jitter=jitter)
        if level:
            a, b = (np.array([m.c[level] if len(m.c) > level else 0.0]) for m in (meaning, moved))
            changes = [float(np.abs(a - b)[0]) * math.factorial(level)]
        else:
            pairs = zip(flat(meaning), flat(moved), strict=True)
            changes = [float(np.max(np.abs(a - b), initial=0.0)) for a, b in pairs]
        for change, a, b in zip(changes, got, wanted, strict=True):
            if a.shape != b.shape:
                return False
            difference = float(np.max(np.abs(a - b), initial=0.0))
            if not difference <= 100 * change:
                return False
        return True


def code_of(refusal: dmc.Error) -> str:
    assert isinstance(refusal, Error)
    return refusal.diagnostics[0].code


def bug_kind(bug: Exception) -> str:
    """The class of an exception, and the pass it comes from."""
    where = getattr(bug, "pass_name", None)
    first = (str(bug).splitlines() or [""])[0][:60]
    return f"{type(bug).__name__} {where or ''} {first}".strip()


def make(program: dmc.Module, parameter: Parameter, values: Arrays) -> object:
    """The argument for a parameter as Python callers give it."""
    value = values[parameter.name]
    if isinstance(parameter.type, RecordType):
        assert not isinstance(value, np.ndarray)
        return getattr(program, parameter.type.name)(**{n: as_given(v) for n, v in value.items()})
    assert isinstance(value, np.ndarray)
    return as_given(value)


def flat_argument(value: np.ndarray | Mapping[str, np.ndarray]) -> list[np.ndarray]:
    return [value] if isinstance(value, np.ndarray) else list(value.values())


def as_given(value: np.ndarray) -> object:
    return value if value.shape else value[()]


__all__ = ["Checker", "Finding", "Type", "Verdict"]
