// How many labels are not `ignored`: one block. Labels are `step` elements apart.

KERNEL KERNEL_NAME(const value_t* labels, float* number, int count, int step, float ignored) {
    SHARED(int, parts, 1024);
    int own = 0;
    for (int i = threadIdx.x; i < count; i += blockDim.x)
        own += truncf(load(labels + (size_t)i * step)) != ignored;
    parts[threadIdx.x] = own;
    for (int reach = 512; reach > 0; reach /= 2) {
        __syncthreads();
        if (threadIdx.x < reach) parts[threadIdx.x] += parts[threadIdx.x + reach];
    }
    if (threadIdx.x == 0) number[0] = (float)parts[0];
}
