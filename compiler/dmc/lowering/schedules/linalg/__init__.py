"""Schedules of the `linalg` dialect: blocked factorizations around one register tile."""
