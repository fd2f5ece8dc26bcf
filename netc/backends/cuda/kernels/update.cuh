// Updates of MANY parameters: each element of a part by its gradient, itself and its history (the
// definitions are those of netc.ops.update_rules, in the order of Caffe's operations). A block makes
// SPAN elements of one part, a thread four neighbours; blocks are numbered through all parts. A part's new
// arrays may be its old ones. With `taps` the gradient lies in images of so many pixels whose channels
// are innermost, `apart` elements from pixel to pixel, and all else in Caffe's order.
//
// RULE: 0 SGD, 1 Nesterov, 2 AdaGrad, 3 RMSProp, 4 AdaDelta, 5 Adam, 6 Adam whose next second mean
// begins with the largest, 7 AMSGrad, 8 AdaMax. DECAY: 0 L2, 1 L1. DECOUPLED: weight decay is part
// of the step (AdamW). REACHED: there is a gradient; CLIPPED: and a factor for it. LOCAL: the rate is
// that at `local`, in the place of the iteration's times lr_mult.

constexpr int HISTORIES = RULE == 7 ? 3 : RULE == 4 || RULE == 5 || RULE == 6 || RULE == 8 ? 2 : 1;
constexpr int SPAN = 2048;

DEVICE float decayed(float g, float data, float decay) {
    if (decay == 0.0f) return g;
    float sign = data > 0.0f ? 1.0f : data < 0.0f ? -1.0f : data;
    return g + decay * (DECAY == 0 ? data : sign);
}

// `beta` to the power of `steps`: squares in double, as far as float32 tells the result from 0.
DEVICE float faded(float beta, int steps) {
    double result = 1.0, square = beta;
    for (; steps > 0; steps /= 2) {
        if (steps % 2) result *= square;
        square *= square;
    }
    return (float)result;
}

// Four neighbours of a gradient whose images have their channels innermost, in Caffe's order.
DEVICE void load_turned(float (&g)[4], const Part& part, int from) {
#pragma unroll
    for (int e = 0; e < 4; e++) {
        const int i = from + e, row = i / part.taps, tap = i % part.taps;
        const int image = row / part.channels, channel = row % part.channels;
        if (i < part.count)
            g[e] = load(part.gradient + ((size_t)image * part.taps + tap) * part.apart + channel);
    }
}

KERNEL KERNEL_NAME(const value_t* rate, const value_t* iteration, const value_t* clip,
                   const float* local, float share, float momentum, float momentum2,
                   float rms_decay, float delta, const float* faults,
                   int fault_count OPERAND_PARAMETERS) {
    SHARED(float, correction, 1);
    // A run that ends with an error leaves all variables as they are.
    for (int i = 0; i < fault_count; i++) {
        if (faults[2 * i] != 0.0f) return;
    }
    const Operands with = OPERAND_VALUES;
    // Which part: copied piece by piece, since an index that is not known would need memory.
    Part part = with.parts[0];
    int start = 0;
#pragma unroll
    for (int i = 1, begun = 0; i < MANY; i++) {
        begun += (with.parts[i - 1].count + SPAN - 1) / SPAN;
        if (blockIdx.x >= begun) part = with.parts[i], start = begun;
    }
    if (RULE >= 5 && threadIdx.x == 0) {  // of means that begin at 0
        int steps = (int)load(iteration) + 1;
        float first = 1.0f - faded(momentum, steps);
        correction[0] = RULE == 8 ? 1.0f / first : sqrtf(1.0f - faded(momentum2, steps)) / first;
    }
    __syncthreads();
    const float plain = LOCAL ? local[0] : load(rate) * part.lr_mult;
    const float moving = RULE >= 5 ? plain * correction[0] : plain;
    const float scale = CLIPPED ? load(clip) : 1.0f;
    const int from = (blockIdx.x - start) * SPAN;
    for (int i = from + 4 * threadIdx.x; i < from + SPAN && i < part.count; i += 4 * blockDim.x) {
        const bool whole = i + 4 <= part.count;
        float g[4] = {}, data[4], a[4], b[4] = {}, c[4] = {};
        if (REACHED && part.taps == 0) load_some(g, part.gradient + i, part.count - i, whole);
        if (REACHED && part.taps != 0) load_turned(g, part, i);
        load_some(data, part.data + i, part.count - i, whole);
        load_some(a, part.first + i, part.count - i, whole);
        if (HISTORIES > 1) load_some(b, part.second + i, part.count - i, whole);
        if (HISTORIES > 2) load_some(c, part.third + i, part.count - i, whole);
#pragma unroll
        for (int e = 0; e < 4; e++) {
            float mean = CLIPPED ? g[e] * scale : g[e];
            mean *= share;
            if (!DECOUPLED) mean = decayed(mean, data[e], part.decay);
            float step;
            if (RULE < 2) {  // the rate is inside the history
                float before = a[e];
                a[e] = plain * mean + momentum * before;
                step = RULE == 0 ? a[e] : (1.0f + momentum) * a[e] - momentum * before;
            } else if (RULE < 4) {
                float square = mean * mean;
                a[e] = RULE == 2 ? a[e] + square : (1.0f - rms_decay) * square + rms_decay * a[e];
                step = plain * (mean / (sqrtf(a[e]) + delta));
            } else if (RULE == 4) {  // the mean of steps is of those before the rate
                a[e] = (1.0f - momentum) * (mean * mean) + momentum * a[e];
                float value = mean * sqrtf((b[e] + delta) / (a[e] + delta));
                b[e] = (1.0f - momentum) * (value * value) + momentum * b[e];
                step = plain * value;
            } else if (RULE < 8) {
                a[e] = (1.0f - momentum) * mean + momentum * a[e];
                float second = (1.0f - momentum2) * (mean * mean) + momentum2 * b[e];
                b[e] = RULE == 6 ? larger(b[e], second) : second;
                if (RULE == 7) c[e] = larger(c[e], second);
                step = moving * (a[e] / (sqrtf(RULE == 7 ? c[e] : b[e]) + delta));
            } else {
                a[e] = (1.0f - momentum) * mean + momentum * a[e];
                b[e] = larger(momentum2 * b[e] + 1e-7f, fabsf(mean));
                step = moving * (a[e] / b[e]);
            }
            if (DECOUPLED) step += plain * decayed(0.0f, data[e], part.decay);
            data[e] -= step;
        }
        store_some(part.new_data + i, data, part.count - i, whole);
        store_some(part.new_first + i, a, part.count - i, whole);
        if (HISTORIES > 1) store_some(part.new_second + i, b, part.count - i, whole);
        if (HISTORIES > 2) store_some(part.new_third + i, c, part.count - i, whole);
    }
}
