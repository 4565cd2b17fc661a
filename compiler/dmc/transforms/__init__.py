"""Passes over tensor- and kernel-level IR, one a file, and in `pipeline` their default order."""
