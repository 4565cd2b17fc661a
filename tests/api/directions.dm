struct Line {
    w: f64[3]
    b: f64
}

fn pair(x: f64[3]) -> f64[2] = [x[0] * x[1], sin(x[2]) * x[0]]

fn turned(p: Line, x: f64[3]) -> Line = Line(w = p.w * p.b * x, b = sum(x * p.w ** 2))

fn size(p: Line, x: f64[3]) -> f64 = sin(sum(p.w * x)) * p.b + p.b ** 3

fn pushed[B](p: Line, x: f64[3], dp: B * Line, dx: f64[B, 3]) -> (Line, B * Line) =
    jvp(turned, wrt = (p, x), along = (dp, dx))(p, x)

fn pulled[B](p: Line, x: f64[3], d: B * Line) -> (Line, B * Line, Line) {
    let (y, pull) = vjp(turned)(p, x)
    (y, pull(d), pull(y))
}

fn curved[B](p: Line, x: f64[3], d: B * Line) -> B * Line = hvp(size, along = d)(p, x)

fn written(x: f64[3]) -> f64[2, 2] {
    let (_, columns) = jvp(pair, along = [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])(x)
    columns
}

fn slopes[B](x: f64[3], d: f64[B, 3]) -> f64 {
    let (_, columns) = jvp(pair, along = d)(x)
    sum(columns ** 2)
}
