// The gradient of a loss over pairs of numbers (pair_loss.cuh) by one of them; `sign` is -1 by the
// second. VALID: the divisor is at `kept`, at least 1; else it is `divisor`.

KERNEL KERNEL_NAME(const value_t* x, const value_t* y, const value_t* top, const float* kept,
                   value_t* out, float ignored, float divisor, float sign, int count) {
    float by = divisor;
    if (VALID) by = kept[0] > 1.0f ? kept[0] : 1.0f;
    const float scale = sign * (load(top) / by);
    FOR_EACH(i, count) {
        float one = load(x + i), other = load(y + i);
        float slope = SIGMOID ? sigmoid(one) - other : one - other;
        if (SIGMOID && IGNORES && truncf(other) == ignored) slope = 0.0f;
        store(out + i, slope * scale);
    }
}
