"""The command line: a file for each command, `cli` for what they share."""
