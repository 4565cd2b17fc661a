"""Everything random that is thrown at dmc: `python -m tests.fuzz`; a short form runs as tests."""
