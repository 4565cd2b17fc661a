# The cost of a clustering: each point counts its distance from the nearest centre.

fn cost[N, K, D](centres: f64[K, D], x: f64[N, D]) -> f64 =
    sum([n] => min([k] => sum[d]((x[n, d] - centres[k, d]) ** 2)))
