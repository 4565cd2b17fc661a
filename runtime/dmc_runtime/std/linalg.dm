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

## An approximate solution of a(x) = b for any regular map by generalised minimal residuals (Saad and
## Schultz, 1986), from zeros: each cycle adds the combination of r, a(r), …, a^(M - 1)(r) that leaves
## the least |r - a(y)| of r = b - a(x), until that is `tolerance` times |b|.
fn gmres[M, F: float, *S](a: (F[*S]) -> F[*S], b: F[*S], cycles: i64 = 1, tolerance: F = 0.0)
        -> F[*S] requires M >= 1 {
    var x: F[*S] = zeros
    let enough = tolerance * sqrt(sum(b * b))
    for _ in 0..cycles {
        let r = b - a(x)
        let size = sqrt(sum(r * r))
        let going = size > enough
        x = if going { x + _krylov[M](a, r, size) } else { x }
    }
    x
}

## The y in the span of r, a(r), …, a^(M - 1)(r) with the least |r - a(y)|, by the basis of Arnoldi
## (1951), orthogonalised twice; `size` is |r|.
fn _krylov[M, F: float, *S](a: (F[*S]) -> F[*S], r: F[*S], size: F) -> F[*S] requires M >= 1 {
    var q: F[M + 1, *S] = zeros
    var h: F[M + 1, M] = zeros
    q[0] = r / size
    for k in 0..M {
        var v = a(q[k])
        let full = sqrt(sum(v * v))
        for _ in 0..2 {
            for j in 0..k + 1 {
                let share = sum(q[j] * v)
                h[j, k] += share
                v = v - share * q[j]
            }
        }
        let left = sqrt(sum(v * v))
        # Where nothing is left the basis is complete: later columns are those of the identity.
        let complete = not (left > 1e-14 * full)
        h[k + 1, k] = if complete { 0.0 } else { left }
        h[k, k] += if full == 0.0 { 1.0 } else { 0.0 }
        q[k + 1] = if complete { 0.0 * v } else { v / left }
    }
    let y = lstsq(h, [j in 0..M + 1] => if j == 0 { size } else { 0.0 })
    var x: F[*S] = zeros
    for j in 0..M { x = x + y[j] * q[j] }
    x
}

## The solution of a system with L diagonals below the main one and U above it, by elimination with
## partial pivoting. `bands` holds them as SciPy does: bands[U + i - j, j] is the element i, j.
fn banded[L, U, F: float, N](bands: F[L + U + 1, N], b: F[N]) -> F[N] requires N >= 1 {
    # The rows from i on that reach column i, from there, with their right sides.
    var rows = [r in 0..L + 1, c in 0..L + U + 1] => _entry[L, U](bands, r, c)
    var sides = [r in 0..L + 1] => if r < N { b[minimum(r, N - 1)] } else { 0.0 }
    let (upper, right) = for i in 0..N {
        let best = argmax(abs(rows[:, 0]))
        let pivot = rows[best]
        let side = sides[best]
        let from = [r in 0..L + 1] => if r == best { 0 } else { r }
        let share = [r in 0..L + 1] => rows[from[r], 0] / pivot[0]
        let last = i + L + 1
        let left = [r in 0..L + 1, c in 0..L + U + 1] => {
            let next = minimum(r + 1, L)
            let right = minimum(c + 1, L + U)
            if r == L {
                _entry[L, U](bands, last, i + 1 + c)
            } else if c < L + U {
                rows[from[next], right] - share[next] * pivot[right]
            } else {
                0.0
            }
        }
        sides = [r in 0..L + 1] => {
            let next = minimum(r + 1, L)
            if r < L {
                sides[from[next]] - share[next] * side
            } else {
                if last < N { b[minimum(last, N - 1)] } else { 0.0 }
            }
        }
        rows = left
        (pivot, side)
    }
    var x: F[N] = zeros
    for s in 0..N {
        let i = N - 1 - s
        let known = sum[c in 1..L + U + 1](
            if i + c < N { upper[i, c] * x[minimum(i + c, N - 1)] } else { 0.0 })
        x[i] = (right[i] - known) / upper[i, 0]
    }
    x
}

## The element i, j of a banded matrix, continued by the identity.
fn _entry[L, U, F: float, N](bands: F[L + U + 1, N], i: i64, j: i64) -> F requires N >= 1 =
    if i < N and j < N and i - j <= L and j - i <= U {
        bands[clamp(U + i - j, 0, L + U), clamp(j, 0, N - 1)]
    } else {
        if i >= N and i == j { 1.0 } else { 0.0 }
    }
