# Logistic regression with labels -1 and 1.

struct Weights[D] {
    w: f32[D]
    b: f32
}

fn loss[N, D](p: Weights[D], x: f32[N, D], y: f32[N]) -> f32 = mean(softplus(-y * (x @ p.w + p.b)))
