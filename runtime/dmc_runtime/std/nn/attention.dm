# nn.attention: attention over sequences (Vaswani et al., 2017). Queries are q[B, H, T, K], keys and
# values k[B, G, U, K] and v[B, G, U, V]: H heads in G groups that share keys and values
# (Ainslie et al., 2023). Query t sees key u when a predicate says so; a query that sees none gives NaN.

# ---- functions ----------------------------------------------------------------------------------

## softmax(q k^T / sqrt(K) + bias) v, for a bias of each head, which may be -inf (`alibi` is one).
fn attend_biased[F: float, B, H, G, T, U, K, V](q: F[B, H, T, K], k: F[B, G, U, K],
                                                v: F[B, G, U, V], bias: F[H, T, U])
        -> F[B, H, T, V] requires G >= 1, H % G == 0 {
    let qs = reshape[B, G, H / G, T, K](q)
    let extra = reshape[G, H / G, T, U](bias)
    let scores = [b, g, r, t, u] =>
        sum[i](qs[b, g, r, t, i] * k[b, g, u, i]) / sqrt(F(K)) + extra[g, r, t, u]
    _mixed(scores, v)
}

## Every query sees every key.
fn attend[F: float, B, H, G, T, U, K, V](q: F[B, H, T, K], k: F[B, G, U, K], v: F[B, G, U, V])
        -> F[B, H, T, V] requires G >= 1, H % G == 0 {
    let qs = reshape[B, G, H / G, T, K](q)
    let scores = [b, g, r, t, u] => sum[i](qs[b, g, r, t, i] * k[b, g, u, i]) / sqrt(F(K))
    _mixed(scores, v)
}

## Query t sees the keys up to t + offset: offset = 0 where queries and keys are of the same places,
## and the number of earlier keys where those of a cache stand before them.
fn attend_causal[F: float, B, H, G, T, U, K, V](q: F[B, H, T, K], k: F[B, G, U, K],
                                                v: F[B, G, U, V], offset: i64 = 0)
        -> F[B, H, T, V] requires G >= 1, H % G == 0 {
    let qs = reshape[B, G, H / G, T, K](q)
    let scores = [b, g, r, t, u] =>
        if u <= t + offset {
            sum[i](qs[b, g, r, t, i] * k[b, g, u, i]) / sqrt(F(K))
        } else {
            -inf
        }
    _mixed(scores, v)
}

## Of sequence b only the keys u with seen[b, u] are seen: the words, not the padding.
fn attend_seen[F: float, B, H, G, T, U, K, V](q: F[B, H, T, K], k: F[B, G, U, K],
                                              v: F[B, G, U, V], seen: bool[B, U])
        -> F[B, H, T, V] requires G >= 1, H % G == 0 {
    let qs = reshape[B, G, H / G, T, K](q)
    let scores = [b, g, r, t, u] =>
        if seen[b, u] { sum[i](qs[b, g, r, t, i] * k[b, g, u, i]) / sqrt(F(K)) } else { -inf }
    _mixed(scores, v)
}

fn _mixed[F: float, B, G, R, T, U, V](scores: F[B, G, R, T, U], v: F[B, G, U, V])
        -> F[B, G * R, T, V] {
    let weights = softmax[-1](scores)
    let out = [b, g, r, t, i] => sum[u](weights[b, g, r, t, u] * v[b, g, u, i])
    reshape[B, G * R, T, V](out)
}

## Biases that fall with distance, by 2^(-8 h / H) a place in head h = 1 … H, and -inf for keys that
## come later (Press et al., 2022). `offset` as for `attend_causal`.
fn alibi[H, T, U, F: float = f32](offset: i64 = 0) -> F[H, T, U] =
    [h in 0..H, t in 0..T, u in 0..U] =>
        if u <= t + offset { -(2.0 ** (-8.0 * F(h + 1) / F(H))) * F(t + offset - u) } else { -inf }

## Positions as angles: elements i and i + K // 2 of row t are turned by
## (start + t) / base^(2 i / K) (Su et al., 2021); of an odd K the last stays.
fn rotary[F: float, *S, T, K](x: F[*S, T, K], start: i64 = 0, base: F = 10000.0) -> F[*S, T, K] {
    let angle = [t in 0..T, i in 0..K // 2] => F(start + t) * base ** (-2.0 * F(i) / F(K))
    let a = x[..., : K // 2]
    let b = x[..., K // 2 : 2 * (K // 2)]
    let turned = concat[-1](a * cos(angle) - b * sin(angle), b * cos(angle) + a * sin(angle))
    concat[-1](turned, x[..., 2 * (K // 2) :])
}

## Positions as waves to add to embeddings: sin(t / 10000^(2 i / D)) at 2 i, the cosine at 2 i + 1
## (Vaswani et al., 2017).
fn sinusoidal[T, D, F: float = f32]() -> F[T, D] =
    [t in 0..T, d in 0..D] => {
        let angle = F(t) * 10000.0 ** (-F(2 * (d // 2)) / F(D))
        if d % 2 == 0 { sin(angle) } else { cos(angle) }
    }

# ---- layers -------------------------------------------------------------------------------------

## The keys and values of up to U places, of which the first `length` are filled.
struct KVCache[B, G, U, K, F: float] {
    k: F[B, G, U, K]
    v: F[B, G, U, K]
    length: i64
}

## Attention with H heads in G groups (G = H: every head its own keys; Ainslie et al., 2023) over
## vectors of D numbers (Vaswani et al., 2017). `forward` attends to all places, `causal` to those up
## to each, `masked` to those that are `seen`, `cross` to places of `memory`, and `next` takes one place
## more and a cache of those before. With `turned`, positions enter by `rotary`. Keys have no bias: without `turned` it would add the
## same to all scores of a query, which the softmax does not see.
model Attention[D, H, G, F: float = f32](turned: bool = false)
        requires H >= 1, G >= 1, D % H == 0, H % G == 0 {
    param wq: F[D, D] = normal(key) / sqrt(D)
    param wk: F[D, G * (D / H)] = normal(key) / sqrt(D)
    param wv: F[D, G * (D / H)] = normal(key) / sqrt(D)
    param wo: F[D, D] = normal(key) / sqrt(D)
    param bq: F[D] = zeros
    param bv: F[G * (D / H)] = zeros
    param bo: F[D] = zeros

    fn queries[B, T](x: F[B, T, D], start: i64 = 0) -> F[B, H, T, D / H] {
        let q = reshape[B, T, H, D / H](x @ wq + bq)
        let heads = [b, h, t, i] => q[b, t, h, i]
        if turned { rotary(heads, start) } else { heads }
    }

    fn keys[B, T](x: F[B, T, D], start: i64 = 0) -> F[B, G, T, D / H] {
        let k = reshape[B, T, G, D / H](x @ wk)
        let heads = [b, g, t, i] => k[b, t, g, i]
        if turned { rotary(heads, start) } else { heads }
    }

    fn values[B, T](x: F[B, T, D]) -> F[B, G, T, D / H] {
        let v = reshape[B, T, G, D / H](x @ wv + bv)
        [b, g, t, i] => v[b, t, g, i]
    }

    fn joined[B, T](heads: F[B, H, T, D / H]) -> F[B, T, D] {
        let rows = [b, t, h, i] => heads[b, h, t, i]
        reshape[B, T, D](rows) @ wo + bo
    }

    fn forward[B, T](x: F[B, T, D]) -> F[B, T, D] =
        joined(attend(queries(x), keys(x), values(x)))

    fn causal[B, T](x: F[B, T, D]) -> F[B, T, D] =
        joined(attend_causal(queries(x), keys(x), values(x)))

    fn masked[B, T](x: F[B, T, D], seen: bool[B, T]) -> F[B, T, D] =
        joined(attend_seen(queries(x), keys(x), values(x), seen))

    fn cross[B, T, U](x: F[B, T, D], memory: F[B, U, D]) -> F[B, T, D] =
        joined(attend(queries(x), keys(memory), values(memory)))

    fn next[B, U](x: F[B, D], cache: KVCache[B, G, U, D / H, F])
            -> (F[B, D], KVCache[B, G, U, D / H, F]) {
        let row = reshape[B, 1, D](x)
        let n = cache.length
        let new_k = keys(row, n)
        let new_v = values(row)
        let k = [b, g, u, i] => if u == n { new_k[b, g, 0, i] } else { cache.k[b, g, u, i] }
        let v = [b, g, u, i] => if u == n { new_v[b, g, 0, i] } else { cache.v[b, g, u, i] }
        let out = joined(attend_causal(queries(row, n), k, v, offset = n))
        (out[:, 0], KVCache(k = k, v = v, length = n + 1))
    }
}
