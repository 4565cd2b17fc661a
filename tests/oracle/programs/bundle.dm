# Bundle adjustment: reprojection residuals, and their Jacobian as one dense block per observation.

struct Camera {
    rot: f64[3]
    center: f64[3]
    focal: f64
    principal: f64[2]
    radial: f64[2]
}

## Rodrigues' rotation by the vector r.
fn rotate(r: f64[3], x: f64[3]) -> f64[3] {
    let t2 = r @ r
    if t2 > 0.0 {
        let t = sqrt(t2)
        let w = r / t
        x * cos(t) + cross(w, x) * sin(t) + w * ((w @ x) * (1.0 - cos(t)))
    } else {
        x + cross(r, x)
    }
}

fn project(cam: Camera, x: f64[3]) -> f64[2] {
    let p = rotate(cam.rot, x - cam.center)
    let uv = p[:2] / p[2]
    let r2 = uv @ uv
    uv * (1.0 + cam.radial[0] * r2 + cam.radial[1] * r2 ** 2) * cam.focal + cam.principal
}

fn residual(cam: Camera, x: f64[3], w: f64, feat: f64[2]) -> f64[2] = w * (project(cam, x) - feat)

fn residuals[C, N, P](cams: C * Camera, pts: f64[N, 3], w: f64[P],
                      obs: i32[P, 2], feat: f64[P, 2]) -> (f64[P, 2], f64[P]) {
    let r = [p] => residual(cams[obs[p, 0]], pts[obs[p, 1]], w[p], feat[p])
    (r, 1.0 - w ** 2)
}

fn misfit[C, N, P](cams: C * Camera, pts: f64[N, 3], w: f64[P],
                   obs: i32[P, 2], feat: f64[P, 2]) -> f64 {
    let (r, e) = residuals(cams, pts, w, obs, feat)
    0.5 * (sum(r * r) + sum(e * e))
}

fn jacobian_blocks[C, N, P](cams: C * Camera, pts: f64[N, 3], w: f64[P],
        obs: i32[P, 2], feat: f64[P, 2]) -> (P * 2 * Camera, f64[P, 2, 3], f64[P, 2]) =
    [p] => jacobian(residual, wrt = (cam, x, w))(
        cams[obs[p, 0]], pts[obs[p, 1]], w[p], feat[p])
