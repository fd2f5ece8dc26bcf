// BatchNorm by its batch's own mean and variance, or the gradient of its bottom (batch_norm_layer.cpp);
// a thread makes VEC neighbouring channels of a pixel. OWN: there are a factor and, but for the
// gradient, a term for each channel (NVIDIA's layer).
//
// The gradient: (g - the mean of g - z * the mean of g * z) / deviation, where z is the normalised x;
// `sums` and `products` are those two means.

KERNEL KERNEL_NAME(const value_t* x, const value_t* g, value_t* y, const float* means,
                   const float* variances, const float* sums, const float* products,
                   const float* factors, const float* terms, int ldx, int ldg, int ldy,
                   int channels, float eps, int count) {
    FOR_EACH(i, count) {
        int pixel = i / (channels / VEC), channel = i % (channels / VEC) * VEC;
        float seen[VEC], top[VEC] = {};
        load_all(seen, x + (size_t)pixel * ldx + channel);
        if (BACK) load_all(top, g + (size_t)pixel * ldg + channel);
#pragma unroll
        for (int e = 0; e < VEC; e++) {
            float deviation = sqrtf(variances[channel + e] + eps);
            float z = (seen[e] - means[channel + e]) / deviation;
            if (BACK) {
                z = (top[e] - sums[channel + e] - z * products[channel + e]) / deviation;
                seen[e] = OWN ? z * factors[channel + e] : z;
            } else {
                seen[e] = OWN ? factors[channel + e] * z + terms[channel + e] : z;
            }
        }
        store_all(y + (size_t)pixel * ldy + channel, seen);
    }
}
