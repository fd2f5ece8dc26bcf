// A sum of outer products over pixels: out[m, t, n] = the sum over p of a[p, m] * b[p + tap t, n]: the
// gradient of a convolution's weights (a is the top's gradient, b the bottom), of a deconvolution's
// (the other way round) and, with one tap, of an inner product's. Pixels of b that a tap takes beyond
// the plane count for nothing.
//
// A block makes BM of a's channels by BN columns, which are taps in order with the channels of b
// innermost, of one group, over a share of the pixels: BK of them are in shared memory at a time, as
// rows, while the next are on their way. A thread makes ROWS x COLS sums, which lie THREADS_M and
// THREADS_N apart. Blocks of grid.z share a sum: each leaves its part in `partial`, and the last to
// come adds them up in order, so that the result does not depend on who was last.
//
// VEC_A, VEC_B: channels of 16 bytes, or 1, that are copied at once. MMA: 0 float32 arithmetic, else
// the matrix units by TF32 numbers, which halves are exactly.
//
// grid.x: tiles of channels x tiles of columns, columns fastest; grid.y: groups.

constexpr int THREADS = 256;
constexpr bool MATRIX = MMA != 0;
constexpr int ITEM = sizeof(value_t);
constexpr int GAP = MATRIX ? 8 : 16 / ITEM;  // so that lanes meet in few banks
constexpr int ROW_A = BM + GAP, ROW_B = BN + GAP;
constexpr int STAGE = BK * (ROW_A + ROW_B);
constexpr int STAGES = 3 * STAGE * ITEM <= (48 << 10) - 256 ? 3 : 2;  // what every device gives
constexpr int CHUNKS_A = BM / VEC_A, CHUNKS_B = BN / VEC_B;  // of a row of a tile
constexpr int LOADS_A = (BK * CHUNKS_A + THREADS - 1) / THREADS;
constexpr int LOADS_B = (BK * CHUNKS_B + THREADS - 1) / THREADS;

// Eight warps, WARPS_M by WARPS_N of them; a warp of the matrix units makes tiles of 16 x 8.
constexpr int WARPS_M = 4, WARPS_N = 2;
constexpr int WM = BM / WARPS_M, WN = BN / WARPS_N;
constexpr int THREADS_M = 16, THREADS_N = 16;
constexpr int ROWS = MATRIX ? WM / 8 : BM / THREADS_M;
constexpr int COLS = MATRIX ? WN / 4 : BN / THREADS_N;

// Where the thread's r-th row and c-th column are in the block's tile.
DEVICE int row_of(int r, int thread) {
    const int lane = thread % 32, warp = thread / 32;
    if (MATRIX) return warp / WARPS_N * WM + r / 2 * 16 + r % 2 * 8 + lane / 4;
    return thread / THREADS_N + r * THREADS_M;
}

DEVICE int col_of(int c, int thread) {
    const int lane = thread % 32, warp = thread / 32;
    if (MATRIX) return warp % WARPS_N * WN + c / 2 * 8 + c % 2 + lane % 4 * 2;
    return thread % THREADS_N + c * THREADS_N;
}

DEVICE void multiply_plain(float (&sums)[ROWS][COLS], const value_t* a, const value_t* b, int thread) {
#pragma unroll
    for (int k = 0; k < BK; k++) {
        float left[ROWS], right[COLS];
#pragma unroll
        for (int r = 0; r < ROWS; r++) left[r] = load(a + k * ROW_A + row_of(r, thread));
#pragma unroll
        for (int c = 0; c < COLS; c++) right[c] = load(b + k * ROW_B + col_of(c, thread));
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
#pragma unroll
            for (int c = 0; c < COLS; c++) sums[r][c] = fmaf(left[r], right[c], sums[r][c]);
        }
    }
}

// Fragments by the PTX ISA's mma.m16n8k8: of A rows lane / 4 and 8 more, of B columns lane / 4; pixels
// lane % 4 and 4 more of both.
DEVICE void multiply_matrix(float (&sums)[ROWS][COLS], const value_t* a, const value_t* b, int thread) {
    const int lane = thread % 32, warp = thread / 32;
    a += warp / WARPS_N * WM + lane / 4 + lane % 4 * ROW_A;
    b += warp % WARPS_N * WN + lane / 4 + lane % 4 * ROW_B;
#pragma unroll
    for (int k = 0; k < BK; k += 8) {
        unsigned right[WN / 8][2];
#pragma unroll
        for (int j = 0; j < WN / 8; j++) {
#pragma unroll
            for (int e = 0; e < 2; e++)
                right[j][e] = to_tf32(load(b + (k + 4 * e) * ROW_B + 8 * j));
        }
#pragma unroll
        for (int i = 0; i < WM / 16; i++) {
            unsigned left[4];
#pragma unroll
            for (int e = 0; e < 4; e++)
                left[e] = to_tf32(load(a + (k + e / 2 * 4) * ROW_A + 16 * i + e % 2 * 8));
#pragma unroll
            for (int j = 0; j < WN / 8; j++) {
                float d[4] = {sums[2 * i][2 * j], sums[2 * i][2 * j + 1], sums[2 * i + 1][2 * j],
                              sums[2 * i + 1][2 * j + 1]};
                mma_tf32(d, left, right[j]);
                sums[2 * i][2 * j] = d[0];
                sums[2 * i][2 * j + 1] = d[1];
                sums[2 * i + 1][2 * j] = d[2];
                sums[2 * i + 1][2 * j + 1] = d[3];
            }
        }
    }
}

// Blocks that a processor holds at once: what registers are left, a thread has.
constexpr int BLOCKS = BM * BN > 64 * 64 ? 1 : 2;

KERNEL __launch_bounds__(THREADS, BLOCKS) KERNEL_NAME(
    const value_t* a, const value_t* b, value_t* y, float* partial, unsigned* tickets, int lda,
    int ldb, int rows, int channels, int taps, int taps_x, int grid_height, int grid_width,
    int height, int width, int stride_y, int stride_x, int pad_y, int pad_x, int dilation_y,
    int dilation_x, int pixels, int share, int y_group, int y_row, int y_tap, int y_channel) {
    SHARED(value_t, tiles, STAGES * STAGE);
    SHARED(int, last, 1);
    const int thread = threadIdx.x;
    const int columns = taps * channels, n_tiles = (columns + BN - 1) / BN;
    const int m0 = blockIdx.x / n_tiles * BM, n0 = blockIdx.x % n_tiles * BN;
    const int group = blockIdx.y;
    const int begin = blockIdx.z * share;
    const int end = begin + share < pixels ? begin + share : pixels;
    a += group * rows;
    b += group * channels;

    // What this thread copies of each tile: columns that stay, of rows that go through the pixels.
    int at_b[LOADS_B], down[LOADS_B], right[LOADS_B];
#pragma unroll
    for (int l = 0; l < LOADS_B; l++) {
        int column = n0 + (thread + l * THREADS) % CHUNKS_B * VEC_B;
        int tap = column / channels;
        at_b[l] = column < columns ? column % channels : -1;
        down[l] = tap / taps_x * dilation_y - pad_y;
        right[l] = tap % taps_x * dilation_x - pad_x;
    }
    const place_t place = place_of(tiles);
    auto load_tile = [&](int stage, int first) {
#pragma unroll
        for (int l = 0; l < LOADS_A; l++) {
            const int chunk = thread + l * THREADS, k = chunk / CHUNKS_A;
            const int m = m0 + chunk % CHUNKS_A * VEC_A, p = first + k;
            const bool valid = p < end && m < rows;
            const place_t to = place + (stage + k * ROW_A + chunk % CHUNKS_A * VEC_A) * ITEM;
            if (BK * CHUNKS_A % THREADS == 0 || chunk < BK * CHUNKS_A)
                copy_async<VEC_A * ITEM>(to, a + (valid ? (size_t)p * lda + m : 0), valid);
        }
#pragma unroll
        for (int l = 0; l < LOADS_B; l++) {
            const int chunk = thread + l * THREADS, k = chunk / CHUNKS_B, p = first + k;
            const unsigned places = grid_height * grid_width;
            const unsigned image = (unsigned)p / places, at = (unsigned)p % places;
            const int v = (int)(at / grid_width) * stride_y + down[l];
            const int u = (int)(at % grid_width) * stride_x + right[l];
            const bool valid = p < end && at_b[l] >= 0 && (unsigned)v < (unsigned)height &&
                               (unsigned)u < (unsigned)width;
            const size_t from = valid ? ((size_t)(image * height + v) * width + u) * ldb + at_b[l] : 0;
            const place_t to =
                place + (stage + BK * ROW_A + k * ROW_B + chunk % CHUNKS_B * VEC_B) * ITEM;
            if (BK * CHUNKS_B % THREADS == 0 || chunk < BK * CHUNKS_B)
                copy_async<VEC_B * ITEM>(to, b + from, valid);
        }
    };

    float sums[ROWS][COLS] = {};
    int next = begin;
#pragma unroll
    for (int s = 0; s < STAGES - 1; s++, next += BK) {
        if (next < end) load_tile(s * STAGE, next);
        copies_end();
    }
    int read = 0, write = (STAGES - 1) * STAGE;
    for (int p = begin; p < end; p += BK, next += BK) {
        copies_wait<STAGES - 2>();
        __syncthreads();
        if (next < end) load_tile(write, next);
        copies_end();
        const value_t *left = tiles + read, *there = tiles + read + BK * ROW_A;
        if constexpr (MATRIX)
            multiply_matrix(sums, left, there, thread);
        else
            multiply_plain(sums, left, there, thread);
        write = read;
        read = read == (STAGES - 1) * STAGE ? 0 : read + STAGE;
    }

    if constexpr (SPLIT) {
        const size_t tile = blockIdx.x + (size_t)gridDim.x * blockIdx.y;
        float* parts = partial + tile * gridDim.z * (ROWS * COLS * THREADS) + thread;
        float* own = parts + blockIdx.z * (ROWS * COLS * THREADS);
#pragma unroll
        for (int e = 0; e < ROWS * COLS; e++) own[e * THREADS] = sums[e / COLS][e % COLS];
        __threadfence();
        __syncthreads();
        if (thread == 0) last[0] = atomicAdd(tickets + tile, 1u) == gridDim.z - 1;
        __syncthreads();
        if (!last[0]) return;
        if (thread == 0) tickets[tile] = 0;
        __threadfence();
#pragma unroll
        for (int e = 0; e < ROWS * COLS; e++) sums[e / COLS][e % COLS] = 0.0f;
        for (int z = 0; z < gridDim.z; z++, parts += ROWS * COLS * THREADS) {
#pragma unroll
            for (int e = 0; e < ROWS * COLS; e++)
                sums[e / COLS][e % COLS] += __ldcg(parts + e * THREADS);
        }
    }
#pragma unroll
    for (int c = 0; c < COLS; c++) {
        const int column = n0 + col_of(c, thread);
        if (column >= columns) continue;
        value_t* to = y + (size_t)group * y_group + (size_t)(column / channels) * y_tap +
                      (size_t)(column % channels) * y_channel;
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            const int m = m0 + row_of(r, thread);
            if (m < rows) store(to + (size_t)m * y_row, sums[r][c]);
        }
    }
}
