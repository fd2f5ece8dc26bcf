// Pooling; a thread makes VEC neighbouring channels of an output pixel. METHOD: 0 the largest, 1 the
// largest and where it stood, 2 the average, 3 what stochastic pooling gives on average
// (pooling_layer.cpp, .cu).

KERNEL KERNEL_NAME(const value_t* x, value_t* y, value_t* mask, int ldx, int ldy, int ld_mask,
                   int channels, int height, int width, int out_height, int out_width, int count) {
    FOR_EACH(i, count) {
        int channel = i % (channels / VEC) * VEC, pixel = i / (channels / VEC);
        int column = pixel % out_width, row = pixel / out_width % out_height;
        int image = pixel / (out_width * out_height);
        int top = row * STRIDE_Y - PAD_Y, left = column * STRIDE_X - PAD_X;
        int y0 = top > 0 ? top : 0, x0 = left > 0 ? left : 0;
        int y1 = top + KERNEL_Y < height ? top + KERNEL_Y : height;
        int x1 = left + KERNEL_X < width ? left + KERNEL_X : width;
        const value_t* plane = x + (size_t)image * height * width * ldx + channel;
        float best[VEC], where[VEC], sum[VEC] = {}, squares[VEC] = {};
#pragma unroll
        for (int e = 0; e < VEC; e++) best[e] = LOWEST, where[e] = -1.0f;
        for (int v = y0; v < y1; v++) {
#pragma unroll 4
            for (int u = x0; u < x1; u++) {
                float seen[VEC];
                load_all(seen, plane + (size_t)(v * width + u) * ldx);
#pragma unroll
                for (int e = 0; e < VEC; e++) {
                    if (METHOD == 1 && seen[e] > best[e]) where[e] = (float)(v * width + u);
                    if (METHOD < 2) best[e] = seen[e] > best[e] ? seen[e] : best[e];
                    if (METHOD >= 2) sum[e] += seen[e];
                    if (METHOD == 3) squares[e] += seen[e] * seen[e];
                }
            }
        }
        // Padding counts in the divisor as far as it is one pad wide.
        int bottom = top + KERNEL_Y < height + PAD_Y ? top + KERNEL_Y : height + PAD_Y;
        int right = left + KERNEL_X < width + PAD_X ? left + KERNEL_X : width + PAD_X;
        float divisor = (float)((bottom - top) * (right - left));
#pragma unroll
        for (int e = 0; e < VEC; e++) {
            if (METHOD == 2) best[e] = sum[e] / divisor;
            if (METHOD == 3) best[e] = sum[e] > 0.0f ? squares[e] / sum[e] : 0.0f;
        }
        store_all(y + (size_t)pixel * ldy + channel, best);
        if (METHOD == 1) store_all(mask + (size_t)pixel * ld_mask + channel, where);
    }
}
