# nn.recurrent: layers that go along sequences x[B, T, I] and carry a state. `forward` starts from
# zeros and gives the output at every step; `run` takes the state and the lengths of sequences, beyond
# which the state stays and outputs are 0, and gives the last state too; `step` takes one step.
# `backwards` goes from the end of each sequence to its start.

## h' = tanh(x @ wx + h @ wh + b) (Elman, 1990).
model RNN[I, H, F: float = f32] {
    param wx: F[I, H] = normal(key) / sqrt(I)
    param wh: F[H, H] = normal(key) / sqrt(H)
    param b: F[H] = zeros

    fn step[B](x: F[B, I], h: F[B, H]) -> F[B, H] = tanh(x @ wx + h @ wh + b)

    fn run[B, T](x: F[B, T, I], start: F[B, H], lengths: i32[B], backwards: bool = false)
            -> (F[B, T, H], F[B, H]) {
        let inputs = x @ wx + b
        var h = start
        let hs = for i in 0..T {
            let t = if backwards { T - 1 - i } else { i }
            let next = tanh(inputs[:, t] + h @ wh)
            h = where((t < lengths)[:, _], next, h)
            where((t < lengths)[:, _], next, 0.0)
        }
        ([n, t in 0..T] => hs[if backwards { T - 1 - t } else { t }, n], h)
    }

    fn forward[B, T](x: F[B, T, I]) -> F[B, T, H] {
        let (out, _) = run(x, zeros, [_ in 0..B] => T)
        out
    }
}

## Gates i, f, g, o, side by side in wx, wh and b: c' = sigmoid(f) * c + sigmoid(i) * tanh(g),
## h' = sigmoid(o) * tanh(c') (Hochreiter and Schmidhuber, 1997; Gers et al., 2000).
model LSTM[I, H, F: float = f32] {
    param wx: F[I, 4 * H] = normal(key) / sqrt(I)
    param wh: F[H, 4 * H] = normal(key) / sqrt(H)
    param b: F[4 * H] = zeros

    fn step[B](x: F[B, I], h: F[B, H], c: F[B, H]) -> (F[B, H], F[B, H]) =
        gates(x @ wx + b + h @ wh, c)

    fn gates[B](z: F[B, 4 * H], c: F[B, H]) -> (F[B, H], F[B, H]) {
        let kept = sigmoid(z[:, H : 2 * H]) * c
        let next = kept + sigmoid(z[:, : H]) * tanh(z[:, 2 * H : 3 * H])
        (sigmoid(z[:, 3 * H :]) * tanh(next), next)
    }

    fn run[B, T](x: F[B, T, I], h0: F[B, H], c0: F[B, H], lengths: i32[B], backwards: bool = false)
            -> (F[B, T, H], F[B, H], F[B, H]) {
        let inputs = x @ wx + b
        var h = h0
        var c = c0
        let hs = for i in 0..T {
            let t = if backwards { T - 1 - i } else { i }
            let (h2, c2) = gates(inputs[:, t] + h @ wh, c)
            let inside = (t < lengths)[:, _]
            h = where(inside, h2, h)
            c = where(inside, c2, c)
            where(inside, h2, 0.0)
        }
        ([n, t in 0..T] => hs[if backwards { T - 1 - t } else { t }, n], h, c)
    }

    fn forward[B, T](x: F[B, T, I]) -> F[B, T, H] {
        let (out, _, _) = run(x, zeros, zeros, [_ in 0..B] => T)
        out
    }
}

## Gates r, z, n, side by side in wx, wh and their biases: with r and z under a sigmoid,
## h' = (1 - z) * tanh(n of x + r * n of h) + z * h (Cho et al., 2014).
model GRU[I, H, F: float = f32] {
    param wx: F[I, 3 * H] = normal(key) / sqrt(I)
    param wh: F[H, 3 * H] = normal(key) / sqrt(H)
    param bx: F[3 * H] = zeros
    param bh: F[3 * H] = zeros

    fn step[B](x: F[B, I], h: F[B, H]) -> F[B, H] = gates(x @ wx + bx, h)

    fn gates[B](u: F[B, 3 * H], h: F[B, H]) -> F[B, H] {
        let v = h @ wh + bh
        let r = sigmoid(u[:, : H] + v[:, : H])
        let z = sigmoid(u[:, H : 2 * H] + v[:, H : 2 * H])
        let n = tanh(u[:, 2 * H :] + r * v[:, 2 * H :])
        (1.0 - z) * n + z * h
    }

    fn run[B, T](x: F[B, T, I], start: F[B, H], lengths: i32[B], backwards: bool = false)
            -> (F[B, T, H], F[B, H]) {
        let inputs = x @ wx + bx
        var h = start
        let hs = for i in 0..T {
            let t = if backwards { T - 1 - i } else { i }
            let next = gates(inputs[:, t], h)
            let inside = (t < lengths)[:, _]
            h = where(inside, next, h)
            where(inside, next, 0.0)
        }
        ([n, t in 0..T] => hs[if backwards { T - 1 - t } else { t }, n], h)
    }

    fn forward[B, T](x: F[B, T, I]) -> F[B, T, H] {
        let (out, _) = run(x, zeros, [_ in 0..B] => T)
        out
    }
}

## Two RNNs, one in each direction, with their outputs side by side (Schuster and Paliwal, 1997).
model BiRNN[I, H, F: float = f32] {
    ahead: RNN[I, H, F]
    back: RNN[I, H, F]

    fn run[B, T](x: F[B, T, I], lengths: i32[B]) -> F[B, T, 2 * H] {
        let (a, _) = ahead.run(x, zeros, lengths)
        let (b, _) = back.run(x, zeros, lengths, backwards = true)
        concat[2](a, b)
    }

    fn forward[B, T](x: F[B, T, I]) -> F[B, T, 2 * H] = run(x, [_ in 0..B] => T)
}

## Two GRUs, one in each direction, with their outputs side by side.
model BiGRU[I, H, F: float = f32] {
    ahead: GRU[I, H, F]
    back: GRU[I, H, F]

    fn run[B, T](x: F[B, T, I], lengths: i32[B]) -> F[B, T, 2 * H] {
        let (a, _) = ahead.run(x, zeros, lengths)
        let (b, _) = back.run(x, zeros, lengths, backwards = true)
        concat[2](a, b)
    }

    fn forward[B, T](x: F[B, T, I]) -> F[B, T, 2 * H] = run(x, [_ in 0..B] => T)
}

## Two LSTMs, one in each direction, with their outputs side by side.
model BiLSTM[I, H, F: float = f32] {
    ahead: LSTM[I, H, F]
    back: LSTM[I, H, F]

    fn run[B, T](x: F[B, T, I], lengths: i32[B]) -> F[B, T, 2 * H] {
        let (a, _, _) = ahead.run(x, zeros, zeros, lengths)
        let (b, _, _) = back.run(x, zeros, zeros, lengths, backwards = true)
        concat[2](a, b)
    }

    fn forward[B, T](x: F[B, T, I]) -> F[B, T, 2 * H] = run(x, [_ in 0..B] => T)
}
