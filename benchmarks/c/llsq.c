// The misfit of a polynomial and its gradient in the coefficients. `error` has a number a place.
void llsq(long n, long m, const double *x, const double *t, double *error, double *gradient,
          double *out)
{
    double misfit = 0;
    #pragma omp parallel for schedule(static) reduction(+ : misfit)
    for (long i = 0; i < n; i++) {
        double value = 0;
        for (long j = m - 1; j >= 0; j--)
            value = value * t[i] + x[j];
        error[i] = (t[i] > 0) - (t[i] < 0) - value;
        misfit += error[i] * error[i];
    }
    for (long j = 0; j < m; j++)
        gradient[j] = 0;
    #pragma omp parallel for schedule(static) reduction(- : gradient[:m])
    for (long i = 0; i < n; i++) {
        double term = error[i];
        for (long j = 0; j < m; j++) {
            gradient[j] -= term;
            term *= t[i];
        }
    }
    out[0] = 0.5 * misfit;
}
