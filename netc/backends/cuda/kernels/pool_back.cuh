// The gradient of pooling by its bottom: a thread makes VEC neighbouring channels of an input pixel, of
// all windows that it is in, in their order. AVERAGE: each window gives its share; else a window gives
// all to the pixel that `where` names, counted in the plane (pooling_layer.cpp).

KERNEL KERNEL_NAME(const value_t* g, const value_t* where, value_t* y, int ldg, int ld_where, int ldy,
                   int channels, int height, int width, int out_height, int out_width, int count) {
    FOR_EACH(i, count) {
        int channel = i % (channels / VEC) * VEC, pixel = i / (channels / VEC);
        int column = pixel % width, row = pixel / width % height;
        int image = pixel / (width * height);
        // The first and the last window down and across that this pixel is in.
        int far_y = row + PAD_Y, far_x = column + PAD_X;
        int y0 = far_y < KERNEL_Y ? 0 : (far_y - KERNEL_Y) / STRIDE_Y + 1;
        int x0 = far_x < KERNEL_X ? 0 : (far_x - KERNEL_X) / STRIDE_X + 1;
        int y1 = far_y / STRIDE_Y < out_height ? far_y / STRIDE_Y : out_height - 1;
        int x1 = far_x / STRIDE_X < out_width ? far_x / STRIDE_X : out_width - 1;
        const float here = (float)(row * width + column);
        float sums[VEC] = {};
        for (int v = y0; v <= y1; v++) {
            int top = v * STRIDE_Y - PAD_Y, down = top + KERNEL_Y;
            int tall = (down < height + PAD_Y ? down : height + PAD_Y) - top;
            for (int u = x0; u <= x1; u++) {
                size_t place = (size_t)(image * out_height + v) * out_width + u;
                float seen[VEC], from[VEC];
                load_all(seen, g + place * ldg + channel);
                if (!AVERAGE) load_all(from, where + place * ld_where + channel);
                int left = u * STRIDE_X - PAD_X, right = left + KERNEL_X;
                int wide = (right < width + PAD_X ? right : width + PAD_X) - left;
                const float area = (float)(tall * wide);  // padding counts as far as it is one pad wide
#pragma unroll
                for (int e = 0; e < VEC; e++) {
                    if (AVERAGE)
                        sums[e] += seen[e] / area;
                    else if (from[e] == here)
                        sums[e] += seen[e];
                }
            }
        }
        store_all(y + (size_t)pixel * ldy + channel, sums);
    }
}
