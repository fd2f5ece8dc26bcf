// exp(x - max) over its sum, along one axis (softmax_layer.cpp). TEAM threads share a row, 256 /
// TEAM rows a block. Row r begins at r / inner_rows * outer + r % inner_rows * inner elements.

KERNEL KERNEL_NAME(const value_t* x, value_t* y, int rows, int length, int inner_rows,
                   int x_outer, int x_inner, int x_step, int y_outer, int y_inner, int y_step) {
    SHARED(float, parts, 256);
    const int member = threadIdx.x % TEAM;
    const int row = blockIdx.x * (256 / TEAM) + threadIdx.x / TEAM;
    const bool real = row < rows;
    const int a = row / inner_rows, b = row % inner_rows;
    const value_t* from = x + (size_t)a * x_outer + (size_t)b * x_inner;
    value_t* to = y + (size_t)a * y_outer + (size_t)b * y_inner;

    float largest = -__int_as_float(0x7f800000);
    bool strange = false;  // a NaN, which makes all of the row NaN
    for (int i = member; real && i < length; i += TEAM) {
        float seen = load(from + (size_t)i * x_step);
        strange = strange || seen != seen;
        largest = seen > largest ? seen : largest;
    }
    if (strange) largest = __int_as_float(0x7fffffff);
    parts[threadIdx.x] = largest;
    for (int reach = TEAM / 2; reach > 0; reach /= 2) {
        __syncthreads();
        if (member < reach) {
            float one = parts[threadIdx.x], other = parts[threadIdx.x + reach];
            parts[threadIdx.x] = other > one || other != other ? other : one;
        }
    }
    __syncthreads();
    largest = parts[threadIdx.x - member];
    __syncthreads();

    float sum = 0.0f;
    for (int i = member; real && i < length; i += TEAM)
        sum += expf(load(from + (size_t)i * x_step) - largest);
    parts[threadIdx.x] = sum;
    for (int reach = TEAM / 2; reach > 0; reach /= 2) {
        __syncthreads();
        if (member < reach) parts[threadIdx.x] += parts[threadIdx.x + reach];
    }
    __syncthreads();
    sum = parts[threadIdx.x - member];
    for (int i = member; real && i < length; i += TEAM)
        store(to + (size_t)i * y_step, expf(load(from + (size_t)i * x_step) - largest) / sum);
}
