# nn.losses: what training makes small. A loss `L` is a mean over all but the classes; `L_terms`
# gives the parts it is the mean of, for other reductions: `sum(nn.mse_terms(x, y))`.

# ---- distances ----------------------------------------------------------------------------------

## (x - y)^2.
fn mse_terms[F: float, *S](x: F[*S], y: F[*S]) -> F[*S] = (x - y) ** 2

## Mean squared error.
fn mse[F: float, *S](x: F[*S], y: F[*S]) -> F = mean((x - y) ** 2)

## |x - y|, with derivative 0 where they are equal.
fn mae_terms[F: float, *S](x: F[*S], y: F[*S]) -> F[*S] = abs(x - y)

## Mean absolute error.
fn mae[F: float, *S](x: F[*S], y: F[*S]) -> F = mean(abs(x - y))

## d^2 / 2 for d = x - y up to `delta`, then delta * (|d| - delta / 2).
fn huber_terms[F: float, *S](x: F[*S], y: F[*S], delta: F = 1.0) -> F[*S] {
    let d = x - y
    where(abs(d) <= delta, 0.5 * d * d, delta * (abs(d) - 0.5 * delta))
}

## Quadratic up to `delta`, linear beyond (Huber, 1964).
fn huber[F: float, *S](x: F[*S], y: F[*S], delta: F = 1.0) -> F = mean(huber_terms(x, y, delta))

## log(cosh(x - y)), which overflows nowhere.
fn log_cosh_terms[F: float, *S](x: F[*S], y: F[*S]) -> F[*S] {
    let d = x - y
    d + softplus(-2.0 * d) - 0.6931471805599453
}

## The mean of log(cosh(x - y)): quadratic near 0, linear far away, smooth.
fn log_cosh[F: float, *S](x: F[*S], y: F[*S]) -> F = mean(log_cosh_terms(x, y))

# ---- labels -------------------------------------------------------------------------------------

## For each label the negative log-likelihood under softmax(logits), 0 where the label is `ignore`.
## `smoothing` moves that share of each label to all V classes evenly (Szegedy et al., 2016).
fn cross_entropy_terms[F: float, *S, V](logits: F[*S, V], y: i32[*S], smoothing: F = 0.0,
                                        ignore: i32 = -100) -> F[*S] {
    let kept = y != ignore
    let whole = logsumexp[-1](logits)
    let hit = whole - pick[-1](logits, where(kept, y, 0))
    let loss = if smoothing > 0.0 {
        (1.0 - smoothing) * hit + smoothing * (whole - mean[-1](logits))
    } else {
        hit
    }
    where(kept, loss, 0.0)
}

## The mean of `cross_entropy_terms` over the labels that are not `ignore`.
fn cross_entropy[F: float, *S, V](logits: F[*S, V], y: i32[*S], smoothing: F = 0.0,
                                  ignore: i32 = -100) -> F =
    sum(cross_entropy_terms(logits, y, smoothing, ignore)) / sum(F(y != ignore))

## `cross_entropy_terms` in which class v counts weights[v] times.
fn weighted_cross_entropy_terms[F: float, *S, V](logits: F[*S, V], y: i32[*S], weights: F[V],
                                                 smoothing: F = 0.0, ignore: i32 = -100) -> F[*S] {
    let kept = y != ignore
    let label = where(kept, y, 0)
    let loss = logsumexp[-1](logits)[..., _] - logits
    let hit = weights[label] * pick[-1](loss, label)
    let total = if smoothing > 0.0 {
        (1.0 - smoothing) * hit + smoothing * mean[-1](weights * loss)
    } else {
        hit
    }
    where(kept, total, 0.0)
}

## Cross-entropy in which class v counts weights[v] times: `weighted_cross_entropy_terms` added up, by
## the weights of the labels added up.
fn weighted_cross_entropy[F: float, *S, V](logits: F[*S, V], y: i32[*S], weights: F[V],
                                           smoothing: F = 0.0, ignore: i32 = -100) -> F {
    let kept = y != ignore
    let weight = where(kept, weights[where(kept, y, 0)], 0.0)
    sum(weighted_cross_entropy_terms(logits, y, weights, smoothing, ignore)) / sum(weight)
}

## The cross-entropy of softmax(logits) relative to the distributions p along the last axis.
fn soft_cross_entropy_terms[F: float, *S, V](logits: F[*S, V], p: F[*S, V]) -> F[*S] =
    sum[-1](p * (logsumexp[-1](logits)[..., _] - logits))

## The mean of `soft_cross_entropy_terms`.
fn soft_cross_entropy[F: float, *S, V](logits: F[*S, V], p: F[*S, V]) -> F =
    mean(soft_cross_entropy_terms(logits, p))

## For each y in [0, 1] the negative log-likelihood under sigmoid(logits), in which what speaks for 1
## counts `positive` times.
fn bce_with_logits_terms[F: float, *S](logits: F[*S], y: F[*S], positive: F = 1.0) -> F[*S] =
    positive * y * softplus(-logits) + (1.0 - y) * softplus(logits)

## The mean of `bce_with_logits_terms`, where nothing counts more than once.
fn bce_with_logits[F: float, *S](logits: F[*S], y: F[*S]) -> F =
    mean(softplus(logits) - y * logits)

## Binary cross-entropy where what is well classified counts less: -(1 - p)^focus * log(p) for the
## probability p of the right answer, times `alpha` for y = 1 and 1 - alpha for y = 0
## (Lin et al., 2017). y is 0 or 1.
fn focal_terms[F: float, *S](logits: F[*S], y: F[*S], focus: F = 2.0, alpha: F = 0.25) -> F[*S] {
    let side = (2.0 * y - 1.0) * logits
    let weight = alpha * y + (1.0 - alpha) * (1.0 - y)
    weight * sigmoid(-side) ** focus * softplus(-side)
}

## The mean of `focal_terms`.
fn focal[F: float, *S](logits: F[*S], y: F[*S], focus: F = 2.0, alpha: F = 0.25) -> F =
    mean(focal_terms(logits, y, focus, alpha))

## max(0, margin - y * score) for y = 1 or -1 (Cortes and Vapnik, 1995).
fn hinge_terms[F: float, *S](score: F[*S], y: F[*S], margin: F = 1.0) -> F[*S] =
    maximum(margin - y * score, 0.0)

## The mean hinge loss.
fn hinge[F: float, *S](score: F[*S], y: F[*S], margin: F = 1.0) -> F =
    mean(hinge_terms(score, y, margin))

## The squares of `hinge_terms`: smooth where those bend.
fn squared_hinge_terms[F: float, *S](score: F[*S], y: F[*S], margin: F = 1.0) -> F[*S] =
    hinge_terms(score, y, margin) ** 2

## The mean of squared hinge losses.
fn squared_hinge[F: float, *S](score: F[*S], y: F[*S], margin: F = 1.0) -> F =
    mean(squared_hinge_terms(score, y, margin))

## 1 for each label that has the largest logit, else 0.
fn accuracy_terms[F: float, *S, V](logits: F[*S, V], y: i32[*S]) -> F[*S] =
    F(argmax[-1](logits) == y)

## The fraction of labels that have the largest logit.
fn accuracy[F: float, *S, V](logits: F[*S, V], y: i32[*S]) -> F = mean(accuracy_terms(logits, y))

# ---- distributions ------------------------------------------------------------------------------

## The divergence sum(p * (log(p) - log_q)) along the last axis (Kullback and Leibler, 1951), with
## 0 * log(0) = 0.
fn kl_terms[F: float, *S, V](p: F[*S, V], log_q: F[*S, V]) -> F[*S] =
    sum[-1](where(p > 0.0, p * (log(p) - log_q), 0.0))

## The mean of `kl_terms`.
fn kl[F: float, *S, V](p: F[*S, V], log_q: F[*S, V]) -> F = mean(kl_terms(p, log_q))

## The divergence of a normal with this mean and log-variance from the standard normal: what a
## variational autoencoder pays for its code (Kingma and Welling, 2014).
fn kl_normal_terms[F: float, *S](mu: F[*S], log_variance: F[*S]) -> F[*S] =
    0.5 * (exp(log_variance) + mu * mu - 1.0 - log_variance)

## The mean of `kl_normal_terms`.
fn kl_normal[F: float, *S](mu: F[*S], log_variance: F[*S]) -> F =
    mean(kl_normal_terms(mu, log_variance))

## Negative log-likelihood of y under normals of these means and log-variances, without log(2 pi)/2.
fn gaussian_nll_terms[F: float, *S](mu: F[*S], log_variance: F[*S], y: F[*S]) -> F[*S] =
    0.5 * (log_variance + (y - mu) ** 2 * exp(-log_variance))

## The mean of `gaussian_nll_terms`.
fn gaussian_nll[F: float, *S](mu: F[*S], log_variance: F[*S], y: F[*S]) -> F =
    mean(gaussian_nll_terms(mu, log_variance, y))

## Negative log-likelihood of counts y under Poisson laws of these log-rates, without log(y!).
fn poisson_nll_terms[F: float, *S](log_rate: F[*S], y: F[*S]) -> F[*S] =
    exp(log_rate) - y * log_rate

## The mean of `poisson_nll_terms`.
fn poisson_nll[F: float, *S](log_rate: F[*S], y: F[*S]) -> F = mean(poisson_nll_terms(log_rate, y))

# ---- embeddings: vectors along the last axis ----------------------------------------------------

## The cosine of the angle between vectors; the product of their lengths counts as `eps` at least.
fn cosine_similarity[F: float, *S, D](x: F[*S, D], y: F[*S, D], eps: F = 1e-8) -> F[*S] =
    sum[-1](x * y) / sqrt(maximum(sum[-1](x * x) * sum[-1](y * y), eps * eps))

## 1 - cosine for pairs of label 1, max(0, cosine - margin) for those of label -1.
fn cosine_loss_terms[F: float, *S, D](x: F[*S, D], y: F[*S, D], label: F[*S], margin: F = 0.0)
        -> F[*S] {
    let c = cosine_similarity(x, y)
    where(label > 0.0, 1.0 - c, maximum(c - margin, 0.0))
}

## The mean of `cosine_loss_terms`.
fn cosine_loss[F: float, *S, D](x: F[*S, D], y: F[*S, D], label: F[*S], margin: F = 0.0) -> F =
    mean(cosine_loss_terms(x, y, label, margin))

## d^2 for pairs that belong together (1), max(0, margin - d)^2 for the others (0), halved; d is the
## distance (Hadsell et al., 2006).
fn contrastive_terms[F: float, *S, D](x: F[*S, D], y: F[*S, D], label: F[*S], margin: F = 1.0)
        -> F[*S] {
    let square = sum[-1]((x - y) ** 2)
    let apart = maximum(margin - where(square > 0.0, sqrt(square), 0.0), 0.0)
    0.5 * (label * square + (1.0 - label) * apart ** 2)
}

## The mean of `contrastive_terms`.
fn contrastive[F: float, *S, D](x: F[*S, D], y: F[*S, D], label: F[*S], margin: F = 1.0) -> F =
    mean(contrastive_terms(x, y, label, margin))

## max(0, d(anchor, near) - d(anchor, far) + margin) for distances d (Schroff et al., 2015).
fn triplet_terms[F: float, *S, D](anchor: F[*S, D], near: F[*S, D], far: F[*S, D], margin: F = 1.0)
        -> F[*S] {
    let a = sum[-1]((anchor - near) ** 2)
    let b = sum[-1]((anchor - far) ** 2)
    let d = where(a > 0.0, sqrt(a), 0.0) - where(b > 0.0, sqrt(b), 0.0)
    maximum(d + margin, 0.0)
}

## The mean of `triplet_terms`.
fn triplet[F: float, *S, D](anchor: F[*S, D], near: F[*S, D], far: F[*S, D], margin: F = 1.0) -> F =
    mean(triplet_terms(anchor, near, far, margin))

## Each x[b] against all y: cross-entropy of the cosines over a temperature, with y[b] the right one
## (van den Oord et al., 2018), and the same of each y[b]; half their sum (Radford et al., 2021).
fn info_nce_terms[F: float, B, D](x: F[B, D], y: F[B, D], temperature: F = 0.07) -> F[B] {
    let u = x / sqrt(sum[-1](x * x))[:, _]
    let v = y / sqrt(sum[-1](y * y))[:, _]
    let s = u @ v.T / temperature
    let right = [b in 0..B] => s[b, b]
    0.5 * (logsumexp[1](s) + logsumexp[0](s)) - right
}

## The mean of `info_nce_terms`.
fn info_nce[F: float, B, D](x: F[B, D], y: F[B, D], temperature: F = 0.07) -> F =
    mean(info_nce_terms(x, y, temperature))

# ---- sequences ----------------------------------------------------------------------------------

## For each sequence the negative log of the probability of its labels, summed over all alignments
## with T frames (Graves et al., 2006). Of sequence b the first frames[b] rows of logits and the
## first labels[b] entries of y count; `blank` is the class that separates labels.
fn ctc_terms[F: float, B, T, V, L](logits: F[B, T, V], y: i32[B, L], frames: i32[B],
                                   labels: i32[B], blank: i32 = 0) -> F[B] requires T >= 1, L >= 1 {
    let log_p = logits - logsumexp[-1](logits)[..., _]
    # States: a blank, label 0, a blank, label 1, …, a blank.
    let class = [b, s in 0..2 * L + 1] =>
        if s % 2 == 1 { y[b, minimum(s // 2, L - 1)] } else { blank }
    let skips = [b in 0..B, s in 0..2 * L + 1] =>
        s >= 2 and s % 2 == 1 and class[b, s] != class[b, maximum(s - 2, 0)]
    var at = [b in 0..B, s in 0..2 * L + 1] =>
        if s < 2 { log_p[b, 0, class[b, s]] } else { -1e30 }
    for t in 1..T {
        let next = [b in 0..B, s in 0..2 * L + 1] => {
            let stay = at[b, s]
            let step = if s >= 1 { at[b, maximum(s - 1, 0)] } else { -1e30 }
            let skip = if skips[b, s] { at[b, maximum(s - 2, 0)] } else { -1e30 }
            let top = stop_gradient(maximum(stay, maximum(step, skip)))
            top + log(exp(stay - top) + exp(step - top) + exp(skip - top)) + log_p[b, t, class[b, s]]
        }
        at = [b, s] => if t < frames[b] { next[b, s] } else { at[b, s] }
    }
    [b in 0..B] => {
        let last = at[b, 2 * labels[b]]
        let before = if labels[b] > 0 { at[b, maximum(2 * labels[b] - 1, 0)] } else { -1e30 }
        let top = stop_gradient(maximum(last, before))
        -(top + log(exp(last - top) + exp(before - top)))
    }
}

## The mean of `ctc_terms` over the number of labels of each.
fn ctc[F: float, B, T, V, L](logits: F[B, T, V], y: i32[B, L], frames: i32[B], labels: i32[B],
                             blank: i32 = 0) -> F requires T >= 1, L >= 1 =
    mean(ctc_terms(logits, y, frames, labels, blank) / F(maximum(labels, 1)))
