# Activations and losses of the library, in groups, for comparison with PyTorch's.

import nn
from nn import PReLU

fn elementwise[N](x: f64[N]) -> f64[21, N] = [
    nn.relu(x), nn.relu6(x), nn.leaky_relu(x, 0.2), nn.elu(x, 0.7), nn.selu(x), nn.celu(x, 0.7),
    nn.gelu_erf(x), nn.silu(x), nn.mish(x), nn.log_sigmoid(x), nn.softsign(x), nn.tanh_shrink(x),
    nn.soft_shrink(x, 0.3), nn.hard_shrink(x, 0.3), nn.hard_sigmoid(x), nn.hard_tanh(x),
    nn.hard_silu(x), gelu(x), sigmoid(x), softplus(x), tanh(x)
]

fn slopes[N](x: f64[N], along: f64[N]) -> f64[21, N] {
    let (_, slope) = jvp(elementwise, along = along)(x)
    slope
}

fn curvatures[N](x: f64[N], along: f64[N]) -> f64[21, N] {
    let (_, curvature) = jvp(fn(at: f64[N]) => slopes(at, along), along = along)(x)
    curvature
}

fn along_axis[B](x: f64[B, 6], w: f64[B, 33]) -> f64 {
    let weights = concat[1](softmax[-1](x), nn.log_softmax(x), nn.sparsemax(x))
    let gates = concat[1](nn.glu(x), nn.reglu(x), nn.geglu(x), nn.swiglu(x), nn.bilinear_glu(x))
    sum(w * concat[1](weights, gates))
}

fn prelu[B, D](layer: PReLU[D, f64], x: f64[B, D], w: f64[B, D]) -> f64 = sum(w * layer(x))

fn of_pairs[B, D](x: f64[B, D], y: f64[B, D]) -> f64[12] = [
    nn.mse(x, y), nn.mae(x, y), nn.huber(x, y, 0.7), nn.log_cosh(x, y), sum(nn.mse_terms(x, y)),
    nn.bce_with_logits(x, sigmoid(y)), nn.gaussian_nll(x, y, x * y), nn.poisson_nll(x, exp(y)),
    nn.kl(softmax[-1](y), nn.log_softmax(x)), nn.soft_cross_entropy(x, softmax[-1](y)),
    mean(nn.cosine_similarity(x, y)), nn.kl_normal(x, y)
]

fn sum_of_pairs[B, D](x: f64[B, D], y: f64[B, D], w: f64[12]) -> f64 = sum(w * of_pairs(x, y))

## t is 0 or 1 for each element, side 1 or -1 for each row.
fn of_labels[B, V](x: f64[B, V], y: i32[B], weights: f64[V], t: f64[B, V], side: f64[B])
        -> f64[13] = [
    nn.cross_entropy(x, y), nn.cross_entropy(x, y, smoothing = 0.1),
    nn.cross_entropy(x, y, ignore = 2), sum(nn.cross_entropy_terms(x, y, 0.1, 2)),
    nn.weighted_cross_entropy(x, y, weights, 0.1, 2), nn.focal(x, t),
    nn.hinge(x[:, 0], side), nn.squared_hinge(x[:, 0], side),
    sum(nn.bce_with_logits_terms(x, t, 2.0)), nn.weighted_cross_entropy(x, y, weights),
    sum(nn.weighted_cross_entropy_terms(x, y, weights, 0.1, 2)),
    sum(side * nn.squared_hinge_terms(x[:, 0], side)), sum(side * nn.accuracy_terms(x, y))
]

fn sum_of_labels[B, V](x: f64[B, V], y: i32[B], weights: f64[V], t: f64[B, V], side: f64[B],
                       w: f64[13]) -> f64 = sum(w * of_labels(x, y, weights, t, side))

fn of_vectors[B, D](x: f64[B, D], y: f64[B, D], z: f64[B, D], side: f64[B]) -> f64[8] = [
    nn.cosine_loss(x, y, side, 0.1), nn.contrastive(x, y, 0.5 + 0.5 * side, 2.0),
    nn.triplet(x, y, z), nn.info_nce(x, y, 0.5),
    sum(side * nn.cosine_loss_terms(x, y, side, 0.1)),
    sum(side * nn.contrastive_terms(x, y, 0.5 + 0.5 * side, 2.0)),
    sum(side * nn.triplet_terms(x, y, z)), sum(side * nn.info_nce_terms(x, y, 0.5))
]

fn sum_of_vectors[B, D](x: f64[B, D], y: f64[B, D], z: f64[B, D], side: f64[B], w: f64[8]) -> f64 =
    sum(w * of_vectors(x, y, z, side))

fn ctc[B, T, V, L](x: f64[B, T, V], y: i32[B, L], frames: i32[B], labels: i32[B]) -> f64
    requires T >= 1, L >= 1 =
    nn.ctc(x, y, frames, labels)
