# Layer norm and a perceptron with one hidden layer, beside which its input goes on.

from nn import LayerNorm, Linear

model Block[D, F] {
    norm: LayerNorm[D]
    up: Linear[D, F]
    down: Linear[F, D]

    fn forward[N](x: f32[N, D]) -> f32[N, D] = x + (x |> norm |> up |> gelu |> down)
}

fn loss[N](net: Block, x: f32[N, net.D]) -> f32 = mean(net(x) ** 2)
