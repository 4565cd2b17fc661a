"""rematerialize: random programs under budgets, and how far from the least time it is."""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import comb

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp

import dmc
from dmc.api.compiled import Compiled
from dmc.dialects import func, kernel, math
from dmc.ir import USUAL, Array, Interpreter, Operation, Trait, Value, bytes_of
from dmc.ir.verifier import verify
from dmc.transforms.generics import is_tensor
from dmc.transforms.memory import replay
from dmc.transforms.memory.copies import viewed
from dmc.transforms.predict import Clock
from dmc.transforms.remat import online

ROWS, WIDTH, LAYERS = 8, 8, 6


class Drawn:
    """A random program: layers that read earlier values, in loops and outside."""

    def __init__(self, seed: int, unbounded: bool) -> None:
        self.random = random.Random(seed)
        self.unbounded = unbounded
        self.count = 0

    def source(self) -> str:
        lines = [f"fn f(w: f64[{LAYERS}, {WIDTH}, {WIDTH}], x: f64[{ROWS}, {WIDTH}]) -> f64 {{"]
        names = ["x"]
        for part in range(2):
            lines += self.straight(names, "    ", "w[0]")
            lines.append(f"    var h{part} = {self.random.choice(names)}")
            if self.unbounded:
                lines += [
                    f"    var n{part} = 0",
                    f"    while n{part} < {LAYERS} and x[0, 0] < 9.0 {{",
                ]
                lines.append(f"        let i = n{part}")
            else:
                lines.append(f"    for i in 0..{LAYERS} {{")
            inner = [*names[-2:], f"h{part}"]
            lines += self.straight(inner, "        ", "w[i]")
            lines.append(f"        h{part} = {inner[-1]} + 0.5 * h{part}")
            lines += [f"        n{part} = n{part} + 1"] * self.unbounded
            lines.append("    }")
            names.append(f"h{part}")
        lines += self.straight(names, "    ", f"w[{LAYERS - 1}]")
        lines.append(f"    mean({names[-1]} * {names[-1]} + {self.random.choice(names)})")
        return "\n".join([*lines, "}", ""])

    def straight(self, names: list[str], indent: str, weight: str) -> list[str]:
        lines: list[str] = []
        for _ in range(self.random.randint(1, 4)):
            a, b = self.random.choice(names), self.random.choice(names[-3:])
            value = self.random.choice(
                [
                    f"tanh({b} @ {weight})",
                    f"softmax[-1]({b}) * {a}",
                    f"sigmoid({b}) * ({a} @ {weight})",
                    f"where({a} > {b}, sin({a}), exp(-{b} * {b}))",
                ]
            )
            self.count += 1
            lines.append(f"{indent}let v{self.count} = {value}")
            names.append(f"v{self.count}")
        return lines


def planned(compiled: Compiled) -> func.Func:
    kernels = compiled.compilation.kernels
    return func.lookup(kernels, compiled.compilation.entry)


def outcome(compiled: Compiled, arguments: list[Array]) -> list[bytes]:
    kernels = compiled.compilation.kernels
    found = Interpreter(kernels).call(compiled.compilation.entry, arguments)
    return [array.tobytes() for array in found]


@pytest.mark.parametrize(("seed", "unbounded"), [(0, False), (1, False), (7, True)])
def test_random_programs_under_budgets(seed: int, unbounded: bool) -> None:
    program = dmc.loads(Drawn(seed, unbounded).source())
    numbers = np.random.default_rng(seed)
    shapes = (LAYERS, WIDTH, WIDTH), (ROWS, WIDTH)
    arguments: list[Array] = [numbers.normal(size=shape) for shape in shapes]
    whole = dmc.value_and_grad(program.f).specialize()
    most = planned(whole).attributes["arena_bytes"]
    assert isinstance(most, int)
    expected = outcome(whole, arguments)
    with pytest.raises(dmc.OutOfMemory) as caught:
        _ = dmc.value_and_grad(program.f, budget=1).specialize().compilation.kernels
    least = int(caught.value.diagnostics[0].title.split()[-2])
    assert least < most or unbounded  # of which tapes are no part
    for budget in (least, 3 * least if unbounded else (least + most) // 2):
        held = dmc.value_and_grad(program.f, budget=budget).specialize()
        function = planned(held)
        verify(held.compilation.kernels)
        arena = function.attributes["arena_bytes"]
        assert isinstance(arena, int)
        assert arena <= budget
        replay(function, arena)
        assert outcome(held, arguments) == expected


# ---- how far it is from the least time -----------------------------------------------------------

CHAIN = """
fn chain(a: f64[16, 16], b: f64[16, 16], c: f64[16, 16], x: f64[64, 16]) -> f64 {
    let first = tanh(x @ a)
    let second = tanh(first @ b)
    let third = tanh(second @ c)
    mean(tanh(third @ a) ** 2)
}
fn wide(a: f64[16, 16], b: f64[16, 64], c: f64[64, 16], x: f64[64, 16]) -> f64 {
    let first = tanh(x @ a)
    let second = sigmoid(first @ b)
    let third = softmax[-1](second @ c) * first
    mean((third @ a) ** 2)
}
"""


def steps(function: func.Func) -> list[Operation]:
    """The kernels of a straight program that make something in the arena or return something."""
    return [
        op
        for op in function.body
        if not op.has(Trait.TERMINATOR)
        and not op.has(Trait.CONSTANT)
        and not isinstance(op, kernel.View | kernel.Copy)
        and any(map(is_tensor, (*op.results, *op.reads())))
    ]


def sizes(function: func.Func, op: Operation) -> int:
    """What `op` puts into the arena."""
    returned = {viewed(value) for value in function.body.terminator.operands}
    return sum(bytes_of(v) for v in op.results if is_tensor(v) and v not in returned)


def highest(function: func.Func) -> int:
    """The most that is live at a step."""
    ops = steps(function)
    last: dict[Operation, int] = {}
    for number, op in enumerate(ops):
        last[op] = number
        for made in sources(op):
            last[made] = number
    live = [
        sum(sizes(function, o) for j, o in enumerate(ops[: i + 1]) if last[o] >= i)
        for i in range(len(ops))
    ]
    return max(live)


def sources(op: Operation) -> list[Operation]:
    """The operations whose results `op` reads."""
    roots: list[Value] = [viewed(value) for value in op.reads() if is_tensor(value)]
    made = [root.defining_op for root in roots]
    return [each for each in dict.fromkeys(made) if each is not None and each.parent is op.parent]


def least_time(function: func.Func, most: int) -> float:
    """The least time in which the program runs within `most` bytes, by integer programming.

    (Jain et al., "Checkmate", 2020: in stage t operation t runs for the first time; R says what
    runs again in a stage, S what is in memory when it begins, F what is freed behind a step.)
    """
    ops = steps(function)
    n = len(ops)
    number = {op: i for i, op in enumerate(ops)}
    reads = [[number[o] for o in sources(op) if o in number] for op in ops]
    users = [[j for j in range(n) if i in reads[j]] for i in range(n)]
    cost = list(map(Clock(USUAL).of, ops))
    size = [sizes(function, op) / 1024 for op in ops]
    names: dict[tuple[object, ...], int] = {}

    def var(*key: object) -> int:
        return names.setdefault(key, len(names))

    rows: list[tuple[dict[int, float], float, float]] = []
    for t in range(n):
        rows.append(({var("R", t, t): 1.0}, 1.0, 1.0))
        for i in range(t):
            first = {var("S", t, i): 1.0}
            if t:
                first |= {var("R", t - 1, i): -1.0, var("S", t - 1, i): -1.0}
            rows.append((first, -np.inf, 0.0))
        for j in range(t + 1):
            for i in reads[j]:
                need = {var("R", t, j): 1.0, var("R", t, i): -1.0}
                rows.append((need | {var("S", t, i): -1.0}, -np.inf, 0.0))
        used: dict[int, float] = {var("S", t, i): size[i] for i in range(t)}
        for k in range(t + 1):
            used[var("R", t, k)] = used.get(var("R", t, k), 0.0) + size[k]
            rows.append((dict(used), -np.inf, most / 1024))
            for i in [*reads[k], k]:
                # Freed behind step k: it runs, and nothing needs the value later.
                freed = var("F", t, i, k)
                later = [var("R", t, j) for j in users[i] if k < j <= t]
                if t + 1 < n and i <= t:
                    later.append(var("S", t + 1, i))
                rows.append(({freed: 1.0, var("R", t, k): -1.0}, -np.inf, 0.0))
                rows += [({freed: 1.0, each: 1.0}, -np.inf, 1.0) for each in later]
                used[freed] = -size[i]
    weights = np.zeros(len(names))
    for key, index in names.items():
        if key[0] == "R":
            assert isinstance(key[2], int)
            weights[index] = cost[key[2]]
    matrix = np.zeros((len(rows), len(names)))
    for r, (row, _, _) in enumerate(rows):
        for index, value in row.items():
            matrix[r, index] = value
    limits = np.array([row[1:] for row in rows]).T
    bounds = LinearConstraint(matrix, *limits)
    answer = milp(
        weights / 1e6,
        constraints=bounds,
        bounds=Bounds(0, 1),
        integrality=np.ones(len(names)),
        options={"time_limit": 60.0},
    )
    assert answer.x is not None
    return float(answer.fun) * 1e6


GAPS = {"chain": (24_640, {24_640: 1.1, 32_800: 1.1}), "wide": (67_136, {75_328: 1.1, 83_744: 1.1})}
"""The smallest budget of each, and how much of the least time each of some budgets takes."""


@pytest.mark.parametrize("name", GAPS)
def test_gap_to_the_least_time(name: str) -> None:
    """At most a tenth more time than the optimum takes in the same memory, half at the smallest."""
    f, (smallest, gaps) = getattr(dmc.loads(CHAIN), name), GAPS[name]
    free = planned(dmc.value_and_grad(f).specialize())
    with pytest.raises(dmc.OutOfMemory, match=f"needs {smallest} bytes"):
        _ = dmc.value_and_grad(f, budget=1).specialize().compilation.kernels
    for budget, gap in ({smallest: 1.5} | gaps).items():
        held = planned(dmc.value_and_grad(f, budget=budget).specialize())
        taken = sum(map(Clock(USUAL).of, steps(held)))
        best = least_time(free, highest(held))
        assert best <= taken * (1 + 1e-9)
        assert taken <= gap * best


def test_no_step_runs_more_often_than_it_must(monkeypatch: pytest.MonkeyPatch) -> None:
    """With c slots and a count of C(c - 1 + t, t), t times, and once to go back."""
    monkeypatch.setattr(online, "PLANS", (online.Plan(4, 1),))
    text = "fn f(x: f64, n: i64) -> f64 {\n var y = x\n for t in 0..n { y = sin(y) + x }\n y\n}\n"
    held = dmc.value_and_grad(dmc.loads(text).f, budget=4096).specialize()
    ran: list[Operation] = []
    evaluate = math.Sin.evaluate

    def count(op: math.Sin, given: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        ran.append(op)
        return evaluate(op, given, interpreter)

    monkeypatch.setattr(math.Sin, "evaluate", count)
    for t in (2, 4):
        ran.clear()
        steps = comb(3 + t, t)
        outcome(held, [np.asarray(0.3), np.asarray(steps)])
        assert steps < len(ran) <= t * steps
