# LeNet with batch norm: convolutions, pooling, and state that a mut fn updates.

from nn import Conv, Linear, relu, max_pool, cross_entropy

model BatchNorm[C](momentum: f32 = 0.9, eps: f32 = 1e-5) {
    param gain: f32[C] = ones
    param bias: f32[C] = zeros
    state avg: f32[C] = zeros
    state var2: f32[C] = ones

    mut fn forward[B, H, W](x: f32[B, H, W, C], train: bool) -> f32[B, H, W, C] {
        let m = if train { mean[B, H, W](x) } else { avg }
        let v = if train { mean[B, H, W]((x - m) ** 2) } else { var2 }
        if train {
            avg = momentum * avg + (1.0 - momentum) * m
            var2 = momentum * var2 + (1.0 - momentum) * v
        }
        gain * (x - m) / sqrt(v + eps) + bias
    }
}

model LeNet[K] {
    c1: Conv[5, 1, 6]
    n1: BatchNorm[6]
    c2: Conv[5, 6, 16]
    n2: BatchNorm[16]
    f1: Linear[256, 120]
    f2: Linear[120, K]

    mut fn forward[B](img: f32[B, 28, 28, 1], train: bool) -> f32[B, K] =
        img
            |> c1 |> n1(train) |> relu |> max_pool[2]       # B, 12, 12, 6
            |> c2 |> n2(train) |> relu |> max_pool[2]       # B, 4, 4, 16
            |> reshape[B, 256]
            |> f1 |> relu |> f2
}

## The first component is differentiated; the updated model rides along.
fn loss[B](var net: LeNet, img: f32[B, 28, 28, 1], y: i32[B]) -> (f32, LeNet) {
    let logits = net(img, true)
    (cross_entropy(logits, y), net)
}

fn step[B](net: LeNet, img: f32[B, 28, 28, 1], y: i32[B], lr: f32) -> (f32, LeNet) {
    let ((l, net2), g) = value_and_grad(loss)(net, img, y)
    (l, net2 - lr * g)
}
