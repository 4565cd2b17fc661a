"""Calling native programs with NumPy arrays."""

from __future__ import annotations

import atexit
import ctypes
import os
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from dmc.ir.types import DType
from dmc.jit.cpython import CallFunction, call_function, natives
from dmc.jit.interrupts import STOPPED, watched
from dmc.jit.pool import pool
from dmc.jit.processors import unused_memory
from dmc.jit.tapes import FAILED

Array = npt.NDArray[Any]
ALIGNMENT = 64
_C_CONTIGUOUS, _ALIGNED, _WRITEABLE = 0x1, 0x100, 0x400
_MUTEX_BYTES = 128
_WORTH_ASKING = 16 << 20
"""The bytes of which filling them takes much longer than asking whether they are there."""
_FLOAT_AS = {DType.F32: 1, DType.F64: 2}


@dataclass(frozen=True, slots=True)
class ArgumentSpec:
    """An array that a program reads.

    If `donated`, the program overwrites it, so it must be writeable.
    """

    dtype: DType
    shape: tuple[int, ...]
    donated: bool = False

    @property
    def numpy(self) -> np.dtype[Any]:
        return self.dtype.numpy


@dataclass(frozen=True, slots=True)
class ResultSpec:
    """An array that a program writes: a new one, or the donated argument `overwrites`."""

    dtype: DType
    shape: tuple[int, ...]
    overwrites: int | None = None

    @property
    def numpy(self) -> np.dtype[Any]:
        return self.dtype.numpy


class ArgumentMismatch(TypeError):
    """An argument that does not fit its spec; `index` is None if their number is wrong.

    `is_shared` says that it is donated while another argument has part of its memory. The interface
    that users see turns it into an error in terms of the program.
    """

    def __init__(self, index: int | None, message: str, *, is_shared: bool = False) -> None:
        super().__init__(message)
        self.index = index
        self.is_shared = is_shared


class ProgramFailure(RuntimeError):
    """The program returned a status other than 0; what it means is the program's to say."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the compiled program stopped with status {status}")
        self.status = status


class TapesFull(MemoryError):
    """What a program keeps of the iterations of its loops did not find memory while it ran."""


class _Spec(ctypes.Structure):
    _fields_ = (
        ("dtype", ctypes.c_void_p),
        ("rank", ctypes.c_int64),
        ("dimensions", ctypes.c_void_p),
        ("bytes", ctypes.c_int64),
        ("detail", ctypes.c_int64),
        ("scalar", ctypes.c_void_p),
        ("float_as", ctypes.c_int64),
    )


class _Program(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_void_p),
        ("arena", ctypes.c_void_p),
        ("arguments", ctypes.c_int64),
        ("argument_specs", ctypes.c_void_p),
        ("results", ctypes.c_int64),
        ("result_specs", ctypes.c_void_p),
        ("mutex", ctypes.c_void_p),
        ("stop", ctypes.c_int32),
    )


def aligned_bytes(count: int) -> npt.NDArray[np.uint8]:
    """`count` uninitialized bytes on an aligned address. Raises MemoryError where there are none.

    Systems promise more than they have, and end who takes it; so they are asked what is unused.
    """
    if count >= _WORTH_ASKING and count > unused_memory():
        raise MemoryError(count)
    storage = np.empty(count + ALIGNMENT, np.uint8)
    start = -storage.ctypes.data % ALIGNMENT
    return storage[start : start + count]


_live: weakref.WeakSet[Executable] = weakref.WeakSet()


def _begin_anew() -> None:
    """After a fork no thread is left that could be in a call."""
    for executable in list(_live):
        executable.renew_mutex()


def _keep_all() -> None:
    """Leave programs in place when the interpreter ends: a thread may still be in one of them."""
    for executable in list(_live):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(executable))


os.register_at_fork(after_in_child=_begin_anew)
atexit.register(_keep_all)


class Executable:
    """A loaded program that takes and returns NumPy arrays.

    `address` is that of `int32_t program(void **buffers, void *arena, int32_t *stop)`: the buffers
    of all arguments, then of all results. A result that overwrites an argument has the argument's
    buffer. A program that `polls` ends when `*stop` is set.
    The arena has `arena_bytes` and behind them `scratch_bytes` for each thread of the pool. Calls
    release the interpreter's lock; calls of one executable run one after the other, since they
    share the arena. `keep` is whatever must live as long as the code.
    """

    def __init__(
        self,
        address: int,
        arguments: tuple[ArgumentSpec, ...],
        results: tuple[ResultSpec, ...],
        arena_bytes: int = 0,
        scratch_bytes: int = 0,
        polls: bool = False,
        keep: object = None,
    ) -> None:
        for result in results:
            source = None if result.overwrites is None else arguments[result.overwrites]
            if source and not (
                source.donated and (source.dtype, source.shape) == (result.dtype, result.shape)
            ):
                raise ValueError(f"{result} does not fit the argument it overwrites, {source}")
        self.arguments = arguments
        self.results = results
        self.arena_bytes = arena_bytes
        self.scratch_bytes = scratch_bytes
        self._polls = polls
        self._keep = keep
        self._arena = aligned_bytes(arena_bytes)
        self._mutex = aligned_bytes(_MUTEX_BYTES)
        self.renew_mutex()
        self._dimensions: list[ctypes.Array[ctypes.c_int64]] = []
        argument_specs = [self._describe(spec, _required_flags(spec)) for spec in arguments]
        result_specs = [
            self._describe(spec, -1 if spec.overwrites is None else spec.overwrites)
            for spec in results
        ]
        self._argument_specs = (_Spec * len(arguments))(*argument_specs)
        self._result_specs = (_Spec * len(results))(*result_specs)
        self._program = _Program(
            address,
            self._arena.ctypes.data,
            len(arguments),
            ctypes.addressof(self._argument_specs),
            len(results),
            ctypes.addressof(self._result_specs),
            self._mutex.ctypes.data,
            0,
        )
        self._native: CallFunction | None = call_function(self.address)
        _live.add(self)
        if scratch_bytes:
            pool().subscribe(self)

    @property
    def address(self) -> int:
        """Of what `entry.ll` knows of the program."""
        return ctypes.addressof(self._program)

    @property
    def memory(self) -> int:
        """Bytes that this executable holds while it is not running."""
        return self._arena.nbytes

    def renew_mutex(self) -> None:
        """Let nobody be in a call: for a new program, or one that a fork caught in a call."""
        if natives().init_mutex(self._mutex.ctypes.data):
            raise OSError("cannot create a mutex")

    def reserve(self, threads: int) -> None:
        """Have scratch memory for at least that many threads, waiting for a running call to end."""
        needed = self.arena_bytes + threads * self.scratch_bytes
        if needed <= self._arena.nbytes:
            return
        larger = aligned_bytes(needed)
        mutex = self._mutex.ctypes.data
        natives().lock_mutex(mutex)
        self._arena = larger
        self._program.arena = larger.ctypes.data
        natives().unlock_mutex(mutex)

    def _describe(self, spec: ArgumentSpec | ResultSpec, detail: int) -> _Spec:
        rank = len(spec.shape)
        dimensions = (ctypes.c_int64 * max(rank, 1))(*spec.shape)
        self._dimensions.append(dimensions)
        size = int(np.prod(spec.shape, dtype=np.int64)) * spec.numpy.itemsize
        is_number = isinstance(spec, ArgumentSpec) and not rank and not spec.donated
        # Element types of the same kind share one object in NumPy; it is looked up by that.
        return _Spec(
            id(np.dtype(spec.numpy.type)),
            rank,
            ctypes.addressof(dimensions),
            size,
            detail,
            id(spec.numpy.type) if is_number else None,
            _FLOAT_AS.get(spec.dtype, 0) if is_number else 0,
        )

    def __call__(self, *arrays: Array) -> tuple[Array, ...]:
        """Run the program.

        Raises ArgumentMismatch when an array does not have the dtype and shape of its spec, or a
        donated one is not contiguous, aligned and writeable or is given twice; TapesFull and
        ProgramFailure when the program says so; MemoryError; KeyboardInterrupt. Arrays that are
        only read may have any layout.
        """
        if not self._polls:
            return self._call(arrays)
        stop = ctypes.c_int32.from_buffer(self._program, _Program.stop.offset)
        with watched(stop):
            return self._call(arrays)

    def _call(self, arrays: tuple[object, ...]) -> tuple[Array, ...]:
        if self._native is not None:
            outcome = cast("tuple[Array, ...] | int", self._native.function(*arrays))
            if isinstance(outcome, tuple):
                return outcome
            if outcome > 0:
                raise _failure(outcome)
        return self._call_with_copies(arrays)

    def _call_with_copies(self, arrays: tuple[object, ...]) -> tuple[Array, ...]:
        if len(arrays) != len(self.arguments):
            count = f"{len(self.arguments)} arrays expected, {len(arrays)} given"
            raise ArgumentMismatch(None, count)
        inputs = [
            _conforming(i, array, spec)
            for i, (array, spec) in enumerate(zip(arrays, self.arguments, strict=True))
        ]
        for index in (spec.overwrites for spec in self.results):
            if index is not None and _is_shared(arrays, index):
                message = f"argument {index} is donated, and another has the same memory"
                raise ArgumentMismatch(index, message, is_shared=True)
        outputs = [
            _empty(spec) if spec.overwrites is None else inputs[spec.overwrites]
            for spec in self.results
        ]
        buffers = (ctypes.c_void_p * (len(inputs) + len(outputs)))(
            *(array.ctypes.data for array in (*inputs, *outputs))
        )
        program, table = self.address, ctypes.addressof(buffers)
        status = natives().locked_call(program, table)
        if status:
            raise _failure(status)
        return tuple(outputs)


def _failure(status: int) -> BaseException:
    failures = {FAILED: TapesFull, STOPPED: KeyboardInterrupt}
    return failures[status]() if status in failures else ProgramFailure(status)


def _is_shared(arrays: Sequence[object], index: int) -> bool:
    """Whether another of the arrays has some of the memory of one."""
    one = cast("Array", arrays[index])
    others = [cast("Array", a) for i, a in enumerate(arrays) if i != index]
    return any(np.may_share_memory(one, other) for other in others)


def _required_flags(spec: ArgumentSpec) -> int:
    return _C_CONTIGUOUS | _ALIGNED | (_WRITEABLE if spec.donated else 0)


def _empty(spec: ResultSpec) -> Array:
    size = int(np.prod(spec.shape, dtype=np.int64)) * spec.numpy.itemsize
    return aligned_bytes(size).view(spec.numpy).reshape(spec.shape)


def _conforming(index: int, given: object, spec: ArgumentSpec) -> Array:
    """`given` in the layout that the program reads, copied if need be."""
    expected = f"{spec.dtype.value} of shape {spec.shape}"
    if not isinstance(given, np.ndarray):
        raise ArgumentMismatch(index, f"argument {index} is {type(given).__name__}, not an array")
    array = cast("Array", given)
    if array.dtype != spec.numpy or array.shape != spec.shape:
        found = f"{array.dtype} of shape {array.shape}"
        raise ArgumentMismatch(index, f"argument {index} is {found}, not {expected}")
    suitable = array.flags.c_contiguous and array.flags.aligned and array.dtype.isnative
    if spec.donated:
        if not (suitable and array.flags.writeable):
            problem = "must be contiguous and writeable to be donated"
            raise ArgumentMismatch(index, f"argument {index} {problem}")
        return array
    return array if suitable else np.require(array, spec.numpy, ["C", "A"])
