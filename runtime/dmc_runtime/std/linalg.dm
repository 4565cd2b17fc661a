# linalg: linear systems of which more is known than a matrix; `solve` and its kin are in the prelude.

## The solution of a system with `lower`, `middle` and `upper` diagonals (Thomas, 1949): row i is
## lower[i] x[i - 1] + middle[i] x[i] + upper[i] x[i + 1] = b[i]. Not for matrices that need pivoting.
fn tridiagonal[F: float, N](lower: F[N], middle: F[N], upper: F[N], b: F[N]) -> F[N]
        requires N >= 1 {
    var c: F[N] = zeros
    var d: F[N] = zeros
    for i in 0..N {
        let before = maximum(i - 1, 0)
        let l = if i > 0 { lower[i] } else { 0.0 }
        let pivot = middle[i] - l * c[before]
        let value = b[i] - l * d[before]
        c[i] = upper[i] / pivot
        d[i] = value / pivot
    }
    var x: F[N] = zeros
    for s in 0..N {
        let i = N - 1 - s
        let next = if s > 0 { x[minimum(i + 1, N - 1)] } else { 0.0 }
        x[i] = d[i] - c[i] * next
    }
    x
}

## M steps of conjugate gradients for a symmetric positive definite map (Hestenes and Stiefel, 1952):
## an approximate solution of a(x) = b, from zeros. Steps stop changing it when `tolerance` is reached.
fn conjugate_gradient[M, F: float, *S](a: (F[*S]) -> F[*S], b: F[*S], tolerance: F = 0.0) -> F[*S] {
    var x: F[*S] = zeros
    var r = b
    var p = b
    var size = sum(b * b)
    let enough = tolerance * tolerance * size
    for _ in 0..M {
        let ap = a(p)
        let curved = sum(p * ap)
        let going = size > enough and curved > 0.0
        let step = where(going, size / where(going, curved, 1.0), 0.0)
        x = x + step * p
        r = r - step * ap
        let next = sum(r * r)
        let turn = where(going, next / where(going, size, 1.0), 0.0)
        p = r + turn * p
        size = next
    }
    x
}
