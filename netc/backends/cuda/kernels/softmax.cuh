// exp(x - max) over its sum, along one axis (softmax_layer.cpp). TEAM threads share a row, 256 /
// TEAM rows a block. Row r begins at r / inner_rows * outer + r % inner_rows * inner elements.

#include "softmax_row.cuh"

KERNEL KERNEL_NAME(const value_t* x, value_t* y, int rows, int length, int inner_rows,
                   int x_outer, int x_inner, int x_step, int y_outer, int y_inner, int y_step) {
    SHARED(float, parts, 256);
    const int member = threadIdx.x % TEAM;
    const int row = blockIdx.x * (256 / TEAM) + threadIdx.x / TEAM;
    const bool real = row < rows;
    const int a = row / inner_rows, b = row % inner_rows;
    const value_t* from = x + (size_t)a * x_outer + (size_t)b * x_inner;
    value_t* to = y + (size_t)a * y_outer + (size_t)b * y_inner;

    // The exponentials again, divided: cheaper than keeping them.
    const Row found = row_of(from, length, x_step, real, parts);
    for (int i = member; real && i < length; i += TEAM)
        store(to + (size_t)i * y_step,
              expf(load(from + (size_t)i * x_step) - found.largest) / found.sum);
}
