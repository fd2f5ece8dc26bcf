// Makes pixels of four numbers, the last zero, from images of three channels that lie anyhow: a
// thread makes a pixel. Steps from an image, channel, row and column to the next are in elements.

KERNEL KERNEL_NAME(const source_t* x, target_t* y, int count, int height, int width,
                   long long images, long long channels, long long rows, long long columns) {
    FOR_EACH(i, count) {
        unsigned column = i % width, rest = i / width;
        const source_t* from =
            x + rest / height * images + rest % height * rows + column * columns;
        store4(y + (size_t)i * 4, make_float4(load(from), load(from + channels),
                                              load(from + 2 * channels), 0.0f));
    }
}
