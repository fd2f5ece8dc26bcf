// The gradient of softmax by its bottom: (g - the sum of g * y along the axis) * y. TEAM threads share a
// row, 256 / TEAM rows a block; rows lie as in softmax.cuh, each array with strides of its own.

KERNEL KERNEL_NAME(const value_t* y, const value_t* g, value_t* out, int rows, int length,
                   int inner_rows, int y_outer, int y_inner, int y_step, int g_outer, int g_inner,
                   int g_step, int out_outer, int out_inner, int out_step) {
    SHARED(float, parts, 256);
    const int member = threadIdx.x % TEAM;
    const int row = blockIdx.x * (256 / TEAM) + threadIdx.x / TEAM;
    const bool real = row < rows;
    const int a = row / inner_rows, b = row % inner_rows;
    const value_t* made = y + (size_t)a * y_outer + (size_t)b * y_inner;
    const value_t* top = g + (size_t)a * g_outer + (size_t)b * g_inner;
    value_t* to = out + (size_t)a * out_outer + (size_t)b * out_inner;
    float sum = 0.0f;
    for (int i = member; real && i < length; i += TEAM)
        sum = fmaf(load(made + (size_t)i * y_step), load(top + (size_t)i * g_step), sum);
    parts[threadIdx.x] = sum;
    for (int reach = TEAM / 2; reach > 0; reach /= 2) {
        __syncthreads();
        if (member < reach) parts[threadIdx.x] += parts[threadIdx.x + reach];
    }
    __syncthreads();
    sum = parts[threadIdx.x - member];
    for (int i = member; real && i < length; i += TEAM)
        store(to + (size_t)i * out_step,
              (load(top + (size_t)i * g_step) - sum) * load(made + (size_t)i * y_step));
}
