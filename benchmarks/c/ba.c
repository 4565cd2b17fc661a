// Residuals of a bundle adjustment and their derivatives, an observation at a time, by the chain
// rule. A camera has eleven numbers: rotation, centre, focal length, principal point, distortion.
#include <math.h>

// r: [n, 2], jacobian: [n, 2, 15]: in the camera, the point and the weight.
void ba(long n, const double *cams, const double *points, const double *w, const int *camera,
        const int *point, const double *seen, double *r, double *jacobian)
{
    #pragma omp parallel for schedule(static)
    for (long i = 0; i < n; i++) {
        const double *cam = cams + 11 * camera[i], *at = points + 3 * point[i];
        double x[3], a[3], weight = w[i];
        double t = sqrt(cam[0] * cam[0] + cam[1] * cam[1] + cam[2] * cam[2]);
        for (int k = 0; k < 3; k++) {
            x[k] = at[k] - cam[3 + k];
            a[k] = cam[k] / t;
        }
        double c = cos(t), s = sin(t), along = a[0] * x[0] + a[1] * x[1] + a[2] * x[2];
        double cross[3] = {a[1] * x[2] - a[2] * x[1], a[2] * x[0] - a[0] * x[2],
                           a[0] * x[1] - a[1] * x[0]};
        double p[3], by_t[3];
        for (int k = 0; k < 3; k++) {
            p[k] = x[k] * c + cross[k] * s + a[k] * along * (1 - c);
            by_t[k] = -s * x[k] + c * cross[k] + s * along * a[k];
        }
        // Derivatives of p: in x, in the axis were it free, in the rotation vector.
        double of_a[3][3] = {{0, -a[2], a[1]}, {a[2], 0, -a[0]}, {-a[1], a[0], 0}};
        double of_x[3][3] = {{0, -x[2], x[1]}, {x[2], 0, -x[0]}, {-x[1], x[0], 0}};
        double by_x[3][3], by_a[3][3], by_r[3][3];
        for (int k = 0; k < 3; k++)
            for (int l = 0; l < 3; l++) {
                by_x[k][l] = (k == l) * c + s * of_a[k][l] + (1 - c) * a[k] * a[l];
                by_a[k][l] = (k == l) * along * (1 - c) - s * of_x[k][l] + (1 - c) * a[k] * x[l];
            }
        for (int k = 0; k < 3; k++) {
            double radial = by_a[k][0] * a[0] + by_a[k][1] * a[1] + by_a[k][2] * a[2];
            for (int l = 0; l < 3; l++)
                by_r[k][l] = (by_a[k][l] - radial * a[l]) / t + by_t[k] * a[l];
        }
        double u = p[0] / p[2], v = p[1] / p[2], r2 = u * u + v * v, f = cam[6];
        double bend = 1 + cam[9] * r2 + cam[10] * r2 * r2, slope = cam[9] + 2 * cam[10] * r2;
        double uu = f * (bend + 2 * u * u * slope), uv = f * 2 * u * v * slope;
        double vv = f * (bend + 2 * v * v * slope);
        double by_p[2][3] = {{uu / p[2], uv / p[2], -(uu * u + uv * v) / p[2]},
                             {uv / p[2], vv / p[2], -(uv * u + vv * v) / p[2]}};
        double image[2] = {u, v};
        for (int k = 0; k < 2; k++) {
            double error = image[k] * bend * f + cam[7 + k] - seen[2 * i + k];
            double *row = jacobian + 30 * i + 15 * k;
            for (int l = 0; l < 3; l++) {
                double in_r = 0, in_x = 0;
                for (int m = 0; m < 3; m++) {
                    in_r += by_p[k][m] * by_r[m][l];
                    in_x += by_p[k][m] * by_x[m][l];
                }
                row[l] = weight * in_r;
                row[3 + l] = -weight * in_x;
                row[11 + l] = weight * in_x;
            }
            row[6] = weight * image[k] * bend;
            row[7] = weight * (k == 0);
            row[8] = weight * (k == 1);
            row[9] = weight * f * image[k] * r2;
            row[10] = weight * f * image[k] * r2 * r2;
            row[14] = error;
            r[2 * i + k] = weight * error;
        }
    }
}
