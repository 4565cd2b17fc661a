# fft: discrete Fourier transforms. Complex numbers are pairs (real, imaginary) along the last axis,
# x[..., N, 2], and a transform goes along the axis before. N may be any number: the work is N times
# the sum of its prime factors. Scales are NumPy's: `fft` has none, `ifft` divides by N.

## y[k] = sum over n of x[n] exp(-2 pi i k n / N) (Cooley and Tukey, 1965).
fn fft[F: float, *S, N](x: F[*S, N, 2]) -> F[*S, N, 2] requires N >= 1 = transform(x, -1)

## x[n] = 1 / N times the sum over k of y[k] exp(2 pi i k n / N).
fn ifft[F: float, *S, N](y: F[*S, N, 2]) -> F[*S, N, 2] requires N >= 1 = transform(y, 1) / F(N)

## `fft` of real numbers: the first N // 2 + 1 terms. The others are their conjugates.
fn rfft[F: float, *S, N](x: F[*S, N]) -> F[*S, N // 2 + 1, 2] requires N >= 1 {
    let whole = fft(pairs(x, 0.0 * x))
    whole[..., : N // 2 + 1, :]
}

## The N real numbers of which `rfft` gives y. The imaginary parts of the first term and, for an even
## N, of the last do not count.
fn irfft[N, F: float, *S](y: F[*S, N // 2 + 1, 2]) -> F[*S, N] requires N >= 1 {
    let at = [n in 0..N] => if n <= N // 2 { n } else { N - n }
    let side = [n in 0..N] =>
        if n == 0 or 2 * n == N { F(0.0) } else { if n <= N // 2 { 1.0 } else { -1.0 } }
    let re = y[..., 0]
    let im = y[..., 1]
    let whole = ifft(pairs(re[..., at], side * im[..., at]))
    whole[..., 0]
}

## `fft` along both axes of images x[..., H, W, 2].
fn fft2[F: float, *S, H, W](x: F[*S, H, W, 2]) -> F[*S, H, W, 2] requires H >= 1, W >= 1 =
    _turned(fft(_turned(fft(x))))

## The inverse of `fft2`.
fn ifft2[F: float, *S, H, W](y: F[*S, H, W, 2]) -> F[*S, H, W, 2] requires H >= 1, W >= 1 =
    _turned(ifft(_turned(ifft(y))))

## The frequencies of the terms of `fft`, for values at distances of `step`.
fn frequencies[N, F: float = f64](step: F = 1.0) -> F[N] requires N >= 1 =
    [k in 0..N] => F(if 2 * k < N { k } else { k - N }) / (F(N) * step)

## Real and imaginary parts as pairs.
fn pairs[F: float, *S](re: F[*S], im: F[*S]) -> F[*S, 2] =
    concat[-1](reshape[*S, 1](re), reshape[*S, 1](im))

## The products of complex numbers, element by element.
fn times[F: float, *S](x: F[*S, 2], y: F[*S, 2]) -> F[*S, 2] =
    pairs(x[..., 0] * y[..., 0] - x[..., 1] * y[..., 1],
          x[..., 0] * y[..., 1] + x[..., 1] * y[..., 0])

## `fft` for sign = -1, and for sign = 1 its inverse without the division. Both are linear, and the
## transpose of each is the other.
fn transform[F: float, *S, N](x: F[*S, N, 2], sign: i64) -> F[*S, N, 2] requires N >= 1 =
    _transform(x, sign)

derivative transform(x, sign) -> y {
    jvp(dx) = _transform(dx, sign)
    vjp(dy) = _transform(dy, -sign)
}

## Transforms of length 1 joined, by one prime factor of N after the other, as Stockham (1966) lays
## them out: before each pass element j * left + k holds term j of what is `left` apart, from k on.
fn _transform[F: float, *S, N](x: F[*S, N, 2], sign: i64) -> F[*S, N, 2] requires N >= 1 {
    let angle = [k in 0..N] => 2.0 * pi * F(k) / F(N)
    let c = cos(angle)
    let s = F(sign) * sin(angle)
    var re = x[..., 0]
    var im = x[..., 1]
    var left = N
    while left > 1 {
        var radix = 2
        while left % radix != 0 { radix += 1 }
        let after = left // radix
        let at = [i in 0..N] => i // after % (N // left) * left + i % after
        var sum_re = re[..., at]
        var sum_im = im[..., at]
        for u in 1..radix {
            let turn = [i in 0..N] => i // after * after % N * u % N
            let a = re[..., at + u * after]
            let b = im[..., at + u * after]
            sum_re = sum_re + c[turn] * a - s[turn] * b
            sum_im = sum_im + c[turn] * b + s[turn] * a
        }
        re = sum_re
        im = sum_im
        left = after
    }
    pairs(re, im)
}

fn _turned[F: float, *S, H, W](x: F[*S, H, W, 2]) -> F[*S, W, H, 2] {
    let re = x[..., 0]
    let im = x[..., 1]
    pairs(re.T, im.T)
}
