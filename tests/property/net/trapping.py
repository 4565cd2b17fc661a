"""What must become of programs with indexes that may be outside of their axis.

A call ends with `dmc.IndexError` where an element outside of an array is used: never where a
condition keeps from it, and always where the result depends on what is read or written there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

import dmc
from dmc.ir import Interpreter
from tests.property.net.cases import Case
from tests.property.net.check import (
    Checker,
    Finding,
    Verdict,
    bug_kind,
    code_of,
    flat,
    flat_argument,
    is_close,
    make,
    source,
)
from tests.property.net.syntax import Empty, TooLong, Trace

_TOLD = re.compile(r"(?:index|is|holds) (-?\d+),? (?:which )?is outside 0\.\.(\d+)")


@dataclass
class TrapChecker:
    """Holds a case of the wild series against its meaning and the interpreter."""

    case: Case

    def run(self) -> Finding:
        case = self.case
        order = len(case.modes) if case.is_loss else 0
        try:
            outside, needed = self.outside(order)
        except TooLong:
            return Finding(Verdict.UNDECIDED, "too long")
        except OverflowError:
            return Finding(Verdict.UNDECIDED, "too large")
        if not outside:
            return Checker(case).quick()
        name = "joined" if order else case.program.entry.name
        try:
            program = dmc.loads(source(case))
        except dmc.Error as refusal:
            return Finding(Verdict.REFUSED, f"load: {code_of(refusal)}", str(refusal))
        try:
            arguments = [make(program, p, case.arguments) for p in case.program.entry.parameters]
            arguments += [make(program, p, case.directions) for p in case.wrt if order]
            compiled = getattr(program, name).compile(*arguments)
        except dmc.CompilerBug as bug:
            return Finding(Verdict.FAULT, bug_kind(bug), str(bug))
        except dmc.Error as refusal:
            return Finding(Verdict.REFUSED, code_of(refusal), str(refusal))
        try:
            compiled(*arguments)
        except dmc.IndexError as refusal:
            return self.trapped(str(refusal), outside, compiled, order)
        except Exception as bug:  # noqa: BLE001  # whatever it is, it is a fault
            return Finding(Verdict.FAULT, bug_kind(bug), repr(bug))
        if needed:
            return Finding(Verdict.FAULT, "an index outside is not told", f"{outside}")
        return Finding(Verdict.AGREES, "nothing outside is needed")

    def outside(self, order: int) -> tuple[list[tuple[int, int]], bool]:
        """The indexes that are outside, with the sizes; and whether the result depends on them."""
        plain, spoiled = Trace(), Trace(spoils=True)
        try:
            meaning, _ = self.case.meaning(order, trace=plain)
            other = self.case.meaning(order, trace=spoiled)[0] if plain.outside else meaning
        except Empty:
            return plain.outside, False
        return plain.outside, not is_close(flat(meaning), flat(other), 1e-9)

    def trapped(
        self, message: str, outside: list[tuple[int, int]], compiled: dmc.Compiled, order: int
    ) -> Finding:
        told = _TOLD.search(message)
        if told is None:
            return Finding(Verdict.FAULT, "an error without its index", message)
        # A meaning goes on with the nearest element, and so does native code, but for `while`.
        if (int(told[1]), int(told[2])) not in outside:
            return Finding(Verdict.FAULT, "another index is told", f"{message}\n{outside}")
        if not compiled.compilation.returns_fault:
            return Finding(Verdict.AGREES, "an argument is outside")
        case = self.case
        given = [(case.arguments, p) for p in case.program.entry.parameters]
        given += [(case.directions, p) for p in case.wrt if order]
        leaves = [x for values, p in given for x in flat_argument(values[p.name])]
        compilation = compiled.compilation
        got = [*compilation.executable(*leaves)][-1]
        with np.errstate(all="ignore"):
            wanted = Interpreter(compilation.expanded).call(compilation.entry, leaves)[-1]
        if got != wanted:
            return Finding(
                Verdict.FAULT, "native and interpreter trap otherwise", f"{got} {wanted}"
            )
        return Finding(Verdict.AGREES, "trapped")


def checked(case: Case) -> Finding:
    """What becomes of a case of any series; value and derivative are compiled as one."""
    return TrapChecker(case).run() if case.may_trap else Checker(case).quick()
