// A convolution whose every output channel sees one input channel: output channel o sees channel
// o / MULTIPLIER. A thread makes COLUMNS neighbours of a row, which share what they see and the
// weights, of VEC neighbouring channels (1 with a MULTIPLIER); weights lie as taps x channels.

constexpr int SPAN = (COLUMNS - 1) * STRIDE_X + (KERNEL_X - 1) * DILATION_X + 1;
constexpr int UNROLL = KERNEL_X * KERNEL_Y <= 64 ? KERNEL_X : 1;

KERNEL KERNEL_NAME(const value_t* x, const value_t* w, int ldx, int channels, int height, int width,
                   int out_height, int out_width, int count OUTPUT_PARAMETERS OPERAND_PARAMETERS) {
    const Outputs to = OUTPUT_VALUES;
    const Operands with = OPERAND_VALUES;
    const int across = (out_width + COLUMNS - 1) / COLUMNS;
    FOR_EACH(i, count) {
        // Neighbouring threads take neighbouring channels: their loads lie side by side.
        int channel = i % (channels / VEC) * VEC, place = i / (channels / VEC);
        int column = place % across * COLUMNS, row = place / across % out_height;
        int image = place / (across * out_height);
        int top = row * STRIDE_Y - PAD_Y, left = column * STRIDE_X - PAD_X;
        const value_t* plane = x + (size_t)image * height * width * ldx + channel / MULTIPLIER;
        float sums[COLUMNS][VEC] = {};
        // A row of the window at a time; rows outside the input add nothing.
        for (int v = 0; v < KERNEL_Y; v++) {
            int at_y = top + v * DILATION_Y;
            if ((unsigned)at_y >= (unsigned)height) continue;
            const value_t* line = plane + (size_t)at_y * width * ldx;
            const value_t* taps = w + (size_t)v * KERNEL_X * channels + channel;
            if constexpr (COLUMNS == 1) {
#pragma unroll UNROLL
                for (int u = 0; u < KERNEL_X; u++) {
                    int at_x = left + u * DILATION_X;
                    if ((unsigned)at_x >= (unsigned)width) continue;
                    float seen[VEC], tap[VEC];
                    load_all(seen, line + (size_t)at_x * ldx);
                    load_all(tap, taps + (size_t)u * channels);
#pragma unroll
                    for (int e = 0; e < VEC; e++) sums[0][e] = fmaf(seen[e], tap[e], sums[0][e]);
                }
            } else {
                // Each pixel under the windows of all COLUMNS is loaded once:
                //
                //   STRIDE_X 1, 3 taps:   output 0 = seen 0 1 2,  output 1 = seen 1 2 3,  ...
                float seen[SPAN][VEC] = {};
#pragma unroll
                for (int s = 0; s < SPAN; s++) {
                    int at_x = left + s;
                    if ((unsigned)at_x < (unsigned)width)
                        load_all(seen[s], line + (size_t)at_x * ldx);
                }
#pragma unroll
                for (int u = 0; u < KERNEL_X; u++) {
                    float tap[VEC];
                    load_all(tap, taps + (size_t)u * channels);
#pragma unroll
                    for (int t = 0; t < COLUMNS; t++) {
#pragma unroll
                        for (int e = 0; e < VEC; e++)
                            sums[t][e] = fmaf(seen[t * STRIDE_X + u * DILATION_X][e], tap[e],
                                              sums[t][e]);
                    }
                }
            }
        }
#pragma unroll
        for (int t = 0; t < COLUMNS; t++) {
            if (column + t >= out_width) continue;
            // The epilogue, then the only store of this output.
            int pixel = (image * out_height + row) * out_width + column + t;
#pragma unroll
            for (int e = 0; e < VEC; e++)
                sums[t][e] = chain(sums[t][e], pixel, channel + e, 0, with);
            store_all(to.y[0] + (size_t)pixel * to.ld[0] + channel, sums[t]);
        }
    }
}
