struct State {
    pos: f64[2]
    speed: f64
}
struct Params {
    k: f64[2, 2]
    c: f64
}
fn move(s: State, p: Params) -> State = State(pos = s.pos + s.speed * (p.k @ s.pos), speed = s.speed * exp(p.c * s.pos[0]))
fn by(s: State, p: Params) -> Jacobian[State, Params] = jacobian(move, wrt = p)(s, p)
fn corner(s: State, p: Params) -> f64[2] = by(s, p).pos.c
fn cost(s: State, p: Params) -> f64 {
    let m = move(s, p)
    sum(m.pos ** 2) * m.speed
}
fn curve(s: State, p: Params) -> Jacobian[Params, Params] = hessian(cost, wrt = p)(s, p)
fn both(s: State, p: Params) -> f64 {
    let (by_s, by_p) = hessian(cost, wrt = (s, p))(s, p)
    let (one, other) = by_s.pos
    sum(one.speed) + sum(other.k)
}
