// In place of the functions by which CuPy's C code calls the CUDA runtime (the C interface of its
// module cupy_backends.cuda.api.runtime), with the names and types that they have there. The
// runtime itself is linked into CuPy's wheels and refuses drivers that are not NVIDIA's.
#include "fake.h"

using namespace fake;

struct _object;
using Object = _object*;
extern "C" Object PyLong_FromLong(long);
extern "C" void PyErr_SetString(Object, const char*);
extern "C" Object PyExc_RuntimeError;
static Object (*check_status)(int, int);  // CuPy's own: raises CUDARuntimeError; returns None

// A value, or with an exception set the value that tells of it.
template <class T>
static T answer(int status, T value, T failed) {
    if (!status) return value;
    check_status(status, 0);
    return failed;
}

static Object answer(int status) { return check_status(status, 0); }

// What makes the device's context current, as most functions of the runtime do.
static int& here() {
    context_bound() = true;
    return current_device();
}

static Stream* stream_here(intptr_t handle) {
    here();
    return stream_of(handle);
}

struct Mode {  // optional arguments, as Cython passes them
    int given, mode;
};

template <class T>
static bool dead(intptr_t handle) {
    return !is_live(reinterpret_cast<T*>(handle));
}

extern "C" {

void fake_raising(Object (*raise)(int, int)) { check_status = raise; }

// Devices

int runtime_driverGetVersion(int) { return 12090; }

int runtime_getDeviceCount(int) {
    int count = facts().devices;
    return answer(count ? success : 100, count, -1);
}

int runtime_getDevice(int) { return current_device(); }

Object runtime_setDevice(int device, int) {
    if (device < 0 || device >= facts().devices) return answer(invalid_device);
    current_device() = device;
    here();
    return answer(success);
}

Object runtime__ensure_context() {
    here();
    return answer(success);
}

int runtime_deviceGetAttribute(int attribute, int device, int) {
    if (device < 0 || device >= facts().devices) return answer(invalid_device, 0, -1);
    switch (attribute) {
        case 1: return 1024;                  // threads of a block
        case 8: return 48 << 10;              // shared memory of a block
        case 10: return 32;                   // threads of a warp
        case 16: return facts().processors;
        case 75: return facts().major;
        case 76: return facts().minor;
        case 97: return most_opted_shared();  // shared memory of a block that asks for more
        case 115: return 0;                   // no pools of the driver's
    }
    die("device attribute %d is not known here", attribute);
}

int runtime_deviceCanAccessPeer(int, int, int) { return 0; }

Object runtime_deviceSynchronize(int) {
    Turn held(turn);
    if (int refused = refuse_device_wait()) return answer(refused);
    finish_device(here());
    return answer(success);
}

// Memory

intptr_t runtime_malloc(size_t size, int) {
    Turn held(turn);
    if (int refused = refuse_unsafe()) return answer<intptr_t>(refused, 0, 0);
    void* pointer = nullptr;
    int status = allocate(&pointer, size, here());
    return answer(status, intptr_t(pointer), intptr_t(0));
}

Object runtime_free(intptr_t pointer, int) {
    Turn held(turn);
    if (int refused = refuse_unsafe()) return answer(refused);
    return answer(release(reinterpret_cast<void*>(pointer)));
}

intptr_t runtime_hostAlloc(size_t size, unsigned, int) {
    Turn held(turn);
    if (int refused = refuse_unsafe()) return answer<intptr_t>(refused, 0, 0);
    here();
    void* pointer = nullptr;
    int status = allocate_host(&pointer, size);
    return answer(status, intptr_t(pointer), intptr_t(0));
}

Object runtime_freeHost(intptr_t pointer, int) {
    Turn held(turn);
    if (int refused = refuse_unsafe()) return answer(refused);
    return answer(release_host(reinterpret_cast<void*>(pointer)));
}

size_t fake_memory_used() {
    Turn held(turn);
    return memory_used(here());
}

size_t fake_memory() { return facts().memory; }

void fake_limit(size_t size) {
    Turn held(turn);
    facts().memory = size;
}

static int move(intptr_t to, intptr_t from, size_t size, int kind, intptr_t handle, bool waits) {
    Turn held(turn);
    Stream* stream = stream_here(handle);
    if (!stream) return invalid_handle;
    bool to_device = device_of((void*)to) >= 0, from_device = device_of((void*)from) >= 0;
    bool right[] = {!to_device && !from_device, to_device && !from_device,
                    !to_device && from_device, to_device && from_device, true};
    if (kind < 0 || kind > 4 || (size && !right[kind])) return invalid_value;
    return copy((void*)to, (void*)from, size, *stream, waits);
}

Object runtime_memcpy(intptr_t to, intptr_t from, size_t size, int kind, int) {
    return answer(move(to, from, size, kind, 0, true));
}

Object runtime_memcpyAsync(intptr_t to, intptr_t from, size_t size, int kind, intptr_t stream,
                           int) {
    return answer(move(to, from, size, kind, stream, false));
}

static int set(intptr_t to, int value, size_t size, intptr_t handle, bool waits) {
    Turn held(turn);
    Stream* stream = stream_here(handle);
    return stream ? fill((void*)to, value, size, *stream, waits) : invalid_handle;
}

Object runtime_memset(intptr_t to, int value, size_t size, int) {
    return answer(set(to, value, size, 0, true));
}

Object runtime_memsetAsync(intptr_t to, int value, size_t size, intptr_t stream, int) {
    return answer(set(to, value, size, stream, false));
}

// 0 for memory that is not known, 1 for pinned memory, 2 for a device's.
int runtime_pointerGetMemoryType(intptr_t pointer, int) {
    Turn held(turn);
    return device_of((void*)pointer) >= 0 ? 2 : pinned((void*)pointer) ? 1 : 0;
}

int fake_device_of(intptr_t pointer) {
    Turn held(turn);
    return device_of((void*)pointer);
}

// Streams

// Whether work is done. Asking gets nothing done, but for who asks again and again.
static bool glance(const Work& work) {
    constexpr int patience = 1000;
    if (!work || work->done) return true;
    if (++work->asked >= patience) finish(work);
    return false;
}

static intptr_t new_stream(unsigned flags, int priority) {
    Turn held(turn);
    auto* stream = new Stream{here(), !(flags & 1), priority, {}, {}, {}};
    live<Stream>().insert(stream);
    return intptr_t(stream);
}

intptr_t runtime_streamCreate(int) { return new_stream(0, 0); }

intptr_t runtime_streamCreateWithFlags(unsigned flags, int) { return new_stream(flags, 0); }

intptr_t runtime_streamCreateWithPriority(unsigned flags, int priority, int) {
    return new_stream(flags, priority);
}

unsigned runtime_streamGetFlags(intptr_t handle, int) {
    Turn held(turn);
    Stream* stream = stream_here(handle);
    return answer<unsigned>(stream ? success : invalid_handle, stream && !stream->blocking, 0);
}

Object runtime_streamDestroy(intptr_t handle, int) {
    Turn held(turn);
    auto* stream = reinterpret_cast<Stream*>(handle);
    if (!is_live(stream)) return answer(invalid_handle);
    if (stream->capture) stream->capture->invalid = true;
    orphan(stream->device, stream->tail);
    return answer(forget(stream));
}

Object runtime_streamSynchronize(intptr_t handle, int) {
    Turn held(turn);
    Stream* stream = stream_here(handle);
    if (!stream) return answer(invalid_handle);
    if (int refused = refuse_while_capturing(*stream)) return answer(refused);
    finish(stream->tail);
    return answer(success);
}

Object runtime_streamQuery(intptr_t handle, int) {
    Turn held(turn);
    Stream* stream = stream_here(handle);
    if (!stream) return PyLong_FromLong(invalid_handle);
    if (int refused = refuse_while_capturing(*stream)) return PyLong_FromLong(refused);
    return PyLong_FromLong(glance(stream->tail) ? success : not_ready);
}

Object runtime_streamWaitEvent(intptr_t handle, intptr_t event, int, void*) {
    Turn held(turn);
    Stream* stream = stream_here(handle);
    if (!stream || dead<Event>(event)) return answer(invalid_handle);
    return answer(wait(*stream, *reinterpret_cast<Event*>(event)));
}

Object runtime_streamBeginCapture(intptr_t handle, int, const Mode* mode) {
    Turn held(turn);
    Stream* stream = stream_here(handle);
    if (!stream) return answer(invalid_handle);
    return answer(begin_capture(*stream, mode && mode->given ? mode->mode : 2));
}

intptr_t runtime_streamEndCapture(intptr_t handle, int) {
    Turn held(turn);
    Stream* stream = stream_here(handle);
    Graph* graph = nullptr;
    int status = stream ? end_capture(*stream, &graph) : invalid_handle;
    return answer(status, intptr_t(graph), intptr_t(0));
}

int runtime_streamIsCapturing(intptr_t handle, int) {
    Turn held(turn);
    Stream* stream = stream_here(handle);
    if (!stream) return answer(invalid_handle, 0, 0);
    if (int refused = refuse_legacy(*stream)) return answer(refused, 0, 0);
    if (stream->capture && stream->capture->invalid) {  // as CuPy tells it
        PyErr_SetString(PyExc_RuntimeError, "the stream was capturing, but no more");
        return 0;
    }
    return stream->capture != nullptr;
}

// Events

intptr_t runtime_eventCreateWithFlags(unsigned flags, int) {
    Turn held(turn);
    here();
    auto* event = new Event;
    event->timed = !(flags & 2);
    live<Event>().insert(event);
    return intptr_t(event);
}

intptr_t runtime_eventCreate(int) { return runtime_eventCreateWithFlags(0, 0); }

Object runtime_eventDestroy(intptr_t event, int) {
    Turn held(turn);
    return answer(forget(reinterpret_cast<Event*>(event)));
}

Object runtime_eventRecord(intptr_t event, intptr_t handle, int) {
    Turn held(turn);
    Stream* stream = stream_here(handle);
    if (!stream || dead<Event>(event)) return answer(invalid_handle);
    return answer(record(*reinterpret_cast<Event*>(event), *stream));
}

static int look_at(intptr_t handle, bool waits) {
    Turn held(turn);
    if (dead<Event>(handle)) return invalid_handle;
    auto& event = *reinterpret_cast<Event*>(handle);
    if (event.capture) {
        event.capture->invalid = true;
        return captured_event;
    }
    if (!waits) return glance(event.work) ? success : not_ready;
    finish(event.work);
    return success;
}

Object runtime_eventQuery(intptr_t event, int) { return PyLong_FromLong(look_at(event, false)); }

Object runtime_eventSynchronize(intptr_t event, int) { return answer(look_at(event, true)); }

float runtime_eventElapsedTime(intptr_t first, intptr_t last, int) {
    Turn held(turn);
    if (dead<Event>(first) || dead<Event>(last)) return answer(invalid_handle, 0.0f, 0.0f);
    auto &start = *reinterpret_cast<Event*>(first), &end = *reinterpret_cast<Event*>(last);
    if (!start.timed || !end.timed || !start.work || !end.work)
        return answer(invalid_handle, 0.0f, 0.0f);
    if (!start.work->done || !end.work->done) return answer(not_ready, 0.0f, 0.0f);
    return float(1e3 * (*end.time - *start.time));
}

// Graphs

Object runtime_graphDestroy(intptr_t graph, int) {
    Turn held(turn);
    return answer(forget(reinterpret_cast<Graph*>(graph)));
}

Object runtime_graphExecDestroy(intptr_t started, int) {
    Turn held(turn);
    if (!dead<Started>(started)) orphan(here(), reinterpret_cast<Started*>(started)->last);
    return answer(forget(reinterpret_cast<Started*>(started)));
}

intptr_t runtime_graphInstantiate(intptr_t graph, int) {
    Turn held(turn);
    if (dead<Graph>(graph)) return answer<intptr_t>(invalid_handle, 0, 0);
    auto* started = new Started{reinterpret_cast<Graph*>(graph)->nodes, {}};
    live<Started>().insert(started);
    return intptr_t(started);
}

Object runtime_graphLaunch(intptr_t started, intptr_t handle, int) {
    Turn held(turn);
    Stream* stream = stream_here(handle);
    if (!stream || dead<Started>(started)) return answer(invalid_handle);
    return answer(launch(*reinterpret_cast<Started*>(started), *stream));
}

Object runtime_graphUpload(intptr_t started, intptr_t, int) {
    Turn held(turn);
    return answer(dead<Started>(started) ? invalid_handle : success);
}
}
