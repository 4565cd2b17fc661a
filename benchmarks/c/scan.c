// A long recurrence and its adjoint, derived by hand. The states are kept in `hs`.
#include <math.h>

#define WIDTH 64
#define BLOCK 64

// out gets the sum of squares; in_w and in_u the gradients of their mean.
void scan(long steps, const float *w, const float *u, const float *x, float *hs, float *in_w,
          float *in_u, double *out)
{
    float h[WIDTH] = {0}, g[WIDTH] = {0}, gw[WIDTH] = {0}, gu[WIDTH] = {0};
    double total = 0;
    for (long begin = 0; begin < steps; begin += BLOCK) {
        long end = begin + BLOCK < steps ? begin + BLOCK : steps;
        float part[WIDTH] = {0};
        for (long t = begin; t < end; t++) {
            #pragma omp simd
            for (int j = 0; j < WIDTH; j++) {
                float e = expf(2.0f * (w[j] * h[j] + u[j] * x[t * WIDTH + j]));
                float v = 1.0f - 2.0f / (1.0f + e);
                h[j] = v;
                hs[t * WIDTH + j] = v;
                part[j] += v * v;
            }
        }
        for (int j = 0; j < WIDTH; j++)
            total += part[j];
    }
    const float scale = 2.0f / (float)(steps * WIDTH);
    for (long t = steps - 1; t >= 0; t--) {
        #pragma omp simd
        for (int j = 0; j < WIDTH; j++) {
            float v = hs[t * WIDTH + j], before = t ? hs[(t - 1) * WIDTH + j] : 0.0f;
            float z = (g[j] + scale * v) * (1.0f - v * v);
            gw[j] += z * before;
            gu[j] += z * x[t * WIDTH + j];
            g[j] = z * w[j];
        }
    }
    for (int j = 0; j < WIDTH; j++) {
        in_w[j] = gw[j];
        in_u[j] = gu[j];
    }
    out[0] = total / (double)(steps * WIDTH);
}
