# Schedules of the library at the steps 0 to T - 1, for comparison with PyTorch's and optax's.

import schedule

fn rates[T](at: i64[2]) -> f64[T, 12] = for t in 0..T { [
    schedule.step(t, 0.5, 7, 0.3), schedule.multi_step(t, 0.5, at, 0.3),
    schedule.exponential(t, 0.5, 0.93), schedule.polynomial(t, 0.5, 40, 0.1, 2.0),
    schedule.linear(t, 0.1, 0.7, 40), schedule.cosine(t, 0.5, 40, 0.1),
    schedule.cosine_restarts(t, 0.5, 9, last = 0.1), schedule.cosine_restarts(t, 0.5, 5, 2, 0.1),
    schedule.one_cycle(t, 0.5, 60), schedule.cyclic(t, 0.1, 0.5, 6, 9),
    schedule.cyclic(t, 0.1, 0.5, 6, 9, shrink = 0.5), schedule.warmup_cosine(t, 0.5, 10, 40, 0.1)
] }

fn falling[T, F: float](scores: F[T]) -> F[T] {
    var s = schedule.plateau_init[F](0.5)
    for score in scores {
        s = schedule.plateau(s, score, 0.3, 2, margin = 0.01, rest = 3, least = 0.02)
        s.rate
    }
}
