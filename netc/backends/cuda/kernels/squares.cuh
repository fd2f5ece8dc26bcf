// Sums of squares of MANY arrays, in double: block b leaves the sum over its SPAN elements, of one
// part, at `sums[b]`; blocks are numbered through all parts. Elements are first multiplied by `share`
// and, where CLIPPED, by the factor at `clip`.

constexpr int SPAN = 8192;

KERNEL KERNEL_NAME(double* sums, const value_t* clip, float share OPERAND_PARAMETERS) {
    SHARED(double, parts, 256);
    const Operands with = OPERAND_VALUES;
    Part part = with.parts[0];
    int start = 0;
#pragma unroll
    for (int i = 1, begun = 0; i < MANY; i++) {
        begun += (with.parts[i - 1].count + SPAN - 1) / SPAN;
        if (blockIdx.x >= begun) part = with.parts[i], start = begun;
    }
    const float scale = CLIPPED ? load(clip) : 1.0f;
    const int from = (blockIdx.x - start) * SPAN;
    double sum = 0.0;
    for (int i = from + 4 * threadIdx.x; i < from + SPAN && i < part.count; i += 4 * blockDim.x) {
        float seen[4];
        load_some(seen, part.data + i, part.count - i, i + 4 <= part.count);
#pragma unroll
        for (int e = 0; e < 4; e++) {
            float mean = (CLIPPED ? seen[e] * scale : seen[e]) * share;
            sum += (double)mean * mean;
        }
    }
    parts[threadIdx.x] = sum;
    for (int reach = 128; reach > 0; reach /= 2) {
        __syncthreads();
        if (threadIdx.x < reach) parts[threadIdx.x] += parts[threadIdx.x + reach];
    }
    if (threadIdx.x == 0) sums[blockIdx.x] = parts[0];
}
