# What `dmc.torch` and `dmc.jax` are held against their hosts with.
from nn import Attention, BatchNorm, BiGRU, BiLSTM, BiRNN, Block, Conv1, Conv2, ConvTranspose1, ConvTranspose2,
    DecoderBlock, Embed, GroupedConv1, GroupedConv2, GRU, LayerNorm, Linear, LSTM, PReLU, RNN, SpectralLinear

fn mix[N](x: f64[N], k: i64, s: f64) -> (f64[N], f64) = (sin(s * x) * x[k], sum(x))

fn energy[N](x: f64[N], s: f64) -> f64 = sum(sin(s * x) * x[0])

struct Same { x: f64 }

fn same(x: f64) -> Same = Same(x = x)

model Mlp {
    l1: Linear[3, 5, f64]
    l2: Linear[5, 2, f64]

    fn forward[B](x: f64[B, 3]) -> f64[B, 2] = l2(tanh(l1(x)))
}

model Zoo {
    embed: Embed[7, 4, f64]
    blocks: 2 * Linear[4, 4, f64]
    norm: LayerNorm[4, f64]
    attention: Attention[4, 2, 2, f64]
    plain: Attention[4, 2, 2, f64]
    rnn: RNN[4, 4, f64]
    lstm: LSTM[4, 4, f64]
    both: BiLSTM[4, 2, f64]
    gru: GRU[4, 4, f64]
    sequence: Conv1[3, 1, 1, 4, 4, f64]
    param scale: f64[4] = ones

    fn forward[B, T](ids: i32[B, T]) -> f64[B, T, 4] requires T >= 1 {
        var h = embed(ids)
        for block in blocks { h = tanh(block(h)) }
        let mixed = plain(attention(norm(h)))
        sequence(gru(both(lstm(rnn(mixed))))) * scale
    }
}

model Images {
    first: Conv2[3, 2, 1, 3, 4, f64]
    bn: BatchNorm[4, f64]
    grouped: GroupedConv2[3, 1, 1, 2, 4, 4, f64]
    up: ConvTranspose2[4, 2, 1, 4, 2, f64]

    fn forward[B, H, W](x: f64[B, H, W, 3]) -> f64[B, 2 * ((H - 1) // 2 + 1), 2 * ((W - 1) // 2 + 1), 2]
            requires H >= 1, W >= 1 {
        up(grouped(bn.infer(first(x))))
    }
}

model Others {
    grouped: GroupedConv1[3, 1, 1, 2, 4, 4, f64]
    up: ConvTranspose1[2, 2, 0, 4, 4, f64]
    slope: PReLU[4, f64]
    block: Block[4, 2, 6, f64]
    decoder: DecoderBlock[4, 2, 6, f64]
    both: BiGRU[4, 3, f64]
    rnn: BiRNN[6, 3, f64]
    spectral: SpectralLinear[6, 2, f64]

    mut fn run[B, T](x: f64[B, T, 4]) -> f64[B, 2 * T, 2] requires T >= 1 {
        let h = slope(up(grouped(x)))
        spectral(rnn(both(decoder(h, block(x)))))
    }
}

## One call of the model as it is.
fn once[B, T](net: Others, x: f64[B, T, 4]) -> f64[B, 2 * T, 2] requires T >= 1 {
    var now = net
    now.run(x)
}
