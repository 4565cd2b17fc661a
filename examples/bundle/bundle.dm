# Bundle adjustment: where cameras stood and points are, from where the points lie in the pictures.
# A camera is nine numbers: rotation as an axis times an angle, translation, focal length and two
# coefficients of distortion (Agarwal et al., 2010).

## x turned about r by the angle |r| (Rodrigues), right also at r = 0.
fn turn(r: f64[3], x: f64[3]) -> f64[3] {
    let square = r @ r
    let small = square < 1e-12
    let angle = sqrt(where(small, 1.0, square))
    let s = where(small, 1.0 - square / 6.0, sin(angle) / angle)
    let c = where(small, 0.5 - square / 24.0, (1.0 - cos(angle)) / where(small, 1.0, square))
    let across = cross(r, x)
    x + s * across + c * cross(r, across)
}

## Where a camera sees a point.
fn project(camera: f64[9], x: f64[3]) -> f64[2] {
    let p = turn(camera[:3], x) + camera[3:6]
    let u = p[:2] / p[2]
    let square = u @ u
    camera[6] * (1.0 + square * (camera[7] + square * camera[8])) * u
}

fn off(camera: f64[9], x: f64[3], seen: f64[2]) -> f64[2] = project(camera, x) - seen

## The mean squared distance, in pixels, between where points should be seen and are.
fn cost[C, N](cameras: f64[C, 9], points: f64[N, 3], seen: f64[C, N, 2]) -> f64 {
    let squares = [c, n] => {
        let e = off(cameras[c], points[n], seen[c, n])
        e @ e
    }
    mean(squares)
}

## One step of Levenberg and Marquardt, for cameras and points at once. The points do not depend on
## each other, so they are eliminated, and what is solved is a system for the cameras (Schur, 1917).
fn step[C, N](cameras: f64[C, 9], points: f64[N, 3], seen: f64[C, N, 2], damping: f64)
        -> (f64[C, 9], f64[N, 3]) requires C >= 1, N >= 1 {
    let e = [c, n] => off(cameras[c], points[n], seen[c, n])
    let (a, b) = slopes(cameras, points, seen)
    let u = [c, i in 0..9, j in 0..9] =>
        sum[n, k](a[c, n, k, i] * a[c, n, k, j]) * (if i == j { 1.0 + damping } else { 1.0 })
    let v = [n, i in 0..3, j in 0..3] =>
        sum[c, k](b[c, n, k, i] * b[c, n, k, j]) * (if i == j { 1.0 + damping } else { 1.0 })
    let w = [c, n, i in 0..9, j in 0..3] => sum[k](a[c, n, k, i] * b[c, n, k, j])
    let of_cameras = [c, i in 0..9] => sum[n, k](a[c, n, k, i] * e[c, n, k])
    let of_points = [n, i in 0..3] => sum[c, k](b[c, n, k, i] * e[c, n, k])
    let back = inv(v)
    let y = [c, n, i in 0..9, j in 0..3] => sum[k](w[c, n, i, k] * back[n, k, j])
    let own = [c in 0..C, i in 0..9, d in 0..C, j in 0..9] => if c == d { u[c, i, j] } else { 0.0 }
    let shared = [c in 0..C, i in 0..9, d in 0..C, j in 0..9] =>
        sum[n, k](y[c, n, i, k] * w[d, n, j, k])
    let left = reshape[C * 9, C * 9](own - shared)
    let right = [c, i in 0..9] => of_cameras[c, i] - sum[n, k](y[c, n, i, k] * of_points[n, k])
    let moved = reshape[C, 9](solve(left, reshape[C * 9](right)))
    let rest = [n, i in 0..3] => of_points[n, i] - sum[c, k](w[c, n, k, i] * moved[c, k])
    let shifted = [n, i in 0..3] => sum[k](back[n, i, k] * rest[n, k])
    (cameras - moved, points - shifted)
}

## The derivatives of `off` in the camera and in the point.
fn slopes[C, N](cameras: f64[C, 9], points: f64[N, 3], seen: f64[C, N, 2])
        -> (f64[C, N, 2, 9], f64[C, N, 2, 3]) =
    ([c, n] => jacobian(off, wrt = camera)(cameras[c], points[n], seen[c, n]),
     [c, n] => jacobian(off, wrt = x)(cameras[c], points[n], seen[c, n]))

## T steps, with less damping after those that help and more after the others; the cost after each.
fn adjust[T, C, N](cameras: f64[C, 9], points: f64[N, 3], seen: f64[C, N, 2])
        -> (f64[C, 9], f64[N, 3], f64[T]) requires C >= 1, N >= 1 {
    var best = cameras
    var at = points
    var damping = 0.01
    var least = cost(cameras, points, seen)
    let costs = for _ in 0..T {
        let (next, places) = step(best, at, seen, damping)
        let now = cost(next, places, seen)
        let better = now < least
        best = if better { next } else { best }
        at = if better { places } else { at }
        least = if better { now } else { least }
        damping = if better { 0.3 * damping } else { 10.0 * damping }
        least
    }
    (best, at, costs)
}
