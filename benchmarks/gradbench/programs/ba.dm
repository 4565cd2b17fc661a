# Bundle adjustment: where cameras see points, and the sparse Jacobian in compressed rows.

## Rodrigues' rotation of x about r by the length of r.
fn rotate(r: f64[3], x: f64[3]) -> f64[3] {
    let square = r @ r
    let still = square == 0.0
    let t = sqrt(where(still, 1.0, square))
    let w = r / t
    where(still, x + cross(r, x),
          x * cos(t) + cross(w, x) * sin(t) + w * ((w @ x) * (1.0 - cos(t))))
}

## A camera is a rotation, a centre, a focal length, a principal point and two radial distortions.
fn project(cam: f64[11], x: f64[3]) -> f64[2] {
    let p = rotate(cam[:3], x - cam[3:6])
    let uv = p[:2] / p[2]
    let r2 = uv @ uv
    uv * (1.0 + cam[9] * r2 + cam[10] * r2 ** 2) * cam[6] + cam[7:9]
}

fn residual(cam: f64[11], x: f64[3], w: f64, seen: f64[2]) -> f64[2] = w * (project(cam, x) - seen)

fn doubt(w: f64) -> f64 = 1.0 - w ** 2

fn objective[C, N, P](cams: f64[C, 11], points: f64[N, 3], w: f64[P], camera: i32[P],
                      point: i32[P], seen: f64[P, 2]) -> (f64[P, 2], f64[P]) {
    let residuals = [p] => residual(cams[camera[p]], points[point[p]], w[p], seen[p])
    (residuals, [p] => doubt(w[p]))
}

## Where each row begins, and the column and value of each entry. Two rows of an observation have
## entries for its camera, its point and its weight; after all of these, its doubt has one.
fn sparse[C, N, P](cams: f64[C, 11], points: f64[N, 3], w: f64[P], camera: i32[P], point: i32[P],
                   seen: f64[P, 2]) -> (i64[3 * P + 1], i64[31 * P], f64[31 * P]) {
    let (in_camera, in_point, in_weight) = [p] => jacobian(residual, wrt = (cam, x, w))(
        cams[camera[p]], points[point[p]], w[p], seen[p])
    let values = [p, r, c in 0..15] =>
        if c < 11 { in_camera[p, r, c] } else {
            if c < 14 { in_point[p, r, c - 11] } else { in_weight[p, r] }
        }
    let columns = [p in 0..P, r in 0..2, c in 0..15] =>
        if c < 11 { 11 * i64(camera[p]) + c } else {
            if c < 14 { 11 * C + 3 * i64(point[p]) + c - 11 } else { 11 * C + 3 * N + p }
        }
    ([i in 0..3 * P + 1] => if i <= 2 * P { 15 * i } else { 28 * P + i },
     concat[0](reshape[30 * P](columns), [p in 0..P] => 11 * C + 3 * N + p),
     concat[0](reshape[30 * P](values), [p] => grad(doubt)(w[p])))
}
