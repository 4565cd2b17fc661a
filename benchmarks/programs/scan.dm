# A long recurrence in every one of W places.

struct Cell[W] {
    w: f32[W]
    u: f32[W]
}

fn loss[T, W](p: Cell[W], x: f32[T, W]) -> f32 {
    var h: f32[W] = zeros
    let all = for now in x {
        h = tanh(p.w * h + p.u * now)
        h
    }
    mean(all * all)
}
