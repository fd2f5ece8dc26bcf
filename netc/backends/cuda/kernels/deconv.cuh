// A deconvolution, seen from its outputs: output place o takes the inputs i with
// i * stride + tap * dilation = o + pad. A thread makes one element, of `outputs` in each group from
// `inputs` of the same group; weights lie as taps x inputs x all outputs.

KERNEL KERNEL_NAME(const value_t* x, const value_t* w, int ldx, int inputs, int outputs,
                   int channels, int height, int width, int out_height, int out_width,
                   int count OUTPUT_PARAMETERS OPERAND_PARAMETERS) {
    const Outputs to = OUTPUT_VALUES;
    const Operands with = OPERAND_VALUES;
    FOR_EACH(i, count) {
        int channel = i % channels, pixel = i / channels;
        int column = pixel % out_width, row = pixel / out_width % out_height;
        int image = pixel / (out_width * out_height);
        const value_t* plane =
            x + (size_t)image * height * width * ldx + channel / outputs * inputs;
        float sum = 0.0f;
        for (int v = 0; v < KERNEL_Y; v++) {
            int far_y = row + PAD_Y - v * DILATION_Y, at_y = far_y / STRIDE_Y;
            if (far_y < 0 || at_y * STRIDE_Y != far_y || at_y >= height) continue;
            for (int u = 0; u < KERNEL_X; u++) {
                int far_x = column + PAD_X - u * DILATION_X, at_x = far_x / STRIDE_X;
                if (far_x < 0 || at_x * STRIDE_X != far_x || at_x >= width) continue;
                const value_t* seen = plane + (size_t)(at_y * width + at_x) * ldx;
                const value_t* row_of_w = w + (size_t)(v * KERNEL_X + u) * inputs * channels;
                for (int c = 0; c < inputs; c++)
                    sum = fmaf(load(seen + c), load(row_of_w + (size_t)c * channels + channel), sum);
            }
        }
        store(to.y[0] + (size_t)pixel * to.ld[0] + channel,
              chain(sum, pixel, channel, 0, with));
    }
}
