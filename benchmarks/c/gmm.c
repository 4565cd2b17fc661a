// The likelihood of a Gaussian mixture with a Wishart prior (gamma = 1, m = 0) and its gradient,
// but for a constant. The strict lower triangles are packed by columns behind the log-diagonals.
#include <math.h>
#include <stdlib.h>
#include <string.h>

void gmm(long n, long d, long k, const double *alpha, const double *mu, const double *icf,
         const double *x, double *g_alpha, double *g_mu, double *g_icf, double *out)
{
    long size = d * (d + 1) / 2;
    double *q = malloc(sizeof(double) * k * d), *sums = calloc(k, sizeof(double)), value = 0;
    memset(g_alpha, 0, sizeof(double) * k);
    memset(g_mu, 0, sizeof(double) * k * d);
    memset(g_icf, 0, sizeof(double) * k * size);
    for (long j = 0; j < k; j++)
        for (long i = 0; i < d; i++) {
            q[j * d + i] = exp(icf[j * size + i]);
            sums[j] += icf[j * size + i];
        }
    #pragma omp parallel reduction(+ : value)
    {
        double *own = calloc(k * (1 + d + size), sizeof(double));
        double *own_mu = own + k, *own_icf = own_mu + k * d;
        double *away = malloc(sizeof(double) * k * d), *z = malloc(sizeof(double) * k * d);
        double *inner = malloc(sizeof(double) * k), *back = malloc(sizeof(double) * d);
        #pragma omp for schedule(static)
        for (long p = 0; p < n; p++) {
            double most = -INFINITY, total = 0;
            for (long j = 0; j < k; j++) {
                double *a = away + j * d, *y = z + j * d, squares = 0;
                for (long i = 0; i < d; i++) {
                    a[i] = x[p * d + i] - mu[j * d + i];
                    y[i] = q[j * d + i] * a[i];
                }
                const double *column = icf + j * size + d;
                for (long c = 0; c < d; c++) {
                    for (long r = c + 1; r < d; r++)
                        y[r] += column[r - c - 1] * a[c];
                    column += d - c - 1;
                }
                for (long i = 0; i < d; i++)
                    squares += y[i] * y[i];
                inner[j] = alpha[j] + sums[j] - 0.5 * squares;
                if (inner[j] > most)
                    most = inner[j];
            }
            for (long j = 0; j < k; j++)
                total += exp(inner[j] - most);
            value += most + log(total);
            for (long j = 0; j < k; j++) {
                double share = exp(inner[j] - most) / total, *a = away + j * d, *y = z + j * d;
                double *g = own_icf + j * size;
                own[j] += share;
                for (long i = 0; i < d; i++) {
                    g[i] += share * (1 - y[i] * q[j * d + i] * a[i]);
                    back[i] = q[j * d + i] * y[i];
                    y[i] *= share;
                }
                const double *column = icf + j * size + d;
                double *slope = g + d;
                for (long c = 0; c < d; c++) {
                    double sum = 0;
                    for (long r = c + 1; r < d; r++) {
                        slope[r - c - 1] -= y[r] * a[c];
                        sum += column[r - c - 1] * y[r];
                    }
                    own_mu[j * d + c] += share * back[c] + sum;
                    column += d - c - 1;
                    slope += d - c - 1;
                }
            }
        }
        #pragma omp critical
        {
            for (long i = 0; i < k; i++)
                g_alpha[i] += own[i];
            for (long i = 0; i < k * d; i++)
                g_mu[i] += own_mu[i];
            for (long i = 0; i < k * size; i++)
                g_icf[i] += own_icf[i];
        }
        free(own);
        free(away);
        free(z);
        free(inner);
        free(back);
    }
    double most = -INFINITY, total = 0;
    for (long j = 0; j < k; j++)
        if (alpha[j] > most)
            most = alpha[j];
    for (long j = 0; j < k; j++)
        total += exp(alpha[j] - most);
    value -= n * (most + log(total));
    for (long j = 0; j < k; j++) {
        g_alpha[j] -= n * exp(alpha[j] - most) / total;
        for (long i = 0; i < d; i++) {
            value += 0.5 * q[j * d + i] * q[j * d + i];
            g_icf[j * size + i] += q[j * d + i] * q[j * d + i];
        }
        for (long i = d; i < size; i++) {
            value += 0.5 * icf[j * size + i] * icf[j * size + i];
            g_icf[j * size + i] += icf[j * size + i];
        }
    }
    free(q);
    free(sums);
    out[0] = value;
}
