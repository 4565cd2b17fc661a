# A physics-informed net (Raissi, Perdikaris and Karniadakis, 2019): u with -u'' = f on [0, 1] and
# u(0) = u(1) = 0, from the equation alone.

from nn import Linear

model Net[H] {
    l1: Linear[1, H, f64](std = 3.0)
    l2: Linear[H, H, f64]
    l3: Linear[H, 1, f64]

    ## The factor keeps the boundary values.
    fn forward(x: f64) -> f64 = x * (1.0 - x) * (l3(tanh(l2(tanh(l1([x])))))[0])
}

fn u(x: f64, net: Net) -> f64 = net(x)

## f for u = sin(pi x) + sin(4 pi x) / 4.
fn force(x: f64) -> f64 = pi ** 2 * sin(pi * x) + 4.0 * pi ** 2 * sin(4.0 * pi * x)

fn exact(x: f64) -> f64 = sin(pi * x) + sin(4.0 * pi * x) / 4.0

## How far the equation is from true at each of many places.
fn residuals[N](net: Net, x: f64[N]) -> f64[N] = [n] => grad(grad(u))(x[n], net) + force(x[n])

fn values[N](net: Net, x: f64[N]) -> f64[N] = [n] => net(x[n])
fn exact_values[N](x: f64[N]) -> f64[N] = [n] => exact(x[n])
