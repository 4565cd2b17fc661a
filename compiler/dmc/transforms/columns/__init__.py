"""Short axes are written out: what a point, a rotation or a camera has becomes one value each.

`split` says which axes of a tensor are short, `rules` what each operation is on columns, and
`write_out` where that is done.
"""
