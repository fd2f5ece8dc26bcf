// The gradient of a depthwise convolution's weights: out[c, t] = the sum over p of g[p, c] * x[p + tap
// t, c / MULTIPLIER]. A block takes 32 channels of one tap and a share of the pixels, which its 8 rows of
// threads share; the last block of the same sums adds up all parts, in order.

KERNEL KERNEL_NAME(const value_t* g, const value_t* x, value_t* y, float* partial, unsigned* tickets,
                   int ldg, int ldx, int channels, int taps_x, int grid_height, int grid_width,
                   int height, int width, int stride_y, int stride_x, int pad_y, int pad_x,
                   int dilation_y, int dilation_x, int pixels, int share, int y_row, int y_tap) {
    SHARED(float, parts, 256);
    SHARED(int, last, 1);
    const int lane = threadIdx.x % 32, row = threadIdx.x / 32;
    const int channel = blockIdx.x * 32 + lane, tap = blockIdx.y;
    const bool real = channel < channels;
    const int down = tap / taps_x * dilation_y - pad_y, right = tap % taps_x * dilation_x - pad_x;
    const int begin = blockIdx.z * share, end = begin + share < pixels ? begin + share : pixels;
    // A thread's share: every eighth pixel from its row on, whatever the number of blocks.
    float sum = 0.0f;
#pragma unroll 4
    for (int p = begin + row; real && p < end; p += 8) {
        const unsigned places = grid_height * grid_width;
        const unsigned image = (unsigned)p / places, at = (unsigned)p % places;
        const int v = (int)(at / grid_width) * stride_y + down;
        const int u = (int)(at % grid_width) * stride_x + right;
        if ((unsigned)v >= (unsigned)height || (unsigned)u >= (unsigned)width) continue;
        const size_t from = (size_t)(image * height + v) * width + u;
        sum = fmaf(load(g + (size_t)p * ldg + channel), load(x + from * ldx + channel / MULTIPLIER),
                   sum);
    }
    // The block's eight rows are added up in order, to one sum a channel.
    parts[threadIdx.x] = sum;
    __syncthreads();
    const size_t set = (size_t)blockIdx.y * gridDim.x + blockIdx.x;
    float* all = partial + set * gridDim.z * 32 + lane;
    if (row == 0) {
        sum = 0.0f;
        for (int r = 0; r < 8; r++) sum += parts[r * 32 + lane];
        all[blockIdx.z * 32] = sum;
    }
    // The sums of this block must be seen before its ticket is.
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) last[0] = atomicAdd(tickets + set, 1u) == gridDim.z - 1;
    __syncthreads();
    if (!last[0]) return;
    if (threadIdx.x == 0) tickets[set] = 0;
    __threadfence();
    if (row > 0 || !real) return;
    sum = 0.0f;
    // The last block to come adds up all parts in the order of their pixels.
    for (int z = 0; z < gridDim.z; z++) sum += __ldcg(all + z * 32);
    store(y + (size_t)channel * y_row + (size_t)tap * y_tap, sum);
}
