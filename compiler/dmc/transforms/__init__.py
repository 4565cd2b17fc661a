"""Passes over tensor- and kernel-level IR, one a file. Importing this registers all of them."""
