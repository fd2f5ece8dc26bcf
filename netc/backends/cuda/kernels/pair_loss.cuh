// A loss over pairs of numbers: EuclideanLoss, or with SIGMOID SigmoidCrossEntropyLoss, whose pairs
// with the target `ignored` count for nothing where it IGNORES one (euclidean_loss_layer.cpp,
// sigmoid_cross_entropy_loss_layer.cpp). A block adds up SPAN pairs; the last to come adds up all
// blocks' sums, in order.
//
// VALID: the divisor is the number of pairs that count, at least 1; else it is `divisor`.

constexpr int SPAN = 4096;

KERNEL KERNEL_NAME(const value_t* x, const value_t* y, value_t* loss, double* partial,
                   unsigned* tickets, int count, float ignored, float divisor) {
    SHARED(double, sums, 256);
    SHARED(int, numbers, 256);
    SHARED(int, last, 1);
    double sum = 0.0;
    int number = 0;
    const int end = (blockIdx.x + 1) * SPAN < count ? (blockIdx.x + 1) * SPAN : count;
    for (int i = blockIdx.x * SPAN + threadIdx.x; i < end; i += blockDim.x) {
        float one = load(x + i), other = load(y + i);
        if (SIGMOID) {
            if (IGNORES && truncf(other) == ignored) continue;
            float far = one >= 0.0f ? 1.0f : 0.0f;
            sum -= (double)(one * (other - far) - log1pf(expf(one - 2.0f * one * far)));
            number++;
        } else {
            float apart = one - other;
            sum += (double)apart * apart;
        }
    }
    sums[threadIdx.x] = sum;
    numbers[threadIdx.x] = number;
    for (int reach = 128; reach > 0; reach /= 2) {
        __syncthreads();
        if (threadIdx.x < reach) {
            sums[threadIdx.x] += sums[threadIdx.x + reach];
            numbers[threadIdx.x] += numbers[threadIdx.x + reach];
        }
    }
    if (threadIdx.x == 0) {
        partial[2 * blockIdx.x] = sums[0];
        partial[2 * blockIdx.x + 1] = numbers[0];
        __threadfence();
        last[0] = atomicAdd(tickets, 1u) == gridDim.x - 1;
    }
    __syncthreads();
    if (!last[0] || threadIdx.x != 0) return;
    tickets[0] = 0;
    __threadfence();
    double total = 0.0, counted = 0.0;
    for (int b = 0; b < gridDim.x; b++) {
        const volatile double* part = partial + 2 * b;
        total += part[0];
        counted += part[1];
    }
    store(loss, (float)(total / (VALID ? (counted > 1.0 ? counted : 1.0) : (double)divisor)));
}
