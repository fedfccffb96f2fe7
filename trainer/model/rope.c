/* rope: angles position * theta^(-2i/D); with Llama 3's rule, low frequencies divided by a factor and a smooth step between (as in the model's config.json). */
#include "trainer/model/rope.h"

#include <math.h>

static float llama3_scaled(const struct model_config *m, float inv_freq)
{
    const double pi = 3.14159265358979323846;
    double wavelength = 2.0 * pi / (double)inv_freq;
    double original = (double)m->rope_original_max_position;
    if (wavelength < original / m->rope_high_freq_factor)
        return inv_freq;
    if (wavelength > original / m->rope_low_freq_factor)
        return (float)((double)inv_freq / m->rope_factor);
    double smooth = (original / wavelength - m->rope_low_freq_factor) / (m->rope_high_freq_factor - m->rope_low_freq_factor);
    return (float)((1.0 - smooth) * (double)inv_freq / m->rope_factor + smooth * (double)inv_freq);
}

void rope_table(const struct model_config *m, int64_t n_positions, float *cos_PD, float *sin_PD)
{
    int64_t half = m->head_dim / 2;
    for (int64_t i = 0; i < half; i++) {
        float inv_freq = (float)(1.0 / pow(m->rope_theta, (double)(2 * i) / (double)m->head_dim));
        if (m->rope_llama3)
            inv_freq = llama3_scaled(m, inv_freq);
        for (int64_t p = 0; p < n_positions; p++) {
            float angle = (float)p * inv_freq;
            cos_PD[p * half + i] = cosf(angle);
            sin_PD[p * half + i] = sinf(angle);
        }
    }
}
