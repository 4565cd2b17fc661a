"""Fourteen programs that show the language, for the tests of every stage."""

from pathlib import Path

FOLDER = Path(__file__).parent
PROGRAMS = sorted(FOLDER.glob("*.dm"))
REFUSED = ("mixed",)
"""Programs that parse, and use what is not supported yet."""
COMPILED = [path for path in PROGRAMS if path.stem not in REFUSED]
