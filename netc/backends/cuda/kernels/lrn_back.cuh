// The gradient of local response normalization by its bottom (lrn_layer.cpp); a thread makes one
// element. With s = k + alpha * the sum of squares around, it is g s^-beta - 2 alpha beta x * the sum
// of g y / s over all elements in whose neighbourhood x is.
//
// ACROSS: over SIZE neighbouring channels; else over a SIZE x SIZE window of the plane. LEFT: y is what
// the layer has left; else it is worked out. `alpha` is divided by the number of neighbours already.

DEVICE float power(float scale, float beta) {
    return BETA_075 ? 1.0f / (sqrtf(scale) * sqrtf(sqrtf(scale))) : powf(scale, -beta);
}

// The sum of squares around an element that is `channel` and (row, column) of a plane.
DEVICE float squares(const value_t* plane, int ldx, int channels, int height, int width, int channel,
                     int row, int column) {
    const int half = (SIZE - 1) / 2;
    float total = 0.0f;
    if (ACROSS) {
        const value_t* at = plane + (size_t)(row * width + column) * ldx;
        int first = channel > half ? channel - half : 0;
        int last = channel + half < channels ? channel + half : channels - 1;
        for (int c = first; c <= last; c++) {
            float seen = load(at + c);
            total += seen * seen;
        }
        return total;
    }
    int y0 = row > half ? row - half : 0, y1 = row + half < height ? row + half : height - 1;
    int x0 = column > half ? column - half : 0;
    int x1 = column + half < width ? column + half : width - 1;
    for (int v = y0; v <= y1; v++) {
        for (int u = x0; u <= x1; u++) {
            float seen = load(plane + (size_t)(v * width + u) * ldx + channel);
            total += seen * seen;
        }
    }
    return total;
}

KERNEL KERNEL_NAME(const value_t* x, const value_t* left, const value_t* g, value_t* out, int ldx,
                   int ld_left, int ldg, int ldy, int channels, int height, int width, int count,
                   float alpha, float beta, float k) {
    const int half = (SIZE - 1) / 2;
    FOR_EACH(i, count) {
        int channel = i % channels, pixel = i / channels;
        int column = pixel % width, row = pixel / width % height;
        int image = pixel / (width * height);
        const size_t first_pixel = (size_t)image * height * width;
        const value_t* plane = x + first_pixel * ldx;
        // Another element's g y / s.
        auto share = [&](int c, int v, int u) {
            size_t at = first_pixel + v * width + u;
            float scale = k + alpha * squares(plane, ldx, channels, height, width, c, v, u);
            float y = LEFT ? load(left + at * ld_left + c)
                           : load(x + at * ldx + c) * power(scale, beta);
            return load(g + at * ldg + c) * y / scale;
        };
        float around = 0.0f;
        if (ACROSS) {
            int c0 = channel > half ? channel - half : 0;
            int c1 = channel + half < channels ? channel + half : channels - 1;
            for (int c = c0; c <= c1; c++) around += share(c, row, column);
        } else {
            int y0 = row > half ? row - half : 0, y1 = row + half < height ? row + half : height - 1;
            int x0 = column > half ? column - half : 0;
            int x1 = column + half < width ? column + half : width - 1;
            for (int v = y0; v <= y1; v++)
                for (int u = x0; u <= x1; u++) around += share(channel, v, u);
        }
        float scale = k + alpha * squares(plane, ldx, channels, height, width, channel, row, column);
        float seen = load(x + (size_t)pixel * ldx + channel);
        float top = load(g + (size_t)pixel * ldg + channel);
        store(out + (size_t)pixel * ldy + channel,
              top * power(scale, beta) - 2.0f * alpha * beta * seen * around);
    }
}
