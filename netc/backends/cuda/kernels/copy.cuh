// Copies elements between two ways of lying in memory: element (a, b, c, d) of `sizes` from
// a * sa + b * sb + c * sc + d * sd to a * ta + ..., d counted fastest. Offsets are in elements.

KERNEL KERNEL_NAME(const source_t* x, target_t* y, int count, int size_b, int size_c, int size_d,
                   long long sa, long long sb, long long sc, long long sd, long long ta,
                   long long tb, long long tc, long long td) {
    FOR_EACH(i, count) {
        int d = i % size_d, rest = i / size_d;
        int c = rest % size_c;
        rest /= size_c;
        int b = rest % size_b, a = rest / size_b;
        store(y + a * ta + b * tb + c * tc + d * td, load(x + a * sa + b * sb + c * sc + d * sd));
    }
}
