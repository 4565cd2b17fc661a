"""How far an integer can go, and what finding it costs."""

from __future__ import annotations

import pytest

import dmc
from dmc.dialects import func
from dmc.dialects.value_ranges import Ranges
from dmc.ir import Value


def found(count: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """How often a range is looked for, of values that one loop carries, each made of the next."""
    names = [f"v{i}" for i in range(count)]
    first = "\n".join(f"    var {name} = n % 5" for name in names)
    pairs = zip(names, [*names[1:], names[0]], strict=True)
    steps = "\n".join(f"        {a} = {b} - {a} // 2" for a, b in pairs)
    text = f"fn f(n: i64) -> i64 {{\n{first}\n    for i in 0..4 {{\n{steps}\n    }}\n    v0\n}}"
    module = dmc.loads(text).f.compile().compilation.tensor
    looked = 0
    find = Ranges._find

    def counted(self: Ranges, value: Value) -> object:
        nonlocal looked
        looked += 1
        return find(self, value)

    with monkeypatch.context() as patch:
        patch.setattr(Ranges, "_find", counted)
        for op in module.walk():
            if isinstance(op, func.Return):
                Ranges().range(op.operands[0])
    return looked


def test_ranges_of_values_that_need_each_other_cost_their_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert found(16, monkeypatch) < 3 * found(8, monkeypatch)
