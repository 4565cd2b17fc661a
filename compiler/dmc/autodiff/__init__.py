"""Source transformations that emit tangent (forward) and adjoint (reverse) IR.

`tangent.py` and `adjoint.py` drive; ordinary operations bring their rules, structured ones have a
file each here. The output is ordinary IR, so the transformations nest without limit.
"""
