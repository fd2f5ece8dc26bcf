// Any rearrangement: element i of the output, channels innermost, is the input's element `table[i]`,
// counted in the input's memory; 0 where that is negative.

KERNEL KERNEL_NAME(const value_t* x, const int* table, value_t* y, int ldy, int channels,
                   int count) {
    FOR_EACH(i, count) {
        int from = table[i];
        store(y + (size_t)(i / channels) * ldy + i % channels, from < 0 ? 0.0f : load(x + from));
    }
}
