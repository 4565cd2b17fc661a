"""Source text to syntax tree, and the diagnostics that every later stage reports with."""
