// A chain of elementwise layers as one pass over a value; a thread makes one element at a time.

KERNEL KERNEL_NAME(const value_t* x, int ldx, int channels, int count OUTPUT_PARAMETERS
                       OPERAND_PARAMETERS) {
    const Outputs to = OUTPUT_VALUES;
    const Operands with = OPERAND_VALUES;
    FOR_EACH(i, count) {
        int pixel = i / channels, channel = i % channels;
        float value = load(x + (size_t)pixel * ldx + channel);
        store(to.y[0] + (size_t)pixel * to.ld[0] + channel, chain(value, pixel, channel, 0, with));
    }
}
