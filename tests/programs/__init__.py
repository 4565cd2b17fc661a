"""Fourteen programs that show the language, for the tests of every stage."""

from pathlib import Path

FOLDER = Path(__file__).parent
PROGRAMS = sorted(FOLDER.glob("*.dm"))
