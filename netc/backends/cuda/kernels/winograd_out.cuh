// The last third of Winograd's algorithm: the products of each tile become AT m A, which are
// OUTPUTS x OUTPUTS outputs, and go through the epilogue. They lie as winograd_in leaves its values.
// A thread makes VEC neighbouring channels of a tile.

KERNEL KERNEL_NAME(const value_t* products, int channels, int out_height, int out_width,
                   int tiles_y, int tiles_x, int count OUTPUT_PARAMETERS OPERAND_PARAMETERS) {
    const Outputs to = OUTPUT_VALUES;
    const Operands with = OPERAND_VALUES;
    FOR_EACH(i, count) {
        int channel = i % (channels / VEC) * VEC, tile = i / (channels / VEC);
        int column = tile % tiles_x, row = tile / tiles_x % tiles_y;
        int image = tile / (tiles_x * tiles_y);
        const value_t* from = products + (size_t)tile * SIDE * SIDE * channels + channel;
        float half[OUTPUTS][SIDE][VEC];
#pragma unroll
        for (int f = 0; f < SIDE; f++) {
            float seen[SIDE][VEC];
#pragma unroll
            for (int e = 0; e < SIDE; e++)
                load_all(seen[e], from + (size_t)(e * SIDE + f) * channels);
#pragma unroll
            for (int v = 0; v < OUTPUTS; v++) {
#pragma unroll
                for (int n = 0; n < VEC; n++) {
                    float sum = 0.0f;
#pragma unroll
                    for (int e = 0; e < SIDE; e++)
                        if (AT[v][e] != 0.0f) sum += AT[v][e] * seen[e][n];
                    half[v][f][n] = sum;
                }
            }
        }
        // All that the epilogue reads is asked for before anything is stored, and waited for once.
        float made[OUTPUTS][OUTPUTS][VEC];
#pragma unroll
        for (int v = 0; v < OUTPUTS; v++) {
#pragma unroll
            for (int u = 0; u < OUTPUTS; u++) {
                int at_y = row * OUTPUTS + v, at_x = column * OUTPUTS + u;
                if (at_y >= out_height) at_y = out_height - 1;
                if (at_x >= out_width) at_x = out_width - 1;
#pragma unroll
                for (int n = 0; n < VEC; n++) {
                    float sum = 0.0f;
#pragma unroll
                    for (int f = 0; f < SIDE; f++)
                        if (AT[u][f] != 0.0f) sum += half[v][f][n] * AT[u][f];
                    made[v][u][n] = sum;
                }
                int pixel = (image * out_height + at_y) * out_width + at_x;
                chain_all(made[v][u], pixel, channel, with);
            }
        }
#pragma unroll
        for (int v = 0; v < OUTPUTS; v++) {
#pragma unroll
            for (int u = 0; u < OUTPUTS; u++) {
                int at_y = row * OUTPUTS + v, at_x = column * OUTPUTS + u;
                if (at_y >= out_height || at_x >= out_width) continue;
                int pixel = (image * out_height + at_y) * out_width + at_x;
                store_all(to.y[0] + (size_t)pixel * to.ld[0] + channel, made[v][u]);
            }
        }
    }
}
