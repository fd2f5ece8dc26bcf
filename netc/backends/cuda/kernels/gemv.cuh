// A matrix product for few rows: Y[r, o] = sum over k of X[r, k] * W[o, k], r < BATCH. A warp makes
// one output of all rows, so that each weight is read once. K is a multiple of SIDE elements, which
// are read at once.

KERNEL KERNEL_NAME(const value_t* x, const value_t* w, int ldx, int ldw, int length,
                   int count OUTPUT_PARAMETERS OPERAND_PARAMETERS) {
    SHARED(float, parts, BATCH * 128);
    const Outputs to = OUTPUT_VALUES;
    const Operands with = OPERAND_VALUES;
    const int lane = threadIdx.x % 32;
    const int o = blockIdx.x * 4 + threadIdx.x / 32;
    float sums[BATCH] = {};
    if (o < count) {
        const value_t* row = w + (size_t)o * ldw;
        int k = lane * SIDE;
#pragma unroll 4
        for (; k + SIDE <= length; k += 32 * SIDE) {
            float weight[SIDE];
            load_all(weight, row + k);
#pragma unroll
            for (int r = 0; r < BATCH; r++) {
                float seen[SIDE];
                load_all(seen, x + (size_t)r * ldx + k);
#pragma unroll
                for (int e = 0; e < SIDE; e++) sums[r] = fmaf(seen[e], weight[e], sums[r]);
            }
        }
    }
#pragma unroll
    for (int r = 0; r < BATCH; r++) parts[r * 128 + threadIdx.x] = sums[r];
    for (int reach = 16; reach > 0; reach /= 2) {
        __syncthreads();
        if (lane < reach) {
#pragma unroll
            for (int r = 0; r < BATCH; r++)
                parts[r * 128 + threadIdx.x] += parts[r * 128 + threadIdx.x + reach];
        }
    }
    __syncthreads();
    if (lane < BATCH && o < count)
        store(to.y[0] + (size_t)lane * to.ld[0] + o,
              chain(parts[lane * 128 + threadIdx.x - lane], lane, o, 0, with));
}
