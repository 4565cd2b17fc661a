# Meta-learning: initial weights from which a few gradient steps fit a task.

from nn import Linear

model Net[H] {
    l1: Linear[1, H]
    l2: Linear[H, H]
    l3: Linear[H, 1]

    fn forward[B](x: f32[B, 1]) -> f32[B, 1] = x |> l1 |> tanh |> l2 |> tanh |> l3
}

fn mse[B](net: Net, x: f32[B, 1], y: f32[B, 1]) -> f32 = mean((net(x) - y) ** 2)

## The inner loop: S gradient steps on one task.
fn adapt[S, B](net: Net, x: f32[B, 1], y: f32[B, 1], lr: f32) -> Net {
    var fast = net
    for _ in 0..S { fast -= lr * grad(mse)(fast, x, y) }
    fast
}

## The outer objective, averaged over tasks; its gradient goes through the gradients of `adapt`.
fn meta_loss[S, N, A, Q](net: Net, x: f32[N, A, 1], y: f32[N, A, 1],
                         xq: f32[N, Q, 1], yq: f32[N, Q, 1], lr: f32) -> f32 =
    mean([n] => mse(adapt[S](net, x[n], y[n], lr), xq[n], yq[n]))
