// Mean and variance of each channel over all pixels, in one pass: each thread keeps the mean of what
// it has seen and the sum of squares around it (Welford), and pairs of such are joined (Chan, Golub and
// LeVeque 1979), in an order that the sizes alone decide. A block takes 32 channels and a share of the
// pixels, its 8 rows of threads share those; the last block of the same channels joins all parts.

DEVICE void join(float& count, float& mean, float& squares, float others, float other_mean,
                 float other_squares) {
    if (others == 0.0f) return;
    float both = count + others, apart = other_mean - mean, share = others / both;
    squares += other_squares + apart * apart * (count * share);
    mean += apart * share;
    count = both;
}

KERNEL KERNEL_NAME(const value_t* x, float* means, float* variances, float* partial,
                   unsigned* tickets, int ldx, int channels, int pixels, int share) {
    SHARED(float, parts, 3 * 256);
    SHARED(int, last, 1);
    const int lane = threadIdx.x % 32, row = threadIdx.x / 32;
    const int channel = blockIdx.x * 32 + lane;
    const bool real = channel < channels;
    const int begin = blockIdx.y * share, end = begin + share < pixels ? begin + share : pixels;
    float count = 0.0f, mean = 0.0f, squares = 0.0f;
#pragma unroll 4
    for (int p = begin + row; real && p < end; p += 8) {
        float seen = load(x + (size_t)p * ldx + channel), apart = seen - mean;
        count += 1.0f;
        mean += apart / count;
        squares += apart * (seen - mean);
    }
    parts[threadIdx.x] = count;
    parts[256 + threadIdx.x] = mean;
    parts[512 + threadIdx.x] = squares;
    __syncthreads();
    float* own = partial + (size_t)blockIdx.y * 3 * channels + channel;
    if (row == 0 && real) {
        for (int at = lane + 32; at < 256; at += 32)
            join(count, mean, squares, parts[at], parts[256 + at], parts[512 + at]);
        own[0] = count;
        own[channels] = mean;
        own[2 * channels] = squares;
    }
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) last[0] = atomicAdd(tickets + blockIdx.x, 1u) == gridDim.y - 1;
    __syncthreads();
    if (!last[0]) return;
    if (threadIdx.x == 0) tickets[blockIdx.x] = 0;
    __threadfence();
    if (row > 0 || !real) return;
    count = mean = squares = 0.0f;
    for (int b = 0; b < gridDim.y; b++) {
        const float* part = partial + (size_t)b * 3 * channels + channel;
        join(count, mean, squares, __ldcg(part), __ldcg(part + channels),
             __ldcg(part + 2 * channels));
    }
    means[channel] = mean;
    variances[channel] = squares / (float)pixels;
}
