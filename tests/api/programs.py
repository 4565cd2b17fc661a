"""The program that the tests of the Python API call."""

from pathlib import Path

import dmc

PATH = Path(__file__).parent / "program.dm"
program = dmc.load(PATH)
KEY = dmc.key(0)
