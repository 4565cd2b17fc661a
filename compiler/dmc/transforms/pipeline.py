"""The default pipelines, which the driver runs one after the other."""

from __future__ import annotations

from dmc.ir.passes import Pass
from dmc.transforms.canonicalize import Canonicalize
from dmc.transforms.cse import Cse
from dmc.transforms.dce import Dce
from dmc.transforms.expand_autodiff import ExpandAutodiff
from dmc.transforms.fuse import Fuse
from dmc.transforms.hoist import Hoist
from dmc.transforms.inline import Inline
from dmc.transforms.kernelize import Kernelize


def clean() -> list[Pass]:
    """Simplify and remove what is not needed."""
    return [Canonicalize(), Cse(), Dce()]


def derivatives() -> list[Pass]:
    """Expand derivatives; calls are inlined, those of functions with rules last."""
    return [ExpandAutodiff(), Inline(rules=True), *clean()]


def optimize() -> list[Pass]:
    """Tensor level."""
    return [Hoist(), *clean()]


def to_kernels() -> list[Pass]:
    """From tensor to kernel level."""
    return [Kernelize(), Fuse(), *clean()]
