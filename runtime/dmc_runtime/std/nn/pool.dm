# nn.pool: neighbourhoods of channels-last images made one.

## The maximum of each P by P window of channels-last images.
fn max_pool[P, F: float, B, H, W, C](x: F[B, H, W, C]) -> F[B, H / P, W / P, C]
    requires H % P == 0, W % P == 0
    = [n, r in 0..H / P, c in 0..W / P, k] => max[i in 0..P, j in 0..P](x[n, P * r + i, P * c + j, k])
