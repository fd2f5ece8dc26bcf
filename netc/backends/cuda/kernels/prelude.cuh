// What every kernel uses. The same text is compiled by NVRTC for a device and, by the tests, as
// C++ for the processor; the emulator then defines what is in the first part itself.

#ifndef NETC_EMULATED

#define KERNEL extern "C" __global__ void
#define DEVICE static __device__ __forceinline__
#define TABLE static __device__ const float
#define SHARED(type, name, count) __shared__ __align__(16) type name[count]
#define LAUNCH_SHARED(type, name, count) extern __shared__ __align__(16) type name[]

struct half_t {
    unsigned short bits;
};

DEVICE float half_to_float(unsigned short bits) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
}

DEVICE unsigned short float_to_half(float value) {
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}

// Where something is in shared memory, in bytes.
using place_t = unsigned;

DEVICE place_t place_of(const void* shared) { return (unsigned)__cvta_generic_to_shared(shared); }

// The value itself, which the compiler then does not compute anew at each use.
template <class T>
DEVICE T kept(T value) {
    if constexpr (sizeof(T) == 8)
        asm("" : "+l"(value));
    else
        asm("" : "+r"(value));
    return value;
}

// threadIdx.x, read anew.
DEVICE unsigned thread_number() {
    unsigned number;
    asm volatile("mov.u32 %0, %%tid.x;" : "=r"(number));
    return number;
}

DEVICE float4 load_shared(place_t place) {
    float4 v;
    asm volatile("ld.shared.v4.f32 {%0,%1,%2,%3}, [%4];"
                 : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
                 : "r"(place));
    return v;
}

// Copies BYTES (2, 4, 8 or 16) from device memory to shared memory, zeros where `valid` is false.
// The copy is under way until `copies_done`; before sm_80, and of 2 bytes, it is done at once.
template <int BYTES>
DEVICE void copy_async(place_t shared, const void* global, bool valid) {
#if __CUDA_ARCH__ >= 800
    int size = valid ? BYTES : 0;
    if constexpr (BYTES == 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(global),
                     "r"(size)
                     : "memory");
    else if constexpr (BYTES > 2)
        asm volatile("cp.async.ca.shared.global [%0], [%1], %3, %2;" ::"r"(shared), "l"(global),
                     "r"(size), "n"(BYTES)
                     : "memory");
#else
    if constexpr (BYTES == 16) {
        uint4 v = valid ? *(const uint4*)global : make_uint4(0, 0, 0, 0);
        asm volatile("st.shared.v4.u32 [%0], {%1,%2,%3,%4};" ::"r"(shared), "r"(v.x), "r"(v.y),
                     "r"(v.z), "r"(v.w)
                     : "memory");
    } else if constexpr (BYTES == 8) {
        uint2 v = valid ? *(const uint2*)global : make_uint2(0, 0);
        asm volatile("st.shared.v2.u32 [%0], {%1,%2};" ::"r"(shared), "r"(v.x), "r"(v.y)
                     : "memory");
    } else if constexpr (BYTES == 4) {
        unsigned v = valid ? *(const unsigned*)global : 0u;
        asm volatile("st.shared.u32 [%0], %1;" ::"r"(shared), "r"(v) : "memory");
    }
#endif
    if constexpr (BYTES == 2) {
        unsigned short v = valid ? *(const unsigned short*)global : (unsigned short)0;
        asm volatile("st.shared.u16 [%0], %1;" ::"r"(shared), "h"(v) : "memory");
    }
}

// Ends a group of copies.
DEVICE void copies_end() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits until at most LATER of this thread's newest groups are under way.
template <int LATER>
DEVICE void copies_wait() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(LATER) : "memory");
#endif
}

// Four matrices of 8 rows of 16 bytes from shared memory: lane 8 * i + r shows where row r of matrix
// i is, and gets word lane % 4 of row lane / 4 of each (PTX ISA, ldmatrix).
DEVICE void load_matrices(unsigned (&d)[4], place_t row) {
#if __CUDA_ARCH__ >= 800
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
                 : "r"(row));
#endif
}

// d += a * b for the 16x8 tile of a warp: PTX ISA, mma.m16n8k8 (TF32) and mma.m16n8k16 (F16).
DEVICE void mma_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
        "{%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

DEVICE void mma_f16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
        "{%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

// The bits of a float rounded to TF32.
DEVICE unsigned to_tf32(float value) {
    unsigned bits = 0;
#if __CUDA_ARCH__ >= 800
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
#endif
    return bits;
}

#endif  // NETC_EMULATED

// Walks over `count` elements with all threads of the grid.
#define FOR_EACH(i, count)                                                                       \
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < (unsigned)(count);              \
         i += gridDim.x * blockDim.x)

#define LOWEST (-3.402823466e+38f)

DEVICE float load(const float* p) { return *p; }
DEVICE float load(const half_t* p) { return half_to_float(p->bits); }
DEVICE void store(float* p, float value) { *p = value; }
DEVICE void store(half_t* p, float value) { p->bits = float_to_half(value); }

DEVICE void store2(float* p, float one, float two) { *(float2*)p = make_float2(one, two); }
DEVICE void store2(half_t* p, float one, float two) {
    *(ushort2*)p = make_ushort2(float_to_half(one), float_to_half(two));
}

DEVICE float2 load2(const float* p) { return *(const float2*)p; }
DEVICE float2 load2(const half_t* p) {
    ushort2 v = *(const ushort2*)p;
    return make_float2(half_to_float(v.x), half_to_float(v.y));
}

DEVICE void load8(float (&v)[8], const half_t* p) {
    uint4 words = *(const uint4*)p;
    const unsigned pairs[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        v[2 * i] = half_to_float(pairs[i] & 0xffff);
        v[2 * i + 1] = half_to_float(pairs[i] >> 16);
    }
}

DEVICE float4 load4(const float* p) { return *(const float4*)p; }
DEVICE float4 load4(const half_t* p) {
    ushort4 v = *(const ushort4*)p;
    return make_float4(half_to_float(v.x), half_to_float(v.y), half_to_float(v.z),
                       half_to_float(v.w));
}

DEVICE void store4(float* p, float4 v) { *(float4*)p = v; }
DEVICE void store4(half_t* p, float4 v) {
    *(ushort4*)p = make_ushort4(float_to_half(v.x), float_to_half(v.y), float_to_half(v.z),
                                float_to_half(v.w));
}

// N neighbours: 1, 2 or 4, or 8 halves.
template <int N, class T>
DEVICE void load_all(float (&v)[N], const T* p) {
    if constexpr (N == 8) {
        load8(v, p);
    } else if constexpr (N == 4) {
        float4 four = load4(p);
        v[0] = four.x, v[1] = four.y, v[2] = four.z, v[3] = four.w;
    } else if constexpr (N == 2) {
        float2 two = load2(p);
        v[0] = two.x, v[1] = two.y;
    } else {
        v[0] = load(p);
    }
}
template <int N, class T>
DEVICE void store_all(T* p, const float (&v)[N]) {
    if constexpr (N == 4)
        store4(p, make_float4(v[0], v[1], v[2], v[3]));
    else if constexpr (N == 2)
        store2(p, v[0], v[1]);
    else
        store(p, v[0]);
}

// Four neighbours, or the first `there` of them where not all are there; zeros for the others.
template <class T>
DEVICE void load_some(float (&v)[4], const T* p, int there, bool whole) {
    if (whole) {
        load_all(v, p);
    } else {
#pragma unroll
        for (int e = 0; e < 4; e++) v[e] = e < there ? load(p + e) : 0.0f;
    }
}
template <class T>
DEVICE void store_some(T* p, const float (&v)[4], int there, bool whole) {
    if (whole) {
        store_all(p, v);
    } else {
#pragma unroll
        for (int e = 0; e < 4; e++) {
            if (e < there) store(p + e, v[e]);
        }
    }
}

// Caffe's logistic function, by tanh, which cannot overflow (sigmoid_layer.cpp).
DEVICE float sigmoid(float x) { return 0.5f * tanhf(0.5f * x) + 0.5f; }

// max(x, 0) + slope * min(x, 0): a slope of 0 makes NaN of minus infinity, as Caffe does.
DEVICE float leaky(float x, float slope) { return x > 0.0f ? x : slope * x; }

// As std::max with its arguments turned around: a NaN in `b` is kept, one in `a` is not.
DEVICE float larger(float a, float b) { return a > b ? a : b; }

// At most `top`; NaN stays.
DEVICE float smaller(float x, float top) { return x > top ? top : x; }

DEVICE float clipped(float x, float low, float high) {
    float below = high < x ? high : x;
    return low < below ? below : low;
}

// Factors of gradients of elementwise layers (see netc.backends.cuda.slopes). Where a bound or a sign
// decides, what is not a number belongs to neither side.
DEVICE float relu_slope(float x, float slope) { return x > 0.0f ? 1.0f : x <= 0.0f ? slope : 0.0f; }

DEVICE float relu6_slope(float x, float slope, float top) {
    return x < top ? relu_slope(x, slope) : 0.0f;
}

DEVICE float elu_slope(float y, float alpha) { return y > 0.0f ? 1.0f : alpha + y; }

DEVICE float elu_slope_of(float x, float alpha) { return x > 0.0f ? 1.0f : alpha * expf(x); }

DEVICE float sigmoid_slope(float y) { return y * (1.0f - y); }

DEVICE float tanh_slope(float y) { return 1.0f - y * y; }

DEVICE float sign_of(float x) { return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : x; }

// Caffe cuts the exponential at 50 (bnll_layer.cpp).
DEVICE float bnll_slope(float x) {
    float power = expf(smaller(x, 50.0f));
    return power / (power + 1.0f);
}

DEVICE float swish_slope(float x, float beta) {
    float share = sigmoid(beta * x);
    return share + beta * x * share * (1.0f - share);
}

DEVICE float within(float x, float low, float high) { return x >= low && x <= high ? 1.0f : 0.0f; }

// Which of N a maximum is: of a tie of the first two the second, else the earliest.
template <int N>
DEVICE int chosen(const float (&v)[N]) {
    int place = v[0] > v[1] ? 0 : 1;
    float best = v[0] > v[1] ? v[0] : v[1];
#pragma unroll
    for (int i = 2; i < N; i++) {
        if (v[i] > best) best = v[i], place = i;
    }
    return place;
}

// Philox4x32-10: `scale` if the number drawn for an element is not below `least`, else 0. The layout
// of keys and counters is that of netc.ops.random; `key` has the halves of seed and iteration.
template <class T>
DEVICE float drawn(const T* key, unsigned layer, unsigned element, float least, float scale) {
    unsigned seed = 0, iteration = 0;
    if (key) {
        seed = (unsigned)load(key) | (unsigned)load(key + 1) << 16;
        iteration = (unsigned)load(key + 2) | (unsigned)load(key + 3) << 16;
    }
    unsigned a = element / 4, b = 0, c = iteration, d = 0;
#pragma unroll
    for (int turn = 0; turn < 10; turn++) {
        unsigned long long left = 0xD2511F53ull * a, right = 0xCD9E8D57ull * c;
        a = (unsigned)(right >> 32) ^ b ^ (seed + turn * 0x9E3779B9u);
        b = (unsigned)right;
        c = (unsigned)(left >> 32) ^ d ^ (layer + turn * 0xBB67AE85u);
        d = (unsigned)left;
    }
    unsigned word = element % 4 == 0 ? a : element % 4 == 1 ? b : element % 4 == 2 ? c : d;
    return (float)(word >> 8) * 5.9604644775390625e-08f >= least ? scale : 0.0f;
}
