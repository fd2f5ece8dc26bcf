// What CuPy's generated kernels use of its headers, on the processor: arrays by value, float16.
// The layouts are those in which CuPy passes them.

#include <stddef.h>

#include <algorithm>
#include <cmath>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__ static
#define CUPY_FOR(i, n)                                                                      \
    for (ptrdiff_t i = ptrdiff_t(blockIdx.x) * blockDim.x + threadIdx.x; i < ptrdiff_t(n);  \
         i += ptrdiff_t(blockDim.x) * gridDim.x)

template <class T, int AXES, bool = true, bool = false>
struct CArray {
    using index_t = ptrdiff_t;
    static const int ndim = AXES;
    T* data_;
    ptrdiff_t size_, shape_[AXES], strides_[AXES];

    ptrdiff_t size() const { return size_; }
    const ptrdiff_t* shape() const { return shape_; }
    const ptrdiff_t* strides() const { return strides_; }
    T& operator[](const ptrdiff_t (&index)[AXES]) const {
        char* at = (char*)data_;
        for (int axis = 0; axis < AXES; axis++) at += index[axis] * strides_[axis];
        return *(T*)at;
    }
    T& operator[](ptrdiff_t number) const {  // counted in C order
        char* at = (char*)data_;
        for (int axis = AXES; axis-- > 0; number /= shape_[axis])
            at += number % shape_[axis] * strides_[axis];
        return *(T*)at;
    }
};

template <class T, bool A, bool B>
struct CArray<T, 0, A, B> {
    using index_t = ptrdiff_t;
    static const int ndim = 0;
    T* data_;
    ptrdiff_t size_;

    ptrdiff_t size() const { return size_; }
    template <class I>
    T& operator[](const I&) const {
        return *data_;
    }
};

template <int AXES, bool = false>
struct CIndexer {
    static const int ndim = AXES;
    ptrdiff_t size_, shape_[AXES], index_[AXES];

    ptrdiff_t size() const { return size_; }
    const ptrdiff_t (&get() const)[AXES] { return index_; }
    void set(ptrdiff_t number) {
        for (int axis = AXES; axis-- > 0; number /= shape_[axis])
            index_[axis] = number % shape_[axis];
    }
};

template <bool B>
struct CIndexer<0, B> {
    static const int ndim = 0;
    ptrdiff_t size_;

    ptrdiff_t size() const { return size_; }
    int get() const { return 0; }
    void set(ptrdiff_t) {}
};

DEVICE float half_to_float(unsigned short bits);
DEVICE unsigned short float_to_half(float value);

struct float16 {
    unsigned short bits;
    float16() = default;
    float16(float value) : bits(float_to_half(value)) {}
    operator float() const { return half_to_float(bits); }
};

#define __syncwarp() emulator::yield(emulator::AT_WARP)
static inline int __popc(unsigned word) { return __builtin_popcount(word); }
static inline int __popcll(unsigned long long word) { return __builtin_popcountll(word); }

template <class T>
T atomicAdd(T* place, T value) {
    T before = *place;
    *place += value;
    return before;
}

template <class T>
T _floor_divide(T x, T y) {
    if constexpr (std::is_floating_point_v<T>) return std::floor(x / y);
    if (y == 0) return 0;
    T quotient = x / y;
    return quotient - (quotient * y != x && (x < 0) != (y < 0));
}

using std::isfinite;
using std::isinf;
using std::isnan;
using std::max;
using std::min;
