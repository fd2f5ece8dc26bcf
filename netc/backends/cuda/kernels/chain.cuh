// A chain of elementwise layers as one pass over a value; a thread makes VEC neighbours of a pixel.

KERNEL KERNEL_NAME(const value_t* x, int ldx, int channels, int count OUTPUT_PARAMETERS
                       OPERAND_PARAMETERS) {
    const Outputs to = OUTPUT_VALUES;
    const Operands with = OPERAND_VALUES;
    FOR_EACH(i, count) {
        int pixel = i / (channels / VEC), channel = i % (channels / VEC) * VEC;
        float values[VEC];
        load_all(values, x + (size_t)pixel * ldx + channel);
        chain_all(values, pixel, channel, with);
        store_all(to.y[0] + (size_t)pixel * to.ld[0] + channel, values);
    }
}
