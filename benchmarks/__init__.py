"""Benchmarks: dmc beside its peers on whole workloads, each contestant in a process of its own."""
