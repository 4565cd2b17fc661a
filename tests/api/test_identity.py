"""Programs, functions and sources are told apart by what they are, not by their names."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import dmc

APPLY = "fn apply(f: (f64) -> f64, x: f64) -> f64 = f(x)\n"


def test_a_function_of_another_program_is_the_one_that_runs() -> None:
    first = dmc.loads(APPLY + "fn g(x: f64) -> f64 = 2.0 * x\n")
    second = dmc.loads("fn g(x: f64) -> f64 = 10.0 * x\n")
    assert first.apply(first.g, 1.0) == 2.0
    assert first.apply(second.g, 1.0) == 10.0
    assert first.apply(first.g, 1.0) == 2.0
    assert dmc.grad(first.apply, "x")(second.g, 1.0) == 10.0


def test_what_a_function_of_another_program_calls_is_its_own() -> None:
    first = dmc.loads(APPLY + "fn inner(x: f64) -> f64 = 2.0 * x\n")
    second = dmc.loads("fn inner(x: f64) -> f64 = 10.0 * x\nfn g(x: f64) -> f64 = inner(x) + 1.0\n")
    assert first.apply(second.g, 1.0) == 11.0


def test_records_of_one_name_in_one_program(tmp_path: object) -> None:
    folder = str(tmp_path)
    with open(f"{folder}/a.dm", "w") as file:
        file.write("struct S { v: f64 }\nfn weight(s: S) -> f64 = 2.0 * s.v\n")
    with open(f"{folder}/b.dm", "w") as file:
        file.write("struct S { u: f64; v: f64 }\nfn weight(s: S) -> f64 = 3.0 * s.v\n")
    program = dmc.loads(
        "import a\nimport b\n"
        "fn same[M: record](m: M) -> M = 2.0 * m\n"
        "fn both(p: a.S, q: b.S) -> f64 = a.weight(same(p)) + b.weight(same(q))\n",
        folder=folder,
    )
    assert program.both(program.a.S(v=1.0), program.b.S(u=5.0, v=1.0)) == 10.0


def test_an_error_quotes_the_program_it_is_about() -> None:
    text = "fn f[N](x: f64[N], i: i64) -> f64 = {}x[i]\n"
    first, second = dmc.loads(text.format("1.0 * ")), dmc.loads(text.format("# \n  "))
    for program, column in ((first, 43), (second, 3)):
        with pytest.raises(dmc.IndexError) as caught:
            program.f(np.ones(3), 7)
        label = caught.value.diagnostics[0].primary
        assert label is not None
        assert label.span.start_column == column
        assert label.span.file.quote(label.span) == "x[i]"
    refused = "fn f(x: f64[999]) -> f64 {\n    let y = sin(x)\n    sum(exp(sum(y) * y))\n}\n"
    third = dmc.loads(refused)
    dmc.loads("# another program of the same name\n" * 5 + "fn f(x: f64) -> f64 = x\n")
    with pytest.raises(dmc.OutOfMemory) as stopped:
        dmc.grad(third.f, budget=64)(np.ones(999))
    assert "let y = sin(x)" in str(stopped.value)
    assert "another program" not in str(stopped.value)


def test_two_programs_of_one_name_at_once() -> None:
    text = "struct S {{ a: f64[3] }}\nfn g(s: S) -> S = {} * s\nfn f(s: S) -> f64 = sum(g(s).a)\n"
    programs = [dmc.loads(text.format(scale)) for scale in ("1.0", "2.0", "3.0")]
    records = [program.S(a=np.ones(3)) for program in programs]
    for scale, (program, record) in enumerate(zip(programs, records, strict=True), 1):
        assert program.f(record) == 3.0 * scale
        assert dmc.grad(program.f)(record).a.tolist() == [scale] * 3
    with pytest.raises(dmc.CallError, match="of another program"):
        programs[0].f(records[1])


def test_copies_of_programs_and_functions_are_the_same() -> None:
    program = dmc.loads("fn f(x: f64) -> f64 = x\n")
    for value in (program, program.f, dmc.grad(program.f)):
        assert copy.copy(value) is value
        assert copy.deepcopy(value) is value
