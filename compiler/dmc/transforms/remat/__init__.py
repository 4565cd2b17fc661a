"""Holding a program to a budget of memory: what is measured, and what can be done about it.

`dmc.transforms.rematerialize` is the pass.
"""
