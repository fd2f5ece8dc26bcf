// Streams: work that waits, and the order in which it is done.
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "fake.h"

namespace fake {

std::recursive_mutex turn;
Counts counts;

extern "C" Counts* fake_counts() { return &counts; }

static long setting(const char* name, long otherwise) {
    const char* text = getenv(name);
    return text && *text ? atol(text) : otherwise;
}

Facts& facts() {
    static Facts found = {
        int(setting("FAKE_CUDA_DEVICES", 1)),      int(setting("FAKE_CUDA_MAJOR", 9)),
        int(setting("FAKE_CUDA_MINOR", 0)),        int(setting("FAKE_CUDA_PROCESSORS", 8)),
        size_t(setting("FAKE_CUDA_MEMORY", 1 << 30)), int(setting("FAKE_CUDA_ORDER", 0))};
    return found;
}

void die(const char* format, ...) {
    va_list values;
    va_start(values, format);
    fputs("fake CUDA driver: ", stderr);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
    abort();
}

unsigned chance(unsigned below) {
    static std::mt19937 numbers(unsigned(setting("FAKE_CUDA_SEED", 0)));
    return unsigned(numbers()) % below;
}

long serial() {
    static long last = 0;
    return ++last;
}

int& current_device() {
    thread_local int device = 0;
    return device;
}

bool& context_bound() {
    thread_local bool bound = false;
    return bound;
}

static double device_clock = 0;

void tick(double seconds) { device_clock += seconds; }

double now() { return device_clock; }

// Streams

Stream& legacy(int device) {
    static auto* streams = new std::map<int, Stream*>;
    Stream*& found = (*streams)[device];
    if (!found) found = new Stream{device, true, 0, {}, {}, {}};
    return *found;
}

Stream* stream_of(intptr_t handle) {
    if (handle == 2) die("the stream of each thread is not known here");
    if (handle == 0 || handle == 1) return &legacy(current_device());
    auto* stream = reinterpret_cast<Stream*>(handle);
    return is_live(stream) ? stream : nullptr;
}

static std::map<int, std::vector<Work>>& orphans() {
    static auto* all = new std::map<int, std::vector<Work>>;
    return *all;
}

void orphan(int device, const Work& work) {
    if (work && !work->done) orphans()[device].push_back(work);
}

static void add(std::vector<Work>& list, const Work& work) {
    if (work && !work->done) list.push_back(work);
}

// What must be done before a stream's next work: its own, and by the legacy stream's rule others'.
static std::vector<Work> before(Stream& stream) {
    std::vector<Work> found;
    add(found, stream.tail);
    Stream& common = legacy(stream.device);
    if (&stream == &common) {
        for (Stream* other : live<Stream>())
            if (other->device == stream.device && other->blocking) add(found, other->tail);
    } else if (stream.blocking) {
        add(found, common.tail);
    }
    return found;
}

int submit(Stream& stream, std::string what, std::function<void()> run) {
    if (int refused = refuse_legacy(stream)) return refused;
    if (stream.capture) {
        if (stream.capture->invalid) return capture_invalidated;
        stream.capture->nodes.push_back({std::move(what), std::move(run), stream.at});
        stream.at = {int(stream.capture->nodes.size()) - 1};
        return success;
    }
    stream.tail = std::make_shared<Op>(Op{std::move(what), std::move(run), before(stream)});
    return success;
}

// Doing it

static std::set<Op*, Earlier> pending(const std::vector<Work>& wanted) {
    std::set<Op*, Earlier> found;
    std::vector<Op*> next;
    auto visit = [&](const Work& work) {
        if (work && !work->done && found.insert(work.get()).second) next.push_back(work.get());
    };
    for (const Work& work : wanted) visit(work);
    while (!next.empty()) {
        Op* op = next.back();
        next.pop_back();
        for (const Work& work : op->after) visit(work);
    }
    return found;
}

static void finish(const std::vector<Work>& wanted) {
    std::map<Op*, int, Earlier> missing;
    std::map<Op*, std::vector<Op*>> followers;
    std::vector<Op*> ready;
    for (Op* op : pending(wanted)) {
        int count = 0;
        for (const Work& work : op->after)
            if (!work->done) count++, followers[work.get()].push_back(op);
        missing[op] = count;
    }
    for (auto& [op, count] : missing)
        if (!count) ready.push_back(op);
    while (!ready.empty()) {
        std::swap(ready[chance(unsigned(ready.size()))], ready.back());
        Op* op = ready.back();
        ready.pop_back();
        op->run();
        op->done = true;
        for (Op* other : followers[op])
            if (!--missing[other]) ready.push_back(other);
    }
    for (auto& [op, count] : missing) op->run = nullptr;
    std::vector<Work> gone;  // so that a long chain is not destroyed by recursion
    for (auto& [op, count] : missing)
        for (Work& work : op->after) gone.push_back(std::move(work));
    for (auto& [op, count] : missing) op->after.clear();
}

void finish(const Work& work) { finish(std::vector<Work>{work}); }

void finish_device(int device) {
    std::vector<Work> all{legacy(device).tail};
    for (Stream* stream : live<Stream>())
        if (stream->device == device) all.push_back(stream->tail);
    for (Work& work : orphans()[device]) all.push_back(work);
    finish(all);
    orphans()[device].clear();
}

void finish_all() {
    for (int device = 0; device < facts().devices; device++) finish_device(device);
}

}  // namespace fake
