"""The parts of llvmlite.binding.ffi that dmc uses."""

class ObjectRef:
    @property
    def closed(self) -> bool: ...
    def close(self) -> None: ...

class _Library:
    @property
    def _name(self) -> str: ...

lib: _Library
