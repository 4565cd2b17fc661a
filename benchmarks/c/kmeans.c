// The cost of a clustering and its gradient in the centres.
#include <stdlib.h>
#include <string.h>

void kmeans(long n, long k, long d, const double *x, const double *centres, double *gradient,
            double *out)
{
    double cost = 0;
    memset(gradient, 0, sizeof(double) * k * d);
    #pragma omp parallel reduction(+ : cost)
    {
        double *own = calloc(k * d, sizeof(double));
        #pragma omp for schedule(static)
        for (long i = 0; i < n; i++) {
            const double *point = x + i * d;
            double least = 0;
            long nearest = -1;
            for (long j = 0; j < k; j++) {
                const double *centre = centres + j * d;
                double distance = 0;
                for (long l = 0; l < d; l++)
                    distance += (point[l] - centre[l]) * (point[l] - centre[l]);
                if (nearest < 0 || distance < least) {
                    least = distance;
                    nearest = j;
                }
            }
            cost += least;
            for (long l = 0; l < d; l++)
                own[nearest * d + l] -= 2 * (point[l] - centres[nearest * d + l]);
        }
        #pragma omp critical
        for (long l = 0; l < k * d; l++)
            gradient[l] += own[l];
        free(own);
    }
    out[0] = cost;
}
