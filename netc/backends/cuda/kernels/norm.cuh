// What follows from sums of squares (squares.cuh): one block adds `first` sums up, in an order that
// does not depend on anything else, and `second` more that follow them.
//
// LOCAL: the rate of one parameter by its norm and that of its gradient (netc.ops.update_rules,
// local_rate), to `local`. Else: the norm of all gradients, and what scales it down to `limit`.

DEVICE float norm_of(const double* sums, int count, double* parts) {
    double sum = 0.0;
    for (int i = threadIdx.x; i < count; i += blockDim.x) sum += sums[i];
    parts[threadIdx.x] = sum;
    for (int reach = 128; reach > 0; reach /= 2) {
        __syncthreads();
        if (threadIdx.x < reach) parts[threadIdx.x] += parts[threadIdx.x + reach];
    }
    __syncthreads();
    sum = parts[0];
    __syncthreads();
    return sqrtf((float)sum);
}

KERNEL KERNEL_NAME(const double* sums, int first, int second, const value_t* rate, float limit,
                   float decay, float* local, value_t* scale, value_t* norm) {
    SHARED(double, parts, 256);
    const float one = norm_of(sums, first, parts);
    if (!LOCAL) {
        if (threadIdx.x == 0) {
            store(scale, one > limit ? limit / one : 1.0f);
            store(norm, one);
        }
        return;
    }
    const float other = norm_of(sums + first, second, parts);
    if (threadIdx.x == 0) {
        float own = one > 0.0f && other > 0.0f ? limit * one / (other + decay * one) : 1.0f;
        float given = load(rate);
        local[0] = BOUND ? (own < given ? own : given) : given * own;
    }
}
