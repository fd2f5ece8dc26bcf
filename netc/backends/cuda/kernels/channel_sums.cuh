// Sums over pixels, for each channel: a block takes 32 channels and a share of the pixels, which its 8
// rows of threads share. Each block leaves its part in `partial`; the last to come of those with the
// same channels adds them up in order, so that the result does not depend on who was last.
//
// TERM: 0 the sum of x; 1 of x * y; 2 of x * y where y is not above 0; 3 of x and of x * z, where z is
// y by its channel's mean and variance.

constexpr int SUMS = TERM == 3 ? 2 : 1;

KERNEL KERNEL_NAME(const value_t* x, const value_t* y, const float* means, const float* variances,
                   result_t* first, result_t* second, float* partial, unsigned* tickets, int ldx,
                   int ldy, int channels, int pixels, int share, float eps, float factor) {
    SHARED(float, parts, SUMS * 256);
    SHARED(int, last, 1);
    const int lane = threadIdx.x % 32, row = threadIdx.x / 32;
    const int channel = blockIdx.x * 32 + lane;
    const bool real = channel < channels;
    const int begin = blockIdx.y * share, end = begin + share < pixels ? begin + share : pixels;
    float sum = 0.0f, other = 0.0f, mean = 0.0f, scale = 1.0f;
    if (TERM == 3 && real) mean = means[channel], scale = sqrtf(variances[channel] + eps);
#pragma unroll 4
    for (int p = begin + row; real && p < end; p += 8) {
        float seen = load(x + (size_t)p * ldx + channel);
        if (TERM == 0) {
            sum += seen;
        } else {
            float beside = load(y + (size_t)p * ldy + channel);
            if (TERM == 1) sum = fmaf(seen, beside, sum);
            if (TERM == 2) sum += seen * beside * (beside <= 0.0f ? 1.0f : 0.0f);
            if (TERM == 3) sum += seen, other = fmaf(seen, (beside - mean) / scale, other);
        }
    }
    parts[threadIdx.x] = sum;
    if (SUMS == 2) parts[256 + threadIdx.x] = other;
    __syncthreads();
    float* own = partial + (size_t)blockIdx.y * SUMS * channels + channel;
    if (row == 0 && real) {
#pragma unroll
        for (int s = 0; s < SUMS; s++) {
            float total = 0.0f;
            for (int r = 0; r < 8; r++) total += parts[s * 256 + r * 32 + lane];
            own[s * channels] = total;
        }
    }
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) last[0] = atomicAdd(tickets + blockIdx.x, 1u) == gridDim.y - 1;
    __syncthreads();
    if (!last[0]) return;
    if (threadIdx.x == 0) tickets[blockIdx.x] = 0;
    __threadfence();
    if (row >= SUMS || !real) return;
    float total = 0.0f;
    for (int b = 0; b < gridDim.y; b++)
        total += __ldcg(partial + ((size_t)b * SUMS + row) * channels + channel);
    store((row == 0 ? first : second) + channel, total * factor);
}
