"""What the fields of records are for."""

from __future__ import annotations

import enum


class Role(enum.Enum):
    """What a field of a record is for."""

    DATA = "field"
    PARAM = "param"
    FROZEN = "frozen param"
    STATE = "state"
    HYPER = "hyperparameter"
    SUB = "sub-model"
    FROZEN_SUB = "frozen sub-model"

    @property
    def is_trained(self) -> bool:
        """Whether float leaves of the field belong to `Grad`."""
        return self in (Role.DATA, Role.PARAM, Role.SUB)
