"""`linalg`: factorizations of matrices, and systems solved with them.

Matrices are the last two axes; all axes before them say which. The operations work at the tensor
and at the kernel level alike. Derivatives follow Giles, "An extended collection of matrix
derivative results for forward and reverse mode algorithmic differentiation" (2008), and Murray,
"Differentiation of the Cholesky decomposition" (2016).
"""

from dmc.dialects.linalg.base import Composed, Factorization
from dmc.dialects.linalg.cholesky import Cholesky, cholesky
from dmc.dialects.linalg.expm import Expm, ExpmDerivative, expm, expm_derivative
from dmc.dialects.linalg.lu import LU, Solve, lu, solve
from dmc.dialects.linalg.qr import QR, qr
from dmc.dialects.linalg.spectral import SVD, Eigh, eigh, svd
from dmc.dialects.linalg.triangular import Solver, TriangularSolve, triangular_solve

__all__ = [
    "LU",
    "QR",
    "SVD",
    "Cholesky",
    "Composed",
    "Eigh",
    "Expm",
    "ExpmDerivative",
    "Factorization",
    "Solve",
    "Solver",
    "TriangularSolve",
    "cholesky",
    "eigh",
    "expm",
    "expm_derivative",
    "lu",
    "qr",
    "solve",
    "svd",
    "triangular_solve",
]
