// ADBench's LSTM and its gradient, backwards through time. What the way back needs is kept in
// `kept`: for each step and layer ROWS rows of numbers, and two more for each step.
#include <math.h>
#include <string.h>

enum { INPUT, HIDDEN, CELL, FORGET, ENTER, LEAVE, CHANGE, SQUASHED, ROWS };
enum { MOST = 64 };

static double sigmoid(double x) { return 1.0 / (1.0 + exp(-x)); }

// w, b: [layers, 4, width]; x: [steps, width]; kept: [steps, layers, ROWS, width] and after it
// [steps, 2, width]. Gradients are added to zeros. At most MOST layers times width.
void lstm_diagonal(long layers, long width, long steps, const double *w, const double *b,
                   const double *in_w, const double *out_w, const double *out_b,
                   const double *hidden0, const double *cell0, const double *x, double *kept,
                   double *g_w, double *g_b, double *g_in, double *g_out, double *g_bias,
                   double *out)
{
    long n = width;
    double hidden[MOST], cell[MOST], *ends = kept + steps * layers * ROWS * n;
    memcpy(hidden, hidden0, sizeof(double) * layers * n);
    memcpy(cell, cell0, sizeof(double) * layers * n);
    double total = 0;
    for (long t = 0; t + 1 < steps; t++) {
        double h[MOST];
        for (long i = 0; i < n; i++)
            h[i] = x[t * n + i] * in_w[i];
        for (long l = 0; l < layers; l++) {
            const double *wl = w + l * 4 * n, *bl = b + l * 4 * n;
            double *k = kept + (t * layers + l) * ROWS * n;
            #pragma omp simd
            for (long i = 0; i < n; i++) {
                double before = hidden[l * n + i], old = cell[l * n + i];
                double f = sigmoid(h[i] * wl[i] + bl[i]);
                double e = sigmoid(before * wl[n + i] + bl[n + i]);
                double o = sigmoid(h[i] * wl[2 * n + i] + bl[2 * n + i]);
                double c = tanh(before * wl[3 * n + i] + bl[3 * n + i]);
                double now = old * f + e * c, s = tanh(now);
                k[INPUT * n + i] = h[i];
                k[HIDDEN * n + i] = before;
                k[CELL * n + i] = old;
                k[FORGET * n + i] = f;
                k[ENTER * n + i] = e;
                k[LEAVE * n + i] = o;
                k[CHANGE * n + i] = c;
                k[SQUASHED * n + i] = s;
                cell[l * n + i] = now;
                h[i] = o * s;
                hidden[l * n + i] = h[i];
            }
        }
        double *end = ends + t * 2 * n, sum = 2, wanted = 0, score = 0;
        for (long i = 0; i < n; i++) {
            double y = h[i] * out_w[i] + out_b[i];
            end[i] = h[i];
            end[n + i] = exp(y);
            sum += end[n + i];
            wanted += x[(t + 1) * n + i];
            score += x[(t + 1) * n + i] * y;
        }
        total += score - wanted * log(sum);
        for (long i = 0; i < n; i++)
            end[n + i] = x[(t + 1) * n + i] - wanted * end[n + i] / sum;
    }
    double scale = -1.0 / (double)(n * (steps - 1));
    double gh[MOST] = {0}, gc[MOST] = {0};
    for (long t = steps - 2; t >= 0; t--) {
        const double *end = ends + t * 2 * n;
        double g[MOST];
        for (long i = 0; i < n; i++) {
            double gy = scale * end[n + i];
            g_out[i] += gy * end[i];
            g_bias[i] += gy;
            g[i] = gy * out_w[i];
        }
        for (long l = layers - 1; l >= 0; l--) {
            const double *wl = w + l * 4 * n, *k = kept + (t * layers + l) * ROWS * n;
            double *gw = g_w + l * 4 * n, *gb = g_b + l * 4 * n;
            #pragma omp simd
            for (long i = 0; i < n; i++) {
                double in = k[INPUT * n + i], before = k[HIDDEN * n + i];
                double f = k[FORGET * n + i], e = k[ENTER * n + i], o = k[LEAVE * n + i];
                double c = k[CHANGE * n + i], s = k[SQUASHED * n + i];
                double into = g[i] + gh[l * n + i];
                double now = gc[l * n + i] + into * o * (1 - s * s);
                double zf = now * k[CELL * n + i] * f * (1 - f), ze = now * c * e * (1 - e);
                double zo = into * s * o * (1 - o), zc = now * e * (1 - c * c);
                gw[i] += zf * in;
                gw[n + i] += ze * before;
                gw[2 * n + i] += zo * in;
                gw[3 * n + i] += zc * before;
                gb[i] += zf;
                gb[n + i] += ze;
                gb[2 * n + i] += zo;
                gb[3 * n + i] += zc;
                gc[l * n + i] = now * f;
                gh[l * n + i] = ze * wl[n + i] + zc * wl[3 * n + i];
                g[i] = zf * wl[i] + zo * wl[2 * n + i];
            }
        }
        for (long i = 0; i < n; i++)
            g_in[i] += g[i] * x[t * n + i];
    }
    out[0] = scale * total;
}
