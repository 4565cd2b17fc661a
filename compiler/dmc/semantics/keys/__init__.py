"""Keys are spent once: a flow analysis over values, run when every body of a file is checked."""

from dmc.semantics.keys.check import check_keys

__all__ = ["check_keys"]
