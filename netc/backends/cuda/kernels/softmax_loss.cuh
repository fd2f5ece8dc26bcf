// Softmax with the cross entropy of a label for each row (softmax_loss_layer.cpp): the loss, or with
// BACK its gradient by the scores. TEAM threads share a row, 256 / TEAM rows a block, `share` rows a
// team. Row r begins at r / inner_rows * outer + r % inner_rows * inner elements; its label is the
// r-th, `label_step` elements after the one before.
//
// Each block leaves the sum of its losses, how many labels count, how many of those are no class and
// the first such row in `partial`; the last block to come adds them up in order and writes the loss
// and, to `fault`, how many are wrong and the first that is.
//
// VALID: the divisor is the number of labels that count, at least 1; else it is `divisor`.
// IGNORES: `ignored` is the label that is left out. PROB: probabilities are written too.
// WEIGHTED: `weights` has a factor for each class.

constexpr float FLT_LEAST = 1.17549435e-38f;

#include "softmax_row.cuh"

// A label's integer, cut off as a cast does; -1 if it is none that a class could have.
DEVICE int label_of(float value) {
    return value > -1.0f && value < 2147483648.0f ? (int)value : -1;
}

DEVICE bool counts(float value, float ignored) {
    return !IGNORES || truncf(value) != ignored;
}

KERNEL KERNEL_NAME(const value_t* x, const value_t* labels, const float* weights, const value_t* top,
                   const float* kept, value_t* loss, value_t* y, double* partial, float* fault,
                   unsigned* tickets, int rows, int length, int inner_rows, int x_outer,
                   int x_inner, int x_step, int y_outer, int y_inner, int y_step, int label_step,
                   int share, float ignored, float divisor) {
    SHARED(float, parts, 256);
    SHARED(double, losses, 256);
    SHARED(int, valid, 256);
    SHARED(int, wrong, 256);
    SHARED(int, where, 256);
    SHARED(int, last, 1);
    const int member = threadIdx.x % TEAM;
    double lost = 0.0;
    int number = 0, bad = 0, first_bad = 2147483647;
    float by = divisor;
    if (BACK && VALID) by = kept[0] > 1.0f ? kept[0] : 1.0f;
    for (int s = 0; s < share; s++) {
        const int row = (blockIdx.x * (256 / TEAM) + threadIdx.x / TEAM) * share + s;
        const bool real = row < rows;
        const int a = row / inner_rows, b = row % inner_rows;
        const value_t* from = x + (size_t)a * x_outer + (size_t)b * x_inner;
        value_t* to = y + (size_t)a * y_outer + (size_t)b * y_inner;
        const float value = real ? load(labels + (size_t)row * label_step) : 0.0f;
        const int label = label_of(value);
        const bool counted = real && counts(value, ignored);
        const bool known = counted && label >= 0 && label < length;
        const Row all = row_of(from, length, x_step, real, parts);
        const float factor = WEIGHTED && known ? weights[label] : 1.0f;
        if (BACK) {
            const float scale = load(top) / by * factor;
            for (int i = member; real && i < length; i += TEAM) {
                float chance = expf(load(from + (size_t)i * x_step) - all.largest) / all.sum;
                float slope = known ? chance - (i == label ? 1.0f : 0.0f) : 0.0f;
                store(to + (size_t)i * y_step, slope * scale);
            }
            continue;
        }
        if (member == 0) {
            number += counted;
            if (counted && !known) bad++, first_bad = row < first_bad ? row : first_bad;
            if (known) {
                float chance =
                    expf(load(from + (size_t)label * x_step) - all.largest) / all.sum;
                lost -= (double)(logf(larger(FLT_LEAST, chance)) * factor);
            }
        }
        // Where probabilities may lie over the scores, all must have read the label's first.
        __syncthreads();
        for (int i = member; PROB && real && i < length; i += TEAM)
            store(to + (size_t)i * y_step,
                  expf(load(from + (size_t)i * x_step) - all.largest) / all.sum);
    }
    if (BACK) return;
    losses[threadIdx.x] = lost;
    valid[threadIdx.x] = number;
    wrong[threadIdx.x] = bad;
    where[threadIdx.x] = first_bad;
    for (int reach = 128; reach > 0; reach /= 2) {
        __syncthreads();
        if (threadIdx.x < reach) {
            losses[threadIdx.x] += losses[threadIdx.x + reach];
            valid[threadIdx.x] += valid[threadIdx.x + reach];
            wrong[threadIdx.x] += wrong[threadIdx.x + reach];
            int other = where[threadIdx.x + reach];
            if (other < where[threadIdx.x]) where[threadIdx.x] = other;
        }
    }
    if (threadIdx.x == 0) {
        double* own = partial + (size_t)blockIdx.x * 4;
        own[0] = losses[0];
        own[1] = valid[0];
        own[2] = wrong[0];
        own[3] = where[0];
        __threadfence();
        last[0] = atomicAdd(tickets, 1u) == gridDim.x - 1;
    }
    __syncthreads();
    if (!last[0] || threadIdx.x != 0) return;
    tickets[0] = 0;
    __threadfence();
    double total = 0.0, valid_sum = 0.0, wrong_sum = 0.0, at = 2147483647.0;
    for (int b = 0; b < gridDim.x; b++) {
        const volatile double* part = partial + (size_t)b * 4;
        total += part[0];
        valid_sum += part[1];
        wrong_sum += part[2];
        double first = part[3];
        at = first < at ? first : at;
    }
    store(loss, (float)(total / (VALID ? (valid_sum > 1.0 ? valid_sum : 1.0) : (double)divisor)));
    fault[0] = (float)wrong_sum;
    fault[1] = wrong_sum > 0.0 ? load(labels + (size_t)(int)at * label_step) : 0.0f;
}
