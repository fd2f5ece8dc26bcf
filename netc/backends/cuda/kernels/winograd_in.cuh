// The first third of Winograd's algorithm: each tile of SIDE x SIDE inputs, overlapping its
// neighbours by two, becomes BT d B. The tile's values of all channels lie side by side: value
// e of tile t and channel c is element (t * SIDE * SIDE + e) * channels + c. A thread makes VEC
// neighbouring channels of a tile.

KERNEL KERNEL_NAME(const value_t* x, value_t* planes, int ldx, int channels, int height, int width,
                   int pad_y, int pad_x, int tiles_y, int tiles_x, int count) {
    FOR_EACH(i, count) {
        int channel = i % (channels / VEC) * VEC, tile = i / (channels / VEC);
        int column = tile % tiles_x, row = tile / tiles_x % tiles_y;
        int image = tile / (tiles_x * tiles_y);
        int top = row * OUTPUTS - pad_y, left = column * OUTPUTS - pad_x;
        const value_t* plane = x + (size_t)image * height * width * ldx + channel;
        // The tile's inputs; zeros where it reaches beyond the image.
        float seen[SIDE][SIDE][VEC] = {}, half[SIDE][SIDE][VEC];
#pragma unroll
        for (int v = 0; v < SIDE; v++) {
#pragma unroll
            for (int u = 0; u < SIDE; u++) {
                int at_y = top + v, at_x = left + u;
                bool inside = (unsigned)at_y < (unsigned)height && (unsigned)at_x < (unsigned)width;
                if (inside) load_all(seen[v][u], plane + (size_t)(at_y * width + at_x) * ldx);
            }
        }
#pragma unroll
        // Down the columns: half = BT d. BT's zeros are constants, and cost nothing.
        for (int e = 0; e < SIDE; e++) {
#pragma unroll
            for (int u = 0; u < SIDE; u++) {
#pragma unroll
                for (int n = 0; n < VEC; n++) {
                    float sum = 0.0f;
#pragma unroll
                    for (int v = 0; v < SIDE; v++)
                        if (BT[e][v] != 0.0f) sum += BT[e][v] * seen[v][u][n];
                    half[e][u][n] = sum;
                }
            }
        }
        // Along the rows: half B, stored as it is made.
        value_t* to = planes + (size_t)tile * SIDE * SIDE * channels + channel;
#pragma unroll
        for (int e = 0; e < SIDE; e++) {
#pragma unroll
            for (int f = 0; f < SIDE; f++) {
                float made[VEC];
#pragma unroll
                for (int n = 0; n < VEC; n++) {
                    float sum = 0.0f;
#pragma unroll
                    for (int u = 0; u < SIDE; u++)
                        if (BT[f][u] != 0.0f) sum += half[e][u][n] * BT[f][u];
                    made[n] = sum;
                }
                store_all(to + (size_t)(e * SIDE + f) * channels, made);
            }
        }
    }
}
