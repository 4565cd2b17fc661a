"""Planning where tensors lie: liveness, shared buffers, layout of the arena, and its replay.

`dmc.transforms.plan_memory` is the pass; `place_of` reads what it recorded.
"""

from dmc.transforms.memory.place import Kind, Place, place_of
from dmc.transforms.memory.replay import PlanError, replay

__all__ = ["Kind", "Place", "PlanError", "place_of", "replay"]
