// A convolution as an implicit matrix product: Y[p, o] = sum over k of A[p, k] * W[o, k], where row
// p of A is what output pixel p sees, taps in order and the channels of a group innermost. Nothing
// of A is ever stored: tiles of it are gathered into shared memory as they are needed.
//
// A block makes BM pixels by BN channels, a warp WM by WN of them. Blocks of grid.z share a sum:
// each leaves its part in `partial`, and the last to come adds them up in order, so that the result
// does not depend on who was last.
//
// `taps` has an entry for each tap: how far it is down and right, and how many elements further its
// pixel is. Where channels can only be copied one by one (VEC is 1) it has one for each element of
// K, whose channel is in the last number too. After the last entry follow some that count for
// nothing, as many as two tiles have. BK is `more_taps` times all channels of a tap, and `more_channels`.
//
// EVEN says that all outputs' channels, and where they and their pixels begin, are even.
//
// grid.x: tiles of pixels x tiles of channels, channels fastest; grid.y: groups x phases.
// A deconvolution has a phase for each residue of an output place by the stride: the pixels of a
// phase see the same taps, and make an ordinary convolution (see emit/deconvolution.py).

constexpr int WARPS_N = BN / WN;
constexpr int THREADS = 32 * (BM / WM) * WARPS_N;
constexpr int SIDE = 16 / sizeof(value_t);  // elements of 16 bytes
constexpr int ROW = BK + SIDE;              // of a tile in shared memory; no two lanes meet in a bank
constexpr int ITEM = sizeof(value_t);
constexpr int STAGE = (BM + BN) * ROW;
constexpr int A_CHUNKS = BK / VEC, A_STEP = THREADS / A_CHUNKS;
constexpr int A_LOADS = (BM + A_STEP - 1) / A_STEP;
constexpr int B_CHUNKS = BK / SIDE, B_STEP = THREADS / B_CHUNKS;
constexpr int B_LOADS = (BN + B_STEP - 1) / B_STEP;
constexpr bool ALIKE = VEC == SIDE;  // a thread gathers the same columns of both

// Which results a thread has: ROWS x COLS of its warp's tile.
constexpr bool MATRIX = MMA != 0;
constexpr bool PAIRS = EVEN && MATRIX;  // neighbouring channels are stored together
constexpr int ROWS = MATRIX ? WM / 8 : WM / 4;
constexpr int COLS = MATRIX ? WN / 4 : WN / 8;
constexpr int AT_ONCE = ROWS * COLS > 32 ? 1 : ROWS;  // rows that end together

// Of four neighbouring lanes two read the same rows and two the same columns: so halves of a warp
// read shared memory in one go.
DEVICE int row_of(int r, unsigned lane) {
    return MATRIX ? r / 2 * 16 + r % 2 * 8 + lane / 4 : 4 * r + lane / 16 * 2 + lane % 2;
}

DEVICE int col_of(int c, unsigned lane) {
    return MATRIX ? c / 2 * 8 + c % 2 + lane % 4 * 2 : 8 * c + lane / 2 % 8;
}

// With this many results, more than one step at once would not fit into the registers.
constexpr int UNROLL = ROWS * COLS < 64 ? BK / 4 : 1;

// sums += A tile * B tile, in plain float32. `a` and `b` are the thread's own row and column 0.
DEVICE void multiply_plain(float (&sums)[ROWS][COLS], place_t a, place_t b) {
#pragma unroll UNROLL
    for (int k = 0; k < BK; k += 4) {
        float4 left[ROWS];
#pragma unroll
        for (int r = 0; r < ROWS; r++) left[r] = load_shared(a + (4 * r * ROW + k) * ITEM);
#pragma unroll
        for (int c = 0; c < COLS; c++) {
            float4 right = load_shared(b + (8 * c * ROW + k) * ITEM);
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

// sums += A tile * B tile on the matrix units, whose words are one TF32 number or two halves; B is
// rounded already. `a` and `b` are the 16 bytes that the thread shows to load_matrices.
DEVICE void multiply_matrix(float (&sums)[ROWS][COLS], place_t a, place_t b) {
#pragma unroll
    for (int k = 0; k < BK; k += 2 * SIDE) {
        unsigned right[WN / 16][4];
#pragma unroll
        for (int j = 0; j < WN / 16; j++)
            load_matrices(right[j], b + (16 * j * ROW + k) * ITEM);
#pragma unroll
        for (int i = 0; i < WM / 16; i++) {
            unsigned left[4];
            load_matrices(left, a + (16 * i * ROW + k) * ITEM);
            if constexpr (MMA == 1) {
#pragma unroll
                for (int e = 0; e < 4; e++) left[e] = to_tf32(__uint_as_float(left[e]));
            }
#pragma unroll
            for (int j = 0; j < WN / 8; j++) {
                unsigned two[2] = {right[j / 2][j % 2 * 2], right[j / 2][j % 2 * 2 + 1]};
                float d[4] = {sums[2 * i][2 * j], sums[2 * i][2 * j + 1], sums[2 * i + 1][2 * j],
                              sums[2 * i + 1][2 * j + 1]};
                if constexpr (MMA == 1) mma_tf32(d, left, two);
                if constexpr (MMA == 2) mma_f16(d, left, two);
                sums[2 * i][2 * j] = d[0];
                sums[2 * i][2 * j + 1] = d[1];
                sums[2 * i + 1][2 * j] = d[2];
                sums[2 * i + 1][2 * j + 1] = d[3];
            }
        }
    }
}

// Blocks that a processor holds at once: what registers are left, a thread has. With narrow copies
// it has more rows to know; before sm_80 copies go through its registers. No processor has more than
// 228 KB of shared memory, of which each block takes one besides.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
constexpr bool NEEDY = VEC == 1 || (!ALIKE && !MATRIX) || PHASED;
#else
constexpr bool NEEDY = VEC == 1 || (!ALIKE && !MATRIX);
#endif
constexpr int BY_SHARED = (228 << 10) / (STAGES * STAGE * ITEM + 1056);
constexpr bool LARGE = ROWS * COLS > 64;
constexpr int BY_REGISTERS = (NEEDY || LARGE ? 256 : 512) / THREADS;
constexpr int BLOCKS = BY_SHARED < BY_REGISTERS ? BY_SHARED : BY_REGISTERS;

KERNEL __launch_bounds__(THREADS, BLOCKS) KERNEL_NAME(
    const value_t* x, const value_t* w, const int* taps, const int* phases, float* partial,
    unsigned* tickets, int height, int width, int ldx, int channels, int more_taps,
    int more_channels, int tap_count, int ldw, int stride_y, int stride_x, int out_height, int out_width, int pixels,
    int outputs OUTPUT_PARAMETERS OPERAND_PARAMETERS) {
    TILES_SHARED(value_t, tiles, STAGES * STAGE);
    SHARED(int, last, 1);
    SHARED(int, meanwhile, 3);  // m0, n0 and pixels, so that they take no registers
    const Outputs to = OUTPUT_VALUES;
    const Operands with = OPERAND_VALUES;
    const unsigned thread = threadIdx.x, lane = thread % 32, warp = thread / 32;

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
    meanwhile[0] = m0;
    meanwhile[1] = n0;
    int group = blockIdx.y, places_y = out_height, places_x = out_width;
    int first_tap = 0;
    if constexpr (PHASED) {
        const int* phase = phases + 8 * (blockIdx.y % PHASE_COUNT);
        group = blockIdx.y / PHASE_COUNT;
        first_tap = phase[0];
        tap_count = phase[1];
        w += phase[2];
        ldw = phase[3];
        places_y = phase[6];
        places_x = phase[7];
        pixels = pixels / (out_height * out_width) * places_y * places_x;
        if (m0 >= pixels) return;
        meanwhile[2] = pixels;
    }
    const int step_y = PHASED ? 1 : stride_y, step_x = PHASED ? 1 : stride_x;
    // Where all channels come by 16 bytes, nothing was added to the weights' rows.
    const int length = ALIKE ? ldw : kept(tap_count * channels);
    const int tiles_k = (length + BK - 1) / BK;
    const int share = (tiles_k + gridDim.z - 1) / gridDim.z;
    const int begin = blockIdx.z * share;
    const int end = begin + share < tiles_k ? begin + share : tiles_k;

    // The rows of A that this thread gathers: where they begin and what they see there. Rows past
    // the last pixel see what that sees; nobody looks at their sums.
    const int a_chunk = thread % A_CHUNKS * VEC, a_row = thread / A_CHUNKS;
    int origin[A_LOADS], at_y[A_LOADS], at_x[A_LOADS];  // origins count from the first row's
#pragma unroll
    for (int i = 0; i < A_LOADS; i++) {
        int row = m0 + a_row + i * A_STEP;
        unsigned p = row < pixels ? row : pixels - 1;
        if constexpr (POINTWISE) {
            origin[i] = p * ldx;
        } else {
            unsigned places = places_y * places_x, image = p / places, place = p % places;
            at_y[i] = place / places_x * step_y;
            at_x[i] = place % places_x * step_x;
            origin[i] = ((image * height + at_y[i]) * width + at_x[i]) * ldx;
        }
        if (i > 0) origin[i] = kept(origin[i] - origin[0]);
    }
    x = kept(x + group * channels + origin[0]);
    origin[0] = 0;
    int at_k = begin * BK + a_chunk;  // of this thread's share of the next tile of A
    int tap = first_tap + at_k / channels, channel = at_k % channels;
    int4 seen = {0, 0, 0, 0};
    auto find_tap = [&] {  // a tile ahead, for it takes long until it is here
        if constexpr (!POINTWISE) seen = ((const int4*)taps)[VEC == 1 ? first_tap * channels + at_k : tap];
    };
    find_tap();

    // The same of B, whose rows are weights.
    const int b_chunk = thread % B_CHUNKS * SIDE, b_row = thread / B_CHUNKS;
    int b_k = begin * BK + b_chunk, b_origin[B_LOADS];
    w += (size_t)(group * outputs + first + n0) * ldw;
#pragma unroll
    for (int i = 0; i < B_LOADS; i++) {
        int row = b_row + i * B_STEP;
        b_origin[i] = (n0 + row < count ? row : count - 1 - n0) * ldw;
        if (i > 0) b_origin[i] = kept(b_origin[i] - b_origin[0]);
    }
    w = kept(w + b_origin[0]);
    b_origin[0] = 0;

    const place_t place = place_of(tiles);
    const place_t a_place = place + (a_row * ROW + a_chunk) * ITEM;
    const place_t b_place =
        ALIKE ? a_place + BM * ROW * ITEM : place + ((BM + b_row) * ROW + b_chunk) * ITEM;
    auto load_tile = [&](int stage) {
        const bool inside = at_k < length;
        const int offset = POINTWISE ? at_k : VEC == 1 ? seen.z : seen.z + channel;
#pragma unroll
        for (int i = 0; i < A_LOADS; i++) {
            bool valid = inside;
            if constexpr (!POINTWISE)
                valid = valid & ((unsigned)(at_y[i] + seen.x) < (unsigned)height) &
                        ((unsigned)(at_x[i] + seen.y) < (unsigned)width);
            if (BM % A_STEP == 0 || a_row + i * A_STEP < BM)
                copy_async<VEC * ITEM>(a_place + (stage + i * A_STEP * ROW * ITEM),
                                       x + (origin[i] + offset), valid);
        }
#pragma unroll
        for (int i = 0; i < B_LOADS; i++) {
            if (BN % B_STEP == 0 || b_row + i * B_STEP < BN)
                copy_async<16>(b_place + (stage + i * B_STEP * ROW * ITEM),
                               w + (b_origin[i] + (ALIKE ? at_k : b_k)),
                               ALIKE ? inside : b_k < ldw);
        }
        at_k += BK;
        b_k += BK;
        if constexpr (!POINTWISE && VEC > 1) {
            channel += more_channels;
            tap += more_taps;
            if (channel >= channels) channel -= channels, tap++;
        }
        find_tap();
    };

    float sums[ROWS][COLS] = {};
    int left = end - begin;  // tiles to go
#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) {
        if (s < left) load_tile(s * STAGE * ITEM);
        copies_end();
    }
    // Matrix units: lanes 8 to 15 show the next rows of A, or the next 16 bytes of B.
    const int chunk_a = lane / 16 * SIDE, chunk_b = lane / 8 % 2 * SIDE;
    const int own_a = MATRIX ? lane % 16 * ROW + chunk_a : row_of(0, lane) * ROW;
    const int own_b = MATRIX ? (lane / 16 * 8 + lane % 8) * ROW + chunk_b : col_of(0, lane) * ROW;
    const place_t a = kept(place + (warp / WARPS_N * WM * ROW + own_a) * ITEM);
    const place_t b = kept(place + ((BM + warp % WARPS_N * WN) * ROW + own_b) * ITEM);
    int read = 0, write = (STAGES - 1) * STAGE * ITEM;
    for (; left > 0; left--) {
        copies_wait<STAGES - 2>();
        __syncthreads();
        if (left >= STAGES) load_tile(write);
        copies_end();
        if constexpr (MATRIX)
            multiply_matrix(sums, a + read, b + read);
        else
            multiply_plain(sums, a + read, b + read);
        write = read;
        read = read == (STAGES - 1) * STAGE * ITEM ? 0 : read + STAGE * ITEM;
    }

    // Which results the thread has: found out now, so that it takes no registers until here.
    const unsigned self = thread_number();
    int base_y = 0, base_x = 0;
    if constexpr (PHASED) {
        const int* phase = kept(phases) + 8 * (blockIdx.y % PHASE_COUNT);
        group = blockIdx.y / PHASE_COUNT;
        base_y = phase[4];
        base_x = phase[5];
        places_y = phase[6];
        places_x = phase[7];
        pixels = meanwhile[2];
    }
    const int own_row = meanwhile[0] + self / 32 / WARPS_N * WM + row_of(0, self % 32);
    const int own_col = meanwhile[1] + self / 32 % WARPS_N * WN + col_of(0, self % 32);

    if constexpr (SPLIT) {
        const size_t tile = blockIdx.x + (size_t)gridDim.x * blockIdx.y;
        float* parts = partial + tile * gridDim.z * (ROWS * COLS * THREADS) + self;
        float* own = parts + blockIdx.z * (ROWS * COLS * THREADS);
#pragma unroll
        for (int e = 0; e < ROWS * COLS; e++) own[e * THREADS] = sums[e / COLS][e % COLS];
        __threadfence();
        __syncthreads();
        if (self == 0) last[0] = atomicAdd(tickets + tile, 1u) == gridDim.z - 1;
        __syncthreads();
        if (!last[0]) return;
        if (self == 0) tickets[tile] = 0;
        __threadfence();
#pragma unroll
        for (int e = 0; e < ROWS * COLS; e++) sums[e / COLS][e % COLS] = 0.0f;
        for (int z = 0; z < gridDim.z; z++, parts += ROWS * COLS * THREADS) {
#pragma unroll
            for (int e = 0; e < ROWS * COLS; e++)
                sums[e / COLS][e % COLS] += __ldcg(parts + e * THREADS);
        }
    }

    // What a few rows' epilogues read is asked for at once, so that it is waited for once: results
    // that nobody wants are made of their neighbours' operands, and are not stored.
    auto finish = [&](bool whole) {
        const int beside = COLS <= 8 ? COLS : whole ? 8 : 4;  // columns that end together
#pragma unroll
        for (int part = 0; part < ROWS / AT_ONCE * (COLS / beside); part++) {
            const int first_row = part / (COLS / beside) * AT_ONCE;
            const int first_col = part % (COLS / beside) * beside;
            int pixel[AT_ONCE], begin_col = whole ? own_col : kept(own_col);
#pragma unroll
            for (int i = 0; i < AT_ONCE; i++) {
                const int r = first_row + i, p = own_row + row_of(r, 0);
                pixel[i] = p < pixels ? p : pixels - 1;
                if constexpr (LARGE) pixel[i] = kept(pixel[i]);  // or too much is known early
                if constexpr (PHASED) {
                    unsigned places = places_y * places_x;
                    unsigned image = pixel[i] / places, place = pixel[i] % places;
                    int down = place / places_x * stride_y + base_y;
                    int right = place % places_x * stride_x + base_x;
                    pixel[i] = (image * out_height + down) * out_width + right;
                }
#pragma unroll
                for (int c = first_col; c < first_col + beside; c++) {
                    int o = begin_col + col_of(c, 0);
                    if (!whole && o >= count) o = count - 1;
                    sums[r][c] = chain(sums[r][c], pixel[i], o + group * outputs, branch, with);
                }
            }
#pragma unroll
            for (int i = 0; i < AT_ONCE; i++) {
                const int r = first_row + i;
                if (own_row + row_of(r, 0) >= pixels) continue;
                value_t* row = y + (size_t)pixel[i] * ldy + (own_col + group * outputs);
#pragma unroll
                for (int c = first_col; c < first_col + beside; c += PAIRS ? 2 : 1) {
                    if (!whole && own_col + col_of(c, 0) >= count) continue;
                    if constexpr (PAIRS)
                        store2(row + col_of(c, 0), sums[r][c], sums[r][c + 1]);
                    else
                        store(row + col_of(c, 0), sums[r][c]);
                }
            }
        }
    };
    const int after = own_col - col_of(0, self % 32) + WN;  // the channel after the warp's
    if (after <= count)
        finish(true);
    else if (after - WN < count)
        finish(false);
}
