"""Schedules: how each kind of kernel becomes loops, vectors and parallel tasks.

What a schedule decides (tasks, reduction trees, tiles) depends only on sizes and the machine,
never on the number of threads.
"""
