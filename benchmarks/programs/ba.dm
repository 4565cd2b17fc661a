# Bundle adjustment: where cameras see points, and the blocks of its sparse Jacobian.

struct Camera {
    rot: f64[3]
    center: f64[3]
    focal: f64
    principal: f64[2]
    radial: f64[2]
}

## Rodrigues' rotation of x about r by the length of r.
fn rotate(r: f64[3], x: f64[3]) -> f64[3] {
    let t = sqrt(r @ r)
    let w = r / t
    x * cos(t) + cross(w, x) * sin(t) + w * ((w @ x) * (1.0 - cos(t)))
}

fn project(cam: Camera, x: f64[3]) -> f64[2] {
    let p = rotate(cam.rot, x - cam.center)
    let uv = p[:2] / p[2]
    let r2 = uv @ uv
    uv * (1.0 + cam.radial[0] * r2 + cam.radial[1] * r2 ** 2) * cam.focal + cam.principal
}

fn residual(cam: Camera, x: f64[3], w: f64, seen: f64[2]) -> f64[2] = w * (project(cam, x) - seen)

fn residuals[C, N, P](cams: C * Camera, points: f64[N, 3], w: f64[P], camera: i32[P],
                      point: i32[P], seen: f64[P, 2]) -> f64[P, 2] =
    [p] => residual(cams[camera[p]], points[point[p]], w[p], seen[p])

## For each observation, 2 rows: in its camera, its point and its weight.
fn blocks[C, N, P](cams: C * Camera, points: f64[N, 3], w: f64[P], camera: i32[P],
                   point: i32[P], seen: f64[P, 2]) -> (P * 2 * Camera, f64[P, 2, 3], f64[P, 2]) =
    [p] => jacobian(residual, wrt = (cam, x, w))(
        cams[camera[p]], points[point[p]], w[p], seen[p])

fn all[C, N, P](cams: C * Camera, points: f64[N, 3], w: f64[P], camera: i32[P], point: i32[P],
                seen: f64[P, 2])
        -> (f64[P, 2], P * 2 * Camera, f64[P, 2, 3], f64[P, 2]) {
    let (in_camera, in_point, in_weight) = blocks(cams, points, w, camera, point, seen)
    (residuals(cams, points, w, camera, point, seen), in_camera, in_point, in_weight)
}
