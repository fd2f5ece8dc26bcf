// The first third of Winograd's algorithm: each tile of SIDE x SIDE inputs, overlapping its
// neighbours by two, becomes BT d B. The tile's values of all channels lie side by side: value
// e of tile t and channel c is element (t * SIDE * SIDE + e) * channels + c.

KERNEL KERNEL_NAME(const value_t* x, value_t* planes, int ldx, int channels, int height, int width,
                   int pad_y, int pad_x, int tiles_y, int tiles_x, int count) {
    FOR_EACH(i, count) {
        int channel = i % channels, tile = i / channels;
        int column = tile % tiles_x, row = tile / tiles_x % tiles_y;
        int image = tile / (tiles_x * tiles_y);
        int top = row * OUTPUTS - pad_y, left = column * OUTPUTS - pad_x;
        const value_t* plane = x + (size_t)image * height * width * ldx + channel;
        float seen[SIDE][SIDE], half[SIDE][SIDE];
#pragma unroll
        for (int v = 0; v < SIDE; v++) {
#pragma unroll
            for (int u = 0; u < SIDE; u++) {
                int at_y = top + v, at_x = left + u;
                bool inside = (unsigned)at_y < (unsigned)height && (unsigned)at_x < (unsigned)width;
                seen[v][u] = inside ? load(plane + (size_t)(at_y * width + at_x) * ldx) : 0.0f;
            }
        }
#pragma unroll
        for (int e = 0; e < SIDE; e++) {
#pragma unroll
            for (int u = 0; u < SIDE; u++) {
                float sum = 0.0f;
#pragma unroll
                for (int v = 0; v < SIDE; v++)
                    if (BT[e][v] != 0.0f) sum += BT[e][v] * seen[v][u];
                half[e][u] = sum;
            }
        }
        value_t* to = planes + (size_t)tile * SIDE * SIDE * channels + channel;
#pragma unroll
        for (int e = 0; e < SIDE; e++) {
#pragma unroll
            for (int f = 0; f < SIDE; f++) {
                float sum = 0.0f;
#pragma unroll
                for (int u = 0; u < SIDE; u++)
                    if (BT[f][u] != 0.0f) sum += half[e][u] * BT[f][u];
                store(to + (size_t)(e * SIDE + f) * channels, sum);
            }
        }
    }
}
