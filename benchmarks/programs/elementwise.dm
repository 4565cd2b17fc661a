# A chain of elementwise functions and its sum.

struct Line[N] {
    x: f32[N]
    a: f32
    b: f32
}

fn loss[N](p: Line[N]) -> f32 = sum(gelu(p.a * p.x + p.b) * sigmoid(p.x) + log(1.0 + exp(p.x)))
