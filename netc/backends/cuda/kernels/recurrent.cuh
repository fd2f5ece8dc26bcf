// A step of a recurrent layer: units[n, u] = driven[n, u] + fixed[n, u] + sum over k of
// cont[n] * before[n, k] * W[u, k]; unit g * hidden + j is gate g of hidden unit j. A plain layer
// (GATES 1) takes the hyperbolic tangent of it. An LSTM (GATES 4) has the gates input, forget, output
// and new value, in this order, and a cell for each hidden unit, which is kept in float32.
//
// A warp makes one hidden unit of ROWS streams, so that each weight is read once. `before`,
// `fixed`, `first_cell`, `last` and `last_cell` may be null.

DEVICE float gate(float x) { return 1.0f / (1.0f + expf(-x)); }

KERNEL KERNEL_NAME(const value_t* driven, const value_t* fixed, const value_t* w,
                   const value_t* cont, const value_t* before, const value_t* first_cell,
                   float* cell, value_t* y, value_t* last, value_t* last_cell, int streams,
                   int hidden) {
    SHARED(float, parts, ROWS * GATES * 128);
    const int lane = threadIdx.x % 32, first = blockIdx.y * ROWS;
    const int j = blockIdx.x * 4 + threadIdx.x / 32;
    float sums[ROWS][GATES] = {};
    if (j < hidden && before) {
        float kept[ROWS];
#pragma unroll
        for (int r = 0; r < ROWS; r++)
            kept[r] = first + r < streams ? load(cont + first + r) : 0.0f;
        for (int k = lane; k < hidden; k += 32) {
            float weight[GATES];
#pragma unroll
            for (int g = 0; g < GATES; g++)
                weight[g] = load(w + ((size_t)g * hidden + j) * hidden + k);
#pragma unroll
            for (int r = 0; r < ROWS; r++) {
                if (first + r >= streams) continue;
                float seen = kept[r] * load(before + (size_t)(first + r) * hidden + k);
#pragma unroll
                for (int g = 0; g < GATES; g++) sums[r][g] = fmaf(seen, weight[g], sums[r][g]);
            }
        }
    }
#pragma unroll
    for (int e = 0; e < ROWS * GATES; e++)
        parts[e * 128 + threadIdx.x] = sums[e / GATES][e % GATES];
    for (int reach = 16; reach > 0; reach /= 2) {
        __syncthreads();
        if (lane < reach) {
#pragma unroll
            for (int e = 0; e < ROWS * GATES; e++)
                parts[e * 128 + threadIdx.x] += parts[e * 128 + threadIdx.x + reach];
        }
    }
    __syncthreads();
    const int n = first + lane;
    if (lane >= ROWS || j >= hidden || n >= streams) return;
    float units[GATES];
#pragma unroll
    for (int g = 0; g < GATES; g++) {
        size_t place = ((size_t)n * GATES + g) * hidden + j;
        units[g] = parts[(lane * GATES + g) * 128 + threadIdx.x - lane] + load(driven + place);
        if (fixed) units[g] += load(fixed + place);
    }
    const size_t place = (size_t)n * hidden + j;
    float value;
    if constexpr (GATES == 4) {
        float c = first_cell ? load(first_cell + place) : before ? cell[place] : 0.0f;
        float carried = load(cont + n);
        // Where cont is 0 so is the forget gate, even for a gate that is not a number.
        if (carried != 0.0f) carried *= gate(units[1]);
        c = carried * c + gate(units[0]) * tanhf(units[3]);
        cell[place] = c;
        if (last_cell) store(last_cell + place, c);
        value = gate(units[2]) * tanhf(c);
    } else {
        value = tanhf(units[0]);
    }
    store(y + place, value);
    if (last) store(last + place, value);
}
