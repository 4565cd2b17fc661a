"""How fast a workload can be at best on a machine whose limits are measured."""

from __future__ import annotations

from benchmarks.roofline import Roofline
from benchmarks.workload import Precision, Workload


def peak(limits: Roofline, precision: Precision) -> float:
    """Floating-point operations per second."""
    return limits.fma_f32 if precision is Precision.F32 else limits.fma_f64


def floor_ms(workload: Workload, limits: Roofline) -> float:
    """The work at the machine's peak or the bytes at its bandwidth, whichever takes longer."""
    computing = workload.flops / peak(limits, workload.precision)
    moving = workload.bytes / limits.bandwidth
    return 1e3 * max(computing, moving)
