// A stand-in for libcublasLt on the processor: the functions that netc calls, as cublasLt.h declares
// them, with plain loops for a product. It is strict: sizes of attributes, the alignment an algorithm
// was chosen for, and the workspace are checked, and what an object still holds at its end is not
// left behind.

#include <cmath>
#include <cstdint>
#include <cstring>

namespace {

constexpr int OK = 0, INVALID = 7, UNSUPPORTED = 15;
constexpr uint64_t OWN = 0x6e657463;  // marks an algorithm of this library

struct Description {
    int compute, scale, transa = 0, transb = 0;
    uint32_t epilogue = 1;
    void* bias = nullptr;
};

struct Layout {
    int kind;
    uint64_t rows, cols;
    int64_t ld;
    int batch = 1;
    int64_t stride = 0;
};

struct Preference {
    uint64_t workspace = 0;
    uint32_t alignment[4] = {256, 256, 256, 256};
};

struct Found {
    uint64_t algorithm[8];
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
};

// A product, which may be done later than it is asked for.
struct Job {
    Description d;
    Layout la, lb, lc, ly;
    const void *a, *b, *c;
    void* y;
    float beta;
    void* workspace;
};

using Queue = int (*)(void* stream, void (*run)(void*), void* data);

int alive = 0, calls = 0, wrong = 0;
Queue queue = nullptr;

float half_to_float(uint16_t bits) {
    int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    float value = exponent == 31  ? (mantissa ? NAN : INFINITY)
                  : exponent == 0 ? std::ldexp((float)mantissa, -24)
                                  : std::ldexp((float)(mantissa + 1024), exponent - 25);
    return bits >> 15 ? -value : value;
}

uint16_t float_to_half(float value) {
    _Float16 half = (_Float16)value;
    uint16_t bits;
    std::memcpy(&bits, &half, 2);
    return bits;
}

float get(const void* p, int kind, int64_t at) {
    return kind == 2 ? half_to_float(((const uint16_t*)p)[at]) : ((const float*)p)[at];
}

void put(void* p, int kind, int64_t at, float value) {
    if (kind == 2)
        ((uint16_t*)p)[at] = float_to_half(value);
    else
        ((float*)p)[at] = value;
}

template <class T>
int taken(T& field, const void* value, size_t size) {
    if (size != sizeof(T)) return INVALID;
    std::memcpy(&field, value, size);
    return OK;
}

bool aligned(const void* p, uint64_t bytes) { return (uintptr_t)p % bytes == 0; }

bool fits(const Layout* l) { return l->ld >= (int64_t)l->rows; }

void run(void* data) {
    const Job& j = *(const Job*)data;
    if (j.workspace) std::memset(j.workspace, 0xff, 4096);
    for (int batch = 0; batch < j.ly.batch; batch++)
        for (uint64_t column = 0; column < j.ly.cols; column++)
            for (uint64_t row = 0; row < j.ly.rows; row++) {
                double sum = 0;
                int64_t left = batch * j.la.stride, right = batch * j.lb.stride;
                uint64_t length = j.d.transa ? j.la.rows : j.la.cols;
                for (uint64_t k = 0; k < length; k++) {
                    int64_t at_a = j.d.transa ? row * j.la.ld + k : k * j.la.ld + row;
                    int64_t at_b = j.d.transb ? k * j.lb.ld + column : column * j.lb.ld + k;
                    sum += (double)get(j.a, j.la.kind, left + at_a) * get(j.b, j.lb.kind, right + at_b);
                }
                if (j.beta != 0)
                    sum += get(j.c, j.lc.kind, batch * j.lc.stride + column * j.lc.ld + row);
                if (j.d.epilogue & 4) sum += get(j.d.bias, j.ly.kind, row);
                if ((j.d.epilogue & 2) && sum < 0) sum = 0;
                if (wrong == 1) sum *= 1.05;
                put(j.y, j.ly.kind, batch * j.ly.stride + column * j.ly.ld + row, (float)sum);
            }
}

}  // namespace

extern "C" {

size_t cublasLtGetVersion() { return 120903; }
int standin_alive() { return alive; }
int standin_calls() { return calls; }
void standin_queue(Queue found) { queue = found; }  // work is put into a stream there
void standin_wrong(int how) { wrong = how; }  // 1: wrong numbers, 2: fails when it is started

int cublasLtCreate(void** handle) {
    *handle = &alive;
    return OK;
}

int cublasLtMatmulDescCreate(Description** made, int compute, int scale) {
    bool known = (compute == 68 || compute == 77) && scale == 0;
    *made = new Description{compute, scale};
    alive++;
    return known ? OK : INVALID;
}

int cublasLtMatmulDescDestroy(Description* made) {
    delete made;
    alive--;
    return OK;
}

int cublasLtMatmulDescSetAttribute(Description* d, int attribute, const void* value, size_t size) {
    if (attribute == 3) return taken(d->transa, value, size);
    if (attribute == 4) return taken(d->transb, value, size);
    if (attribute == 7) return taken(d->epilogue, value, size);
    if (attribute == 8) return taken(d->bias, value, size);
    return INVALID;
}

int cublasLtMatrixLayoutCreate(Layout** made, int kind, uint64_t rows, uint64_t cols, int64_t ld) {
    *made = new Layout{kind, rows, cols, ld};
    alive++;
    return kind == 0 || kind == 2 ? OK : INVALID;
}

int cublasLtMatrixLayoutDestroy(Layout* made) {
    delete made;
    alive--;
    return OK;
}

int cublasLtMatrixLayoutSetAttribute(Layout* l, int attribute, const void* value, size_t size) {
    if (attribute == 5) return taken(l->batch, value, size);
    if (attribute == 6) return taken(l->stride, value, size);
    return INVALID;
}

int cublasLtMatmulPreferenceCreate(Preference** made) {
    *made = new Preference;
    alive++;
    return OK;
}

int cublasLtMatmulPreferenceDestroy(Preference* made) {
    delete made;
    alive--;
    return OK;
}

int cublasLtMatmulPreferenceSetAttribute(Preference* p, int attribute, const void* value,
                                         size_t size) {
    if (attribute == 1) return taken(p->workspace, value, size);
    if (attribute >= 5 && attribute <= 8) return taken(p->alignment[attribute - 5], value, size);
    return INVALID;
}

int cublasLtMatmulAlgoGetHeuristic(void* handle, Description* d, Layout* a, Layout* b, Layout* c,
                                   Layout* y, Preference* p, int requested, Found* found,
                                   int* count) {
    *count = 0;
    uint64_t length = d->transa ? a->rows : a->cols;
    bool same = length == (d->transb ? b->cols : b->rows) &&
                (d->transa ? a->cols : a->rows) == y->rows &&
                (d->transb ? b->rows : b->cols) == y->cols && c->rows == y->rows &&
                c->cols == y->cols && d->transa + d->transb == 1;
    bool batched = a->batch == b->batch && b->batch == y->batch && c->batch == y->batch;
    if (handle != &alive || !same || !batched || !fits(a) || !fits(b) || !fits(c) || !fits(y))
        return INVALID;
    for (int i = 0; i < 4; i++)
        if (p->alignment[i] < (y->kind == 2 ? 2u : 4u)) return INVALID;
    if ((d->epilogue & 4) && !d->bias) return INVALID;
    uint32_t alignment = p->alignment[0];
    for (int i = 0; i < 3 && i < requested; i++) {
        Found& one = found[(*count)++];
        std::memset(&one, 0, sizeof one);
        one.algorithm[0] = OWN;
        one.algorithm[1] = alignment;
        one.algorithm[7] = i;
        one.workspace = i == 1 && p->workspace >= 4096 ? 4096 : 0;
        one.state = i == 2 ? UNSUPPORTED : OK;
    }
    return OK;
}

int cublasLtMatmul(void* handle, Description* d, const float* alpha, const void* a, Layout* la,
                   const void* b, Layout* lb, const float* beta, const void* c, Layout* lc, void* y,
                   Layout* ly, const uint64_t* algorithm, void* workspace, size_t size,
                   void* stream) {
    calls++;
    if (handle != &alive || algorithm[0] != OWN || wrong == 2) return INVALID;
    uint64_t alignment = algorithm[1];
    int item = ly->kind == 2 ? 2 : 4;
    bool steps = la->ld * item % alignment == 0 && lb->ld * item % alignment == 0 &&
                 lc->ld * item % alignment == 0 && ly->ld * item % alignment == 0;
    if (!aligned(a, alignment) || !aligned(b, alignment) || !aligned(c, alignment) ||
        !aligned(y, alignment) || !steps)
        return INVALID;
    if (algorithm[7] == 1 && (size < 4096 || !aligned(workspace, 16))) return INVALID;
    if ((*beta != 0 && *beta != 1) || *alpha != 1) return INVALID;
    void* used = algorithm[7] == 1 ? workspace : nullptr;
    auto* job = new Job{*d, *la, *lb, *lc, *ly, a, b, c, y, *beta, used};
    if (queue) return queue(stream, run, job);  // a graph may run it again, so it stays
    run(job);
    delete job;
    return OK;
}
}
