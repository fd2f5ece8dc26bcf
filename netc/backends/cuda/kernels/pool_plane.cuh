// The average, or the largest, of whole planes: a block takes 32 channels of an image, its 8 rows of
// threads share the pixels.

KERNEL KERNEL_NAME(const value_t* x, value_t* y, int ldx, int ldy, int channels, int pixels) {
    SHARED(float, parts, 256);
    const int lane = threadIdx.x % 32, row = threadIdx.x / 32;
    const int channel = blockIdx.x * 32 + lane;
    const value_t* plane = x + (size_t)blockIdx.y * pixels * ldx + channel;
    float best = AVERAGE ? 0.0f : LOWEST;
    if (channel < channels) {
#pragma unroll 4
        for (int p = row; p < pixels; p += 8) {
            float seen = load(plane + (size_t)p * ldx);
            best = AVERAGE ? best + seen : seen > best ? seen : best;
        }
    }
    parts[threadIdx.x] = best;
    __syncthreads();
    if (row == 0 && channel < channels) {
        for (int r = 1; r < 8; r++) {
            float seen = parts[r * 32 + lane];
            best = AVERAGE ? best + seen : seen > best ? seen : best;
        }
        store(y + (size_t)blockIdx.y * ldy + channel, AVERAGE ? best / (float)pixels : best);
    }
}
