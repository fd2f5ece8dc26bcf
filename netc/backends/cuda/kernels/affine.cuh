// A trained array times a number, plus another.

KERNEL KERNEL_NAME(const float* x, value_t* y, float scale, float term, int count) {
    FOR_EACH(i, count) store(y + i, scale * x[i] + term);
}
