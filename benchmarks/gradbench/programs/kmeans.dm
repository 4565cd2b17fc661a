# The cost of a clustering, and the step of Newton's method whose Hessian is diagonal.

## Each point counts its squared distance from the nearest centre.
fn cost[N, K, D](centres: f64[K, D], x: f64[N, D]) -> f64 =
    sum([n] => min([k] => sum[d]((x[n, d] - centres[k, d]) ** 2)))

fn step[N, K, D](centres: f64[K, D], x: f64[N, D]) -> f64[K, D] {
    let one: f64[K, D] = ones
    let (slope, curvature) = jvp(fn(c) => grad(cost)(c, x), along = one)(centres)
    slope / curvature
}
