// What a softmax needs of a row of scores, found by the TEAM threads that share it.

struct Row {
    float largest, sum;
};

// The largest score and the sum of exp(score - largest), for all threads of a team.
DEVICE Row row_of(const value_t* from, int length, int step, bool real, float* parts) {
    const int member = threadIdx.x % TEAM;
    float largest = -__int_as_float(0x7f800000);
    bool strange = false;  // a NaN, which makes all of the row NaN
    for (int i = member; real && i < length; i += TEAM) {
        float seen = load(from + (size_t)i * step);
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
        sum += expf(load(from + (size_t)i * step) - largest);
    parts[threadIdx.x] = sum;
    for (int reach = TEAM / 2; reach > 0; reach /= 2) {
        __syncthreads();
        if (member < reach) parts[threadIdx.x] += parts[threadIdx.x + reach];
    }
    __syncthreads();
    sum = parts[threadIdx.x - member];
    __syncthreads();
    return {largest, sum};
}
