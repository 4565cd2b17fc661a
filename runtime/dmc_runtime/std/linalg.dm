# linalg: linear systems. The loops are those of the textbook, in the language, and differentiate.

## The solution of a @ x = b by Gaussian elimination with partial pivoting.
fn solve[F: float, N](a: F[N, N], b: F[N]) -> F[N] requires N >= 1 {
    var m = a
    var r = b
    for k in 0..N {
        let size = [i in 0..N] => if i >= k { abs(stop_gradient(m[i, k])) } else { -1.0 }
        let pivot = argmax(size)
        let row = m[pivot]
        let right = r[pivot]
        m[pivot] = m[k]
        r[pivot] = r[k]
        m[k] = row
        r[k] = right
        let share = [i in 0..N] => if i > k { m[i, k] / row[k] } else { 0.0 }
        m = [i, j] => m[i, j] - share[i] * row[j]
        r = [i] => r[i] - share[i] * right
    }
    var x: F[N] = zeros
    for s in 0..N {
        let i = N - 1 - s
        let done = sum[j in 0..N](if j > i { m[i, j] * x[j] } else { 0.0 })
        x[i] = (r[i] - done) / m[i, i]
    }
    x
}

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

## The lower triangular l with l @ l.T = a, for a positive definite a (Cholesky).
fn cholesky[F: float, N](a: F[N, N]) -> F[N, N] {
    var l: F[N, N] = zeros
    for j in 0..N {
        for i in j..N {
            let done = sum[k in 0..j](l[i, k] * l[j, k])
            l[i, j] = if i == j { sqrt(a[j, j] - done) } else { (a[i, j] - done) / l[j, j] }
        }
    }
    l
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
