"""Targets: the host, names, the environment."""

from pathlib import Path

import pytest

from dmc.diagnostics.errors import UnsupportedError
from dmc.ir.types import DType
from dmc.jit import target
from dmc.jit.engine import Engine
from dmc.jit.processors import available

VECTOR_ADD = """
define <8 x float> @add(<8 x float> %a, <8 x float> %b) {
  %sum = fadd <8 x float> %a, %b
  ret <8 x float> %sum
}
"""


def test_the_host_can_run_its_own_code() -> None:
    host = target.host()
    assert host.is_host
    assert host is target.named("native")
    assert host.machine.vector_bytes >= 16
    assert host.lanes(DType.F32) == host.machine.vector_bytes // 4
    assert host.lanes(DType.F64) == host.machine.vector_bytes // 8


@pytest.mark.parametrize(
    ("name", "bits", "registers", "fma", "instruction"),
    [
        ("x86-64-v2", 128, 16, False, "addps"),
        ("x86-64-v3", 256, 16, True, "vaddps"),
        ("x86-64-v4", 512, 32, True, "vaddps"),
        ("aarch64", 128, 32, True, "fadd"),
    ],
)
def test_named_targets(name: str, bits: int, registers: int, fma: bool, instruction: str) -> None:
    found = target.named(name)
    machine = found.machine
    figures = (8 * machine.vector_bytes, machine.vector_registers, machine.has_fma)
    assert figures == (bits, registers, fma)
    assert instruction in Engine(found).assembly(VECTOR_ADD)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnsupportedError, match="x86-64-v3") as caught:
        target.named("pdp11")
    assert caught.value.diagnostics[0].code == "feature.target"


def test_the_environment_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(target.ENVIRONMENT_VARIABLE, "x86-64-v3")
    assert target.default() == target.named("x86-64-v3")
    monkeypatch.setenv(target.ENVIRONMENT_VARIABLE, "")
    assert target.default() is target.host()


def test_generators_wait_for_no_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are made by threads that a thread in LLVM waits for."""

    def wait() -> target.Target:
        raise AssertionError("a thread waits for a lock")

    monkeypatch.setattr(target, "host", wait)
    with target.named("x86-64-v3").machine_code_generator() as made:
        assert made.triple


def test_keys_tell_targets_apart() -> None:
    assert len({target.named(name).key() for name in target.NAMES}) >= len(target.NAMES) - 1


def test_a_control_group_limits_the_processors(tmp_path: Path) -> None:
    unlimited = available(tmp_path)
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert available(tmp_path) == unlimited
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert available(tmp_path) == 1


def test_a_control_group_of_version_1_limits_the_processors(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("20000")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000")
    assert available(tmp_path) == 1
