# A forced pendulum coupled to a Van der Pol oscillator, integrated by RK4 and held against E
# observations, 20 steps apart.

fn field(th: f64[6], s: f64[4], t: f64) -> f64[4] =
    [s[1],
     -th[0] * s[1] - th[1] * sin(s[0]) + th[2] * cos(th[3] * t) + th[5] * s[2],
     s[3],
     th[4] * (1.0 - s[2] * s[2]) * s[3] - s[2] + th[5] * s[0]]

fn rk4(th: f64[6], s: f64[4], t: f64, h: f64) -> f64[4] {
    let k1 = field(th, s, t)
    let k2 = field(th, s + 0.5 * h * k1, t + 0.5 * h)
    let k3 = field(th, s + 0.5 * h * k2, t + 0.5 * h)
    let k4 = field(th, s + h * k3, t + h)
    s + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
}

fn misfit[E](s0: f64[4], th: f64[6], obs: f64[E, 4], h: f64) -> f64 {
    var s = s0
    let seen = for e in 0..E {
        for k in 0..20 { s = rk4(th, s, h * f64(20 * e + k), h) }
        s
    }
    sum((seen - obs) ** 2)
}
