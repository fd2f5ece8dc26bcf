// Local response normalization (lrn_layer.cpp); a thread makes one element.
// ACROSS: over SIZE neighbouring channels; else over a SIZE x SIZE window of the plane. `alpha` is
// divided by the number of neighbours already.

DEVICE float power(float scale, float beta) {
    return BETA_075 ? 1.0f / (sqrtf(scale) * sqrtf(sqrtf(scale))) : powf(scale, -beta);
}

KERNEL KERNEL_NAME(const value_t* x, value_t* y, int ldx, int ldy, int channels, int height,
                   int width, int count, float alpha, float beta, float k) {
    const int half = (SIZE - 1) / 2;
    FOR_EACH(i, count) {
        int channel = i % channels, pixel = i / channels;
        const value_t* at = x + (size_t)pixel * ldx + channel;
        float total = 0.0f;
        if (ACROSS) {
            int first = channel > half ? -half : -channel;
            int last = channel + half < channels ? half : channels - 1 - channel;
            for (int c = first; c <= last; c++) {
                float seen = load(at + c);
                total += seen * seen;
            }
        } else {
            int column = pixel % width, row = pixel / width % height;
            int y0 = row > half ? -half : -row, x0 = column > half ? -half : -column;
            int y1 = row + half < height ? half : height - 1 - row;
            int x1 = column + half < width ? half : width - 1 - column;
            for (int v = y0; v <= y1; v++) {
                for (int u = x0; u <= x1; u++) {
                    float seen = load(at + (long long)(v * width + u) * ldx);
                    total += seen * seen;
                }
            }
        }
        float scale = k + alpha * total;
        store(y + (size_t)pixel * ldy + channel, load(at) * power(scale, beta));
    }
}
