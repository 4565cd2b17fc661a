"""Textual LLVM IR to machine code in this process.

Each module has a context and a target machine of its own, so that modules compile in parallel. The
objects are then linked together and loaded by LLVM's ORC JIT. No module passes run unless asked
for: lowering emits loops and vectors as it wants them, and on a 512³ contraction the passes took
ten times as long as code generation and made slower code.
"""

from __future__ import annotations

import ctypes
import itertools
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, TypeVar

import llvmlite
import llvmlite.binding as llvm

from dmc.diagnostics.diagnostic import Diagnostic
from dmc.diagnostics.errors import CompilerBug, error
from dmc.jit.cache import ObjectCache, default_directory, digest
from dmc.jit.processors import available
from dmc.jit.target import ENVIRONMENT_VARIABLE, Target, default
from dmc.process import native
from dmc.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

CODE_GENERATION_LEVEL = 2
PARTS = 2
"""More make more work: each has its own copies of the elementary functions that it calls."""
LOADS = 64
"""Programs that one LLVM JIT loads. What it knows of each, 9 kB, it forgets only when it goes."""
T = TypeVar("T")


class CodegenError(CompilerBug):
    """LLVM refused a module or could not link it."""


@dataclass
class Code:
    """Loaded machine code: addresses by name, valid while this object lives."""

    addresses: dict[str, int]
    objects: tuple[bytes, ...]
    _keep: tuple[object, ...] = field(repr=False)

    def __getitem__(self, name: str) -> int:
        return self.addresses[name]

    def __post_init__(self) -> None:
        # Freeing code goes through LLVM, wherever the last user of it happens to let go; when the
        # interpreter ends, it stays.
        keep, self._keep = list(self._keep), ()
        weakref.finalize(self, _release, keep).atexit = False

    @property
    def size(self) -> int:
        """Bytes of object code."""
        return sum(map(len, self.objects))


def _release(keep: list[object]) -> None:
    with native:
        keep.clear()


@dataclass
class Engine:
    """Compiles for one target.

    `level` is LLVM's code generation level, 0 to 3; `passes` the level of its module passes, none
    by default. `cache` is None for no cache on disk. Programs are divided into `parts` modules at
    most, which are compiled at the same time. Safe to use from several threads.
    """

    target: Target
    cache: ObjectCache | None = None
    level: int = CODE_GENERATION_LEVEL
    passes: int = 0
    parts: int = PARTS
    _jit: llvm.LLJIT | None = field(default=None, init=False, repr=False)
    _names: itertools.count[int] = field(default_factory=itertools.count, init=False, repr=False)

    def load(
        self,
        modules: Sequence[str],
        exports: Sequence[str],
        symbols: Mapping[str, int] | None = None,
    ) -> Code:
        """Compile `modules`, link them with each other, and find the addresses of `exports`.

        Functions that no module defines are taken from `symbols`, then from this process. Raises
        CodegenError when a module does not parse or verify, or a symbol is missing;
        `UnsupportedError` (`feature.target`) when this processor cannot run the target's code.
        """
        self._require_host()
        return self.link(self.compile_all(modules), exports, symbols)

    def link(
        self,
        objects: Sequence[bytes],
        exports: Sequence[str],
        symbols: Mapping[str, int] | None = None,
    ) -> Code:
        """As `load`, from object code."""
        self._require_host()
        with native:
            library = llvm.JITLibraryBuilder()
            for content in objects:
                library.add_object_img(content)
            library.add_current_process()
            for name, address in (symbols or {}).items():
                library.import_symbol(name, address)
            for name in exports:
                library.export_symbol(name)
            number = next(self._names)
            if self._jit is None or number % LOADS == 0:
                with self.target.machine_code_generator(self.level) as machine:
                    self._jit = llvm.create_lljit_compiler(machine, use_jit_link=True)
            try:
                tracker = library.link(self._jit, f"dmc{number}")
            except RuntimeError as failure:
                raise CodegenError(str(failure)) from failure
            addresses = {name: tracker[name] for name in exports}
            return Code(addresses, tuple(objects), (self._jit, tracker))

    def _require_host(self) -> None:
        if not self.target.is_host:
            raise error(
                Diagnostic(
                    "feature.target",
                    f"code for `{self.target.cpu}` ({self.target.architecture}) cannot run here",
                    help=(f"print it as assembly, or unset {ENVIRONMENT_VARIABLE}",),
                )
            )

    def compile_all(self, modules: Sequence[str]) -> list[bytes]:
        """Object code of each module, in parallel where that helps."""
        workers = min(available(), len(modules))
        with native:
            if workers <= 1:
                return [self._compile(text) for text in modules]
            with ThreadPoolExecutor(workers, thread_name_prefix="dmc-compile") as pool:
                return list(pool.map(self._compile, modules))

    def compile(self, text: str) -> bytes:
        """Object code of one module, from the cache if it is there."""
        return self.compile_all([text])[0]

    def _compile(self, text: str) -> bytes:
        """Whoever waits for this has `native`."""
        if self.cache is None:
            return self._generate(text, _emit_object)
        name = self.name_of(text)
        stored = self.cache.get(name)
        if stored is None:
            stored = self._generate(text, _emit_object)
            self.cache.put(name, stored)
        return stored

    def key(self) -> str:
        """All of this engine that the code it makes depends on, as text."""
        return f"{_versions()} {self.target.key()} {self.level} {self.passes}"

    def name_of(self, text: str) -> str:
        """What the cache calls the object code of one module."""
        return digest(self.key(), text)

    def stored(self, names: Sequence[str]) -> list[bytes] | None:
        """The object code that the cache has under these names; None unless it has all."""
        if self.cache is None:
            return None
        found = [self.cache.get(name) for name in names]
        objects = [content for content in found if content is not None]
        return objects if len(objects) == len(names) else None

    def assembly(self, text: str) -> str:
        """What one module compiles to, as assembly; any target that LLVM knows."""
        with native:
            return self._generate(text, lambda machine, module: machine.emit_assembly(module))

    def _generate(self, text: str, emit: Callable[[llvm.TargetMachine, llvm.ModuleRef], T]) -> T:
        try:
            # Closed here, not by their finalisers: Ctrl-C during one of those is lost.
            with (
                self.target.machine_code_generator(self.level) as machine,
                llvm.create_context() as context,
                llvm.parse_assembly(text, context) as module,
            ):
                module.verify()
                if self.passes:
                    options = llvm.create_pipeline_tuning_options(self.passes)
                    builder = llvm.create_pass_builder(machine, options)
                    builder.getModulePassManager().run(module, builder)
                return emit(machine, module)
        except RuntimeError as failure:
            raise CodegenError(str(failure)) from failure


def _emit_object(machine: llvm.TargetMachine, module: llvm.ModuleRef) -> bytes:
    """`machine.emit_object(module)` without llvmlite's lock.

    llvmlite holds one lock around every call into LLVM, so that threads would compile one after
    another. LLVM itself only asks that a context and a target machine are used by one thread.
    """
    library = _library()
    failure = ctypes.c_char_p()
    buffer = library.LLVMPY_TargetMachineEmitToMemory(machine, module, 1, ctypes.byref(failure))
    if not buffer:
        raise RuntimeError((failure.value or b"no object code").decode())
    try:
        start = library.LLVMPY_GetBufferStart(buffer)
        return ctypes.string_at(start, library.LLVMPY_GetBufferSize(buffer))
    finally:
        library.LLVMPY_DisposeMemoryBuffer(buffer)


@cache
def _library() -> ctypes.CDLL:
    """llvmlite's shared library, its functions called directly."""
    library = ctypes.CDLL(llvm.ffi.lib._name)
    pointer = ctypes.c_void_p
    library.LLVMPY_TargetMachineEmitToMemory.argtypes = [
        pointer,
        pointer,
        ctypes.c_int,
        ctypes.POINTER(ctypes.c_char_p),
    ]
    library.LLVMPY_TargetMachineEmitToMemory.restype = pointer
    library.LLVMPY_GetBufferStart.argtypes = [pointer]
    library.LLVMPY_GetBufferStart.restype = pointer
    library.LLVMPY_GetBufferSize.argtypes = [pointer]
    library.LLVMPY_GetBufferSize.restype = ctypes.c_size_t
    library.LLVMPY_DisposeMemoryBuffer.argtypes = [pointer]
    library.LLVMPY_DisposeMemoryBuffer.restype = None
    return library


@cache
def _versions() -> str:
    numbers = ".".join(map(str, llvm.llvm_version_info))
    return f"dmc {VERSION} llvmlite {llvmlite.__version__} llvm {numbers}"


@cache
def _engine(target: Target, directory: Path | None) -> Engine:
    return Engine(target, ObjectCache(directory) if directory else None)


def engine_for(target: Target) -> Engine:
    """The engine of this process for `target`, with the cache that the environment names."""
    with native:
        return _engine(target, default_directory())


def default_engine() -> Engine:
    """The engine for the target that the environment names."""
    return engine_for(default())
