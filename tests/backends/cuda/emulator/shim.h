// CUDA C++ on the processor: enough of it to run netc's kernels as they stand.
//
// A block's threads are coroutines, which run one after another until a barrier. Blocks run one
// after another. Asynchronous copies happen as late as they may: when they are waited for. Shared
// memory starts as NaN. Threads take their turns in an order that a caller chooses, so that a
// missing barrier shows.

#include <math.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#define NETC_EMULATED 1
#define KERNEL extern "C" void
#define DEVICE [[maybe_unused]] static inline
#define TABLE static constexpr float
#define __launch_bounds__(...)
#define __restrict__

struct dim3 {
    unsigned x, y, z;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(16) int4 {
    int x, y, z, w;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(4) ushort2 {
    unsigned short x, y;
};
struct alignas(8) ushort4 {
    unsigned short x, y, z, w;
};

static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
static inline float2 make_float2(float x, float y) { return {x, y}; }
static inline ushort2 make_ushort2(unsigned short x, unsigned short y) { return {x, y}; }
static inline ushort4 make_ushort4(unsigned short x, unsigned short y, unsigned short z,
                                   unsigned short w) {
    return {x, y, z, w};
}

namespace emulator {

enum State { READY, AT_BARRIER, AT_WARP, DONE };

struct Copy {
    void* to;
    const void* from;
    int bytes;
    int group;
};

struct Thread {
    ucontext_t start;
    jmp_buf place;
    bool begun;
    State state;
    dim3 index;
    int warp_turn;
    int groups;  // of copies, ended so far
    std::vector<Copy> copies;
    void* stack;
};

constexpr size_t STACK = 128 * 1024;
static std::vector<Thread> threads;
static Thread* self;
static jmp_buf scheduler;
static dim3 block_index, block_size, grid_size;
static unsigned long block_number;
static size_t asked;  // bytes of shared memory that the launch gives
static std::function<void()> body;
static unsigned char exchange[2][32 * 32][64];  // by turn, by thread

static void enter() {
    body();
    self->state = DONE;
    _longjmp(scheduler, 1);
}

static void yield(State state) {
    self->state = state;
    if (_setjmp(self->place) == 0) _longjmp(scheduler, 1);
}

static void resume(Thread& thread) {
    self = &thread;
    if (_setjmp(scheduler) != 0) return;
    if (thread.begun) _longjmp(thread.place, 1);
    thread.begun = true;
    getcontext(&thread.start);
    thread.start.uc_stack.ss_sp = thread.stack;
    thread.start.uc_stack.ss_size = STACK;
    thread.start.uc_link = nullptr;
    makecontext(&thread.start, enter, 0);
    setcontext(&thread.start);
}

// Lets those pass who all stand at the same barrier; false if nobody can go on.
static bool release(size_t first, size_t last, State state) {
    size_t here = 0;
    for (size_t i = first; i < last; i++) here += threads[i].state == state;
    if (here != last - first) return false;
    for (size_t i = first; i < last; i++) threads[i].state = READY;
    return true;
}

static bool run_block(int order) {
    size_t count = threads.size();
    for (size_t i = 0; i < count; i++) {
        Thread& thread = threads[i];
        thread.begun = false;
        thread.state = READY;
        thread.index = {unsigned(i % block_size.x), unsigned(i / block_size.x), 0};
        thread.warp_turn = thread.groups = 0;
        thread.copies.clear();
    }
    block_number++;
    for (;;) {
        bool moved = false, all_done = true;
        for (size_t i = 0; i < count; i++) {
            size_t at = order == 1 ? count - 1 - i : order == 2 ? (i * 37 + block_number) % count : i;
            if (threads[at].state == READY) resume(threads[at]), moved = true;
        }
        for (size_t i = 0; i < count; i++) all_done = all_done && threads[i].state == DONE;
        if (all_done) return true;
        moved = release(0, count, AT_BARRIER) || moved;
        for (size_t warp = 0; warp < count; warp += 32)
            moved = release(warp, warp + 32 < count ? warp + 32 : count, AT_WARP) || moved;
        if (!moved) return false;  // some threads stand at a barrier that others never reach
    }
}

static int run(dim3 grid, dim3 block, int order, std::function<void()> work) {
    size_t count = size_t(block.x) * block.y * block.z;
    while (threads.size() < count) {
        threads.emplace_back();
        threads.back().stack = malloc(STACK);
    }
    while (threads.size() > count) {
        free(threads.back().stack);
        threads.pop_back();
    }
    grid_size = grid;
    block_size = block;
    body = std::move(work);
    for (unsigned long b = 0, blocks = (unsigned long)grid.x * grid.y * grid.z; b < blocks; b++) {
        unsigned long at = order == 1 ? blocks - 1 - b : b;
        block_index = {unsigned(at % grid.x), unsigned(at / grid.x % grid.y),
                       unsigned(at / grid.x / grid.y)};
        if (!run_block(order)) return 1;
    }
    return 0;
}

// What each lane of the warp gives, for all of them to read.
static const unsigned char (*give(const void* data, size_t size))[64] {
    size_t at = self - threads.data();
    int turn = self->warp_turn++ % 2;
    memcpy(exchange[turn][at], data, size);
    yield(AT_WARP);
    return exchange[turn] + at / 32 * 32;
}

static void finish(Thread& thread, int later) {
    size_t kept = 0;
    for (Copy& copy : thread.copies) {
        if (copy.group < thread.groups - later) {
            if (copy.from)
                memcpy(copy.to, copy.from, copy.bytes);
            else
                memset(copy.to, 0, copy.bytes);
        } else {
            thread.copies[kept++] = copy;
        }
    }
    thread.copies.resize(kept);
}

template <class... A, size_t... I>
int call(void (*kernel)(A...), const unsigned* shape, int order, void** values,
         std::index_sequence<I...>) {
    std::tuple<A...> arguments(*static_cast<A*>(values[I])...);
    asked = shape[4];
    return run({shape[0], shape[1], shape[2]}, {shape[3], 1, 1}, order,
               [&] { std::apply(kernel, arguments); });
}

template <class... A>
int start(void (*kernel)(A...), const unsigned* shape, int order, void** values) {
    return call(kernel, shape, order, values, std::index_sequence_for<A...>());
}

}  // namespace emulator

#define threadIdx (emulator::self->index)
#define blockIdx (emulator::block_index)
#define blockDim (emulator::block_size)
#define gridDim (emulator::grid_size)
#define __syncthreads() emulator::yield(emulator::AT_BARRIER)
#define __threadfence()
#define EMULATE(name)                                                              \
    extern "C" int start_##name(const unsigned* shape, int order, void** values) { \
        return emulator::start(scope_##name::name, shape, order, values);          \
    }
#define SHARED(type, name, count)                             \
    alignas(16) static type name[count];                      \
    static unsigned long name##_block = 0;                    \
    if (name##_block != emulator::block_number) {             \
        name##_block = emulator::block_number;                \
        memset((void*)name, 0xff, sizeof name);               \
    }

#define LAUNCH_SHARED(type, name, count)         \
    SHARED(type, name, count)                    \
    if (sizeof name != emulator::asked) abort();

static inline float __ldcg(const float* p) { return *p; }
static inline unsigned atomicAdd(unsigned* p, unsigned value) {
    unsigned before = *p;
    *p += value;
    return before;
}
static inline float __int_as_float(int bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}
static inline float __uint_as_float(unsigned bits) { return __int_as_float(int(bits)); }
static inline unsigned __float_as_uint(float value) {
    unsigned bits;
    memcpy(&bits, &value, 4);
    return bits;
}

struct half_t {
    unsigned short bits;
};

// IEEE 754 binary16, by arithmetic alone.
DEVICE float half_to_float(unsigned short bits) {
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    float size = exponent == 31  ? (fraction ? NAN : INFINITY)
                 : exponent == 0 ? ldexpf(float(fraction), -24)
                                 : ldexpf(float(fraction + 1024), exponent - 25);
    return bits >> 15 ? -size : size;
}

DEVICE unsigned short float_to_half(float value) {
    unsigned short sign = signbit(value) ? 0x8000 : 0;
    float size = fabsf(value);
    if (size != size) return sign | 0x7e00;
    if (size >= 65520.0f) return sign | 0x7c00;
    int exponent = size < 6.103515625e-05f ? -14 : ilogbf(size);
    float scaled = rintf(ldexpf(size, 10 - exponent));  // ties to even
    int steps = int(scaled);
    if (size < 6.103515625e-05f) return sign | steps;
    return sign | ((exponent + 14) * 1024 + steps);
}

using place_t = char*;

DEVICE place_t place_of(void* shared) { return static_cast<char*>(shared); }

template <class T>
DEVICE T kept(T value) {
    return value;
}

DEVICE unsigned thread_number() { return threadIdx.x; }

DEVICE float4 load_shared(place_t place) { return *(const float4*)place; }

template <int BYTES>
DEVICE void copy_async(void* shared, const void* global, bool valid) {
    emulator::self->copies.push_back(
        {shared, valid ? global : nullptr, BYTES, emulator::self->groups});
    if ((uintptr_t)shared % BYTES || (valid && (uintptr_t)global % BYTES)) abort();
}

DEVICE void copies_end() { emulator::self->groups++; }

template <int LATER>
DEVICE void copies_wait() {
    emulator::finish(*emulator::self, LATER);
}

DEVICE void load_matrices(unsigned (&d)[4], const void* row) {
    if ((uintptr_t)row % 16) abort();
    auto rows = emulator::give(&row, sizeof row);
    int lane = int((emulator::self - emulator::threads.data()) % 32);
    for (int i = 0; i < 4; i++) {
        const unsigned* shown;
        memcpy(&shown, rows[8 * i + lane / 4], sizeof shown);
        memcpy(&d[i], shown + lane % 4, 4);
    }
}

DEVICE unsigned to_tf32(float value) {
    unsigned bits = __float_as_uint(value);
    if ((bits >> 23 & 255) == 255) return bits;
    return (bits + 0x1000) & ~0x1fffu;  // to nearest, ties away from zero
}

// The warp's tile by the PTX ISA's description of fragments: `word` words of A, 16 rows of 8, and of
// B, 8 columns of 8; each word is `parts` numbers.
template <class Number>
DEVICE void multiply(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], int parts,
                     Number number) {
    struct Fragment {
        unsigned a[4], b[2];
    } own = {{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
    auto lanes = emulator::give(&own, sizeof own);
    int lane = int((emulator::self - emulator::threads.data()) % 32);
    for (int e = 0; e < 4; e++) {
        int row = lane / 4 + e / 2 * 8, column = lane % 4 * 2 + e % 2;
        for (int word = 0; word < 8; word++) {
            const Fragment& left = *(const Fragment*)lanes[row % 8 * 4 + word % 4];
            const Fragment& right = *(const Fragment*)lanes[column * 4 + word % 4];
            unsigned x = left.a[row / 8 + word / 4 * 2], y = right.b[word / 4];
            for (int part = 0; part < parts; part++) d[e] += number(x, part) * number(y, part);
        }
    }
}

DEVICE void mma_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    multiply(d, a, b, 1, [](unsigned word, int) { return __int_as_float(int(word & ~0x1fffu)); });
}

DEVICE void mma_f16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    multiply(d, a, b, 2,
             [](unsigned word, int part) { return half_to_float(word >> 16 * part & 0xffff); });
}
