"""Draws well-typed programs, one family of constructs a file."""

from tests.property.net.generate.programs import draw_program

__all__ = ["draw_program"]
