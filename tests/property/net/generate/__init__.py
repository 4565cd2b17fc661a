"""Draws well-typed programs, one family of constructs a file."""

from tests.property.net.generate.nests import draw_nest
from tests.property.net.generate.programs import draw_program

__all__ = ["draw_nest", "draw_program"]
