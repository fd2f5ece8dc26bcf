// A convolution whose every output channel sees one input channel: output channel o sees channel
// o / MULTIPLIER. A thread makes one element; weights lie as taps x channels.

KERNEL KERNEL_NAME(const value_t* x, const value_t* w, int ldx, int channels, int height, int width,
                   int out_height, int out_width, int count OUTPUT_PARAMETERS OPERAND_PARAMETERS) {
    const Outputs to = OUTPUT_VALUES;
    const Operands with = OPERAND_VALUES;
    FOR_EACH(i, count) {
        int channel = i % channels, pixel = i / channels;
        int column = pixel % out_width, row = pixel / out_width % out_height;
        int image = pixel / (out_width * out_height);
        int top = row * STRIDE_Y - PAD_Y, left = column * STRIDE_X - PAD_X;
        const value_t* plane = x + (size_t)image * height * width * ldx + channel / MULTIPLIER;
        float sum = 0.0f;
#pragma unroll
        for (int v = 0; v < KERNEL_Y; v++) {
#pragma unroll
            for (int u = 0; u < KERNEL_X; u++) {
                int at_y = top + v * DILATION_Y, at_x = left + u * DILATION_X;
                if ((unsigned)at_y < (unsigned)height && (unsigned)at_x < (unsigned)width)
                    sum = fmaf(load(plane + (size_t)(at_y * width + at_x) * ldx),
                               load(w + (v * KERNEL_X + u) * channels + channel), sum);
            }
        }
        store(to.y[0] + (size_t)pixel * to.ld[0] + channel,
              chain(sum, pixel, channel, 0, with));
    }
}
