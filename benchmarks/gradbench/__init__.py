"""dmc as a tool of GradBench (github.com/gradbench/gradbench); see README.md."""
