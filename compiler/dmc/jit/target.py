"""The processor that code is generated for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import llvmlite.binding as llvm

from dmc.diagnostics.diagnostic import Diagnostic
from dmc.diagnostics.errors import error
from dmc.lowering.machine import Machine
from dmc.process import lazy, once

if TYPE_CHECKING:
    from dmc.ir.types import DType

ENVIRONMENT_VARIABLE = "DMC_TARGET_CPU"


@dataclass(frozen=True)
class Target:
    """A processor, as LLVM names it, and what schedules ask about it.

    `features` are the LLVM features present, `attributes` the string that LLVM is given, in which
    features can also be switched off.
    """

    triple: str
    cpu: str
    attributes: str
    features: frozenset[str]

    @property
    def architecture(self) -> str:
        return self.triple.partition("-")[0]

    @property
    def is_x86(self) -> bool:
        return self.architecture == "x86_64"

    @lazy
    def machine(self) -> Machine:
        """The figures that schedules may depend on: of the feature set, not of the model.

        So two processors with the same features compute bitwise equal results, whatever the size
        of their caches.
        """
        return Machine.of(self.architecture, self.features)

    def lanes(self, dtype: DType) -> int:
        """Elements of `dtype` in one vector register."""
        return self.machine.lanes(dtype)

    @property
    def is_host(self) -> bool:
        """Whether this process can run code for it."""
        own = host()
        return self.architecture == own.architecture and self.features <= own.features

    def machine_code_generator(self, level: int = 2, *, pic: bool = True) -> llvm.TargetMachine:
        """A new LLVM target machine; each belongs to one thread at a time."""
        # Not `host`, which waits for the lock that whoever waits for this thread may hold.
        own = llvm.get_process_triple().partition("-")[0]
        _initialize(self.architecture != own)
        return llvm.Target.from_triple(self.triple).create_target_machine(
            cpu=self.cpu,
            features=self.attributes,
            opt=level,
            reloc="pic" if pic else "static",
            codemodel="small",
            jit=True,
        )

    def key(self) -> str:
        """All that generated code depends on, as text."""
        return f"{self.triple} {self.cpu} {self.attributes}"


@cache
def _initialize(every: bool) -> None:
    if every:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
    else:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()


@once
def host() -> Target:
    """The processor that this process runs on."""
    _initialize(every=False)
    found = llvm.get_host_cpu_features()
    return Target(
        triple=llvm.get_process_triple(),
        cpu=llvm.get_host_cpu_name(),
        attributes=found.flatten(),
        features=frozenset(name for name, present in found.items() if present),
    )


_V2 = frozenset({"cx16", "popcnt", "sse3", "ssse3", "sse4.1", "sse4.2"})
_V3 = _V2 | {"avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe"}
_V4 = _V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
_X86 = {
    "x86-64-v2": _V2,
    "x86-64-v3": _V3,
    "x86-64-v4": _V4,
}
NAMES = ("native", "generic", *_X86, "aarch64")
"""What `named` and the environment variable accept."""


def named(name: str) -> Target:
    """The target called `name`: the host, a level of the x86-64 psABI, or AArch64 with NEON.

    `generic` is the oldest processor of the host's architecture. Raises `UnsupportedError`
    (`feature.target`) for another name.
    """
    if name == "native":
        return host()
    if name in _X86:
        features = _X86[name]
        attributes = ",".join(f"+{feature}" for feature in sorted(features))
        return Target("x86_64-unknown-linux-gnu", name, attributes, features)
    if name == "generic" and host().is_x86:
        return Target(host().triple, "x86-64", "", frozenset())
    if name in ("aarch64", "generic"):
        return Target("aarch64-unknown-linux-gnu", "generic", "+neon", frozenset({"neon"}))
    raise error(
        Diagnostic(
            "feature.target",
            f"there is no target called `{name}`",
            help=(f"use one of {', '.join(NAMES)}",),
        )
    )


def default() -> Target:
    """The target named by the environment variable `DMC_TARGET_CPU`, else the host."""
    return named(os.environ.get(ENVIRONMENT_VARIABLE) or "native")
