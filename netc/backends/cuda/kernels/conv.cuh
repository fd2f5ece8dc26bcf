// A convolution as an implicit matrix product: Y[p, o] = sum over k of A[p, k] * W[o, k], where row
// p of A is what output pixel p sees, taps in order and the channels of a group innermost. Nothing
// of A is ever stored: tiles of it are gathered into shared memory as they are needed.
//
// A block makes BM pixels by BN channels, a warp WM by WN of them. Blocks of grid.z share a sum:
// each leaves its part in `partial`, and the last to come adds them up in order, so that the result
// does not depend on who was last.
//
// Where channels can only be copied one by one (VEC is 1), `taps` has an entry for each element of K:
// down, right and channel; else one for each tap, down and right.
//
// grid.x: tiles of pixels x tiles of channels, channels fastest; grid.y: groups x phases.
// A deconvolution has a phase for each residue of an output place by the stride: the pixels of a
// phase see the same taps, and make an ordinary convolution (see steps/deconv.py).

constexpr int WARPS_N = BN / WN;
constexpr int THREADS = 32 * (BM / WM) * WARPS_N;
constexpr int SIDE = 16 / sizeof(value_t);  // elements of 16 bytes
constexpr int ROW = BK + SIDE;              // of a tile in shared memory; no two lanes meet in a bank
constexpr int STAGE = (BM + BN) * ROW;
constexpr int A_CHUNKS = BK / VEC, A_STEP = THREADS / A_CHUNKS;
constexpr int A_LOADS = (BM + A_STEP - 1) / A_STEP;
constexpr int B_CHUNKS = BK / SIDE, B_STEP = THREADS / B_CHUNKS;
constexpr int B_LOADS = (BN + B_STEP - 1) / B_STEP;
constexpr int NOWHERE = -(1 << 29);  // a row that is in no image

// Which results a thread has: ROWS x COLS of its warp's tile.
constexpr bool MATRIX = MMA != 0;
constexpr int ROWS = MATRIX ? WM / 8 : WM / 4;
constexpr int COLS = MATRIX ? WN / 4 : WN / 8;

DEVICE int row_of(int r, int lane) {
    return MATRIX ? r / 2 * 16 + r % 2 * 8 + lane / 4 : 4 * r + lane / 8;
}

DEVICE int col_of(int c, int lane) {
    return MATRIX ? c / 2 * 8 + c % 2 + lane % 4 * 2 : 8 * c + lane % 8;
}

// sums += A tile * B tile, in plain float32.
DEVICE void multiply_plain(float (&sums)[ROWS][COLS], const value_t* a, const value_t* b, int lane) {
    a += lane / 8 * ROW;
    b += lane % 8 * ROW;
#pragma unroll
    for (int k = 0; k < BK; k += 4) {
        float4 left[ROWS];
#pragma unroll
        for (int r = 0; r < ROWS; r++) left[r] = load4(a + 4 * r * ROW + k);
#pragma unroll
        for (int c = 0; c < COLS; c++) {
            float4 right = load4(b + 8 * c * ROW + k);
#pragma unroll
            for (int r = 0; r < ROWS; r++) sums[r][c] = fmaf(left[r].x, right.x, sums[r][c]);
#pragma unroll
            for (int r = 0; r < ROWS; r++) sums[r][c] = fmaf(left[r].y, right.y, sums[r][c]);
#pragma unroll
            for (int r = 0; r < ROWS; r++) sums[r][c] = fmaf(left[r].z, right.z, sums[r][c]);
#pragma unroll
            for (int r = 0; r < ROWS; r++) sums[r][c] = fmaf(left[r].w, right.w, sums[r][c]);
        }
    }
}

DEVICE unsigned operand(const value_t* p) {
    if constexpr (MMA == 1) return to_tf32(load(p));
    return *(const unsigned*)p;  // two halves
}

// sums += A tile * B tile on the matrix units. A word is one TF32 number or two halves.
DEVICE void multiply_matrix(float (&sums)[ROWS][COLS], const value_t* a, const value_t* b,
                            int lane) {
    constexpr int WORD = 4 / sizeof(value_t);
    a += lane / 4 * ROW + lane % 4 * WORD;
    b += lane / 4 * ROW + lane % 4 * WORD;
#pragma unroll
    for (int k = 0; k < BK; k += 8 * WORD) {
        unsigned right[WN / 8][2];
#pragma unroll
        for (int j = 0; j < WN / 8; j++) {
            right[j][0] = operand(b + 8 * j * ROW + k);
            right[j][1] = operand(b + 8 * j * ROW + k + 4 * WORD);
        }
#pragma unroll
        for (int i = 0; i < WM / 16; i++) {
            const value_t* at = a + 16 * i * ROW + k;
            unsigned left[4] = {operand(at), operand(at + 8 * ROW), operand(at + 4 * WORD),
                                operand(at + 8 * ROW + 4 * WORD)};
#pragma unroll
            for (int j = 0; j < WN / 8; j++) {
                float d[4] = {sums[2 * i][2 * j], sums[2 * i][2 * j + 1], sums[2 * i + 1][2 * j],
                              sums[2 * i + 1][2 * j + 1]};
                if constexpr (MMA == 1) mma_tf32(d, left, right[j]);
                if constexpr (MMA == 2) mma_f16(d, left, right[j]);
                sums[2 * i][2 * j] = d[0];
                sums[2 * i][2 * j + 1] = d[1];
                sums[2 * i + 1][2 * j] = d[2];
                sums[2 * i + 1][2 * j + 1] = d[3];
            }
        }
    }
}

KERNEL __launch_bounds__(THREADS, 512 / THREADS) KERNEL_NAME(
    const value_t* x, const value_t* w, const int* taps, const int* phases, float* partial,
    unsigned* tickets, int height, int width, int ldx, int channels, int tap_count, int ldw,
    int stride_y, int stride_x, int out_height, int out_width, int pixels,
    int outputs OUTPUT_PARAMETERS OPERAND_PARAMETERS) {
    SHARED(value_t, tiles, STAGES * STAGE);
    SHARED(int, last, 1);
    const Outputs to = OUTPUT_VALUES;
    const Operands with = OPERAND_VALUES;
    const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;

    // Which tile this block makes, of which outputs.
    int n_tiles = BRANCHES == 1 ? (outputs + BN - 1) / BN : 0;
#pragma unroll
    for (int b = 0; BRANCHES > 1 && b < BRANCHES; b++) n_tiles += (to.count[b] + BN - 1) / BN;
    int n_tile = blockIdx.x % n_tiles, m0 = blockIdx.x / n_tiles * BM;
    int branch = 0, first = 0;
#pragma unroll
    for (int b = 0; b < BRANCHES - 1; b++) {
        int own = (to.count[b] + BN - 1) / BN;
        if (branch == b && n_tile >= own) {
            n_tile -= own;
            first += to.count[b];
            branch++;
        }
    }
    value_t* y = to.y[0];
    int ldy = to.ld[0], count = BRANCHES == 1 ? outputs : to.count[0];
#pragma unroll
    for (int b = 1; b < BRANCHES; b++) {
        if (branch == b) y = to.y[b], ldy = to.ld[b], count = to.count[b];
    }
    const int n0 = n_tile * BN;
    int group = blockIdx.y, places_y = out_height, places_x = out_width, base_y = 0, base_x = 0;
    if constexpr (PHASED) {
        const int* phase = phases + 8 * (blockIdx.y % PHASE_COUNT);
        group = blockIdx.y / PHASE_COUNT;
        taps += (VEC == 1 ? 3 * channels : 2) * phase[0];
        tap_count = phase[1];
        w += phase[2];
        ldw = phase[3];
        base_y = phase[4];
        base_x = phase[5];
        places_y = phase[6];
        places_x = phase[7];
        pixels = pixels / (out_height * out_width) * places_y * places_x;
        if (m0 >= pixels) return;
    }
    const int step_y = PHASED ? 1 : stride_y, step_x = PHASED ? 1 : stride_x;
    x += group * channels;
    w += (size_t)(group * outputs + first) * ldw;

    // The rows of A that this thread gathers, and where in K its share of them begins.
    const int a_chunk = thread % A_CHUNKS * VEC, a_row = thread / A_CHUNKS;
    const int b_chunk = thread % B_CHUNKS * SIDE, b_row = thread / B_CHUNKS;
    int origin[A_LOADS], at_y[A_LOADS], at_x[A_LOADS];
#pragma unroll
    for (int i = 0; i < A_LOADS; i++) {
        int p = m0 + a_row + i * A_STEP;
        bool real = p < pixels;
        if constexpr (POINTWISE) {
            origin[i] = real ? p * ldx : NOWHERE;
            at_y[i] = at_x[i] = 0;
        } else {
            int image = p / (places_y * places_x), place = p % (places_y * places_x);
            int row = place / places_x * step_y, column = place % places_x * step_x;
            at_y[i] = real ? row : NOWHERE;
            at_x[i] = column;
            origin[i] = real ? ((image * height + row) * width + column) * ldx : 0;
        }
    }
    const int length = tap_count * channels, tiles_k = (length + BK - 1) / BK;
    const int share = (tiles_k + gridDim.z - 1) / gridDim.z;
    const int begin = blockIdx.z * share;
    const int end = begin + share < tiles_k ? begin + share : tiles_k;
    int at_k = begin * BK + a_chunk;  // of this thread's share of the next tile
    int tap = at_k / channels, channel = at_k % channels;

    auto load_tile = [&](int tile) {
        value_t* a = tiles + (tile - begin) % STAGES * STAGE;
        value_t* b = a + BM * ROW;
        bool inside = at_k < length;
        int dy = 0, dx = 0, offset = POINTWISE ? at_k : channel;
        if (!POINTWISE && inside) {
            const int* entry = taps + (VEC == 1 ? 3 * at_k : 2 * tap);
            dy = entry[0], dx = entry[1];
            if (VEC == 1) offset = entry[2];
            offset += (dy * width + dx) * ldx;
        }
#pragma unroll
        for (int i = 0; i < A_LOADS; i++) {
            int row = a_row + i * A_STEP;
            bool valid = inside && (POINTWISE ? origin[i] >= 0
                                              : (unsigned)(at_y[i] + dy) < (unsigned)height &&
                                                    (unsigned)(at_x[i] + dx) < (unsigned)width);
            if (BM % A_STEP == 0 || row < BM)
                copy_async<VEC * sizeof(value_t)>(a + row * ROW + a_chunk,
                                                  valid ? x + origin[i] + offset : x, valid);
        }
        int k = tile * BK + b_chunk;
#pragma unroll
        for (int i = 0; i < B_LOADS; i++) {
            int row = b_row + i * B_STEP;
            bool valid = n0 + row < count && k < ldw;
            if (BN % B_STEP == 0 || row < BN)
                copy_async<16>(b + row * ROW + b_chunk,
                               valid ? w + (size_t)(n0 + row) * ldw + k : w, valid);
        }
        at_k += BK;
        if constexpr (!POINTWISE && VEC > 1) {
            channel += BK;
            while (channel >= channels) channel -= channels, tap++;
        }
    };

    float sums[ROWS][COLS] = {};
#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) {
        if (begin + s < end) load_tile(begin + s);
        copies_end();
    }
    const int warp_row = warp / WARPS_N * WM, warp_col = warp % WARPS_N * WN;
    for (int tile = begin; tile < end; tile++) {
        copies_wait<STAGES - 2>();
        __syncthreads();
        if (tile + STAGES - 1 < end) load_tile(tile + STAGES - 1);
        copies_end();
        const value_t* a = tiles + (tile - begin) % STAGES * STAGE + warp_row * ROW;
        const value_t* b = tiles + (tile - begin) % STAGES * STAGE + (BM + warp_col) * ROW;
        if constexpr (MATRIX)
            multiply_matrix(sums, a, b, lane);
        else
            multiply_plain(sums, a, b, lane);
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
    for (int r = 0; r < ROWS; r++) {
        int p = m0 + warp_row + row_of(r, lane);
        if (p >= pixels) continue;
        int pixel = p;
        if constexpr (PHASED) {
            int image = p / (places_y * places_x), place = p % (places_y * places_x);
            pixel = (image * out_height + place / places_x * stride_y + base_y) * out_width +
                    place % places_x * stride_x + base_x;
        }
#pragma unroll
        for (int c = 0; c < COLS; c++) {
            int o = n0 + warp_col + col_of(c, lane);
            if (o >= count) continue;
            o += group * outputs;
            store(y + (size_t)pixel * ldy + o, chain(sums[r][c], pixel, o, branch, with));
        }
    }
}
