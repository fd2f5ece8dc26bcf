// A CUDA driver on the processor, for tests: what its parts know of each other.
//
// Work that is put into streams is not done at once: it waits until somebody waits for it, and is
// then done in a random order among those that streams and events allow. Error codes and limits are
// those of NVIDIA's documentation of the driver API.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace fake {

enum Status : int {
    success = 0,
    invalid_value = 1,
    out_of_memory = 2,
    invalid_device = 101,
    invalid_image = 200,
    invalid_context = 201,
    no_binary_for_device = 209,
    invalid_handle = 400,
    illegal_state = 401,
    not_found = 500,
    not_ready = 600,
    out_of_resources = 701,
    capture_unsupported = 900,
    capture_invalidated = 901,
    capture_merge = 902,
    capture_unmatched = 903,
    capture_unjoined = 904,
    capture_isolation = 905,
    capture_implicit = 906,
    captured_event = 907,
    capture_wrong_thread = 908,
};

// What is told of a device; each can be set in the environment.
struct Facts {
    int devices, major, minor, processors;
    size_t memory;
    int order;  // of a kernel's threads and blocks, as the emulator has it
};
Facts& facts();

extern std::recursive_mutex turn;  // held by every call from outside
using Turn = std::lock_guard<std::recursive_mutex>;

// What has been done so far, for tests that ask whether it was.
struct Counts {
    long kernels, recorded, refused, launched;
};
extern Counts counts;

[[noreturn]] void die(const char* format, ...);  // a fault of the caller that has no error code
unsigned chance(unsigned below);                 // seeded

// Contexts: the thread's current device, and whether its context was made current.
int& current_device();
bool& context_bound();

// Work

long serial();  // 1, 2, ...

struct Op {
    std::string what;
    std::function<void()> run;
    std::vector<std::shared_ptr<Op>> after;
    bool done = false;
    long number = serial();
    int asked = 0;  // how often somebody has looked whether it is done
};

struct Earlier {  // addresses would be others in each process
    bool operator()(const Op* a, const Op* b) const { return a->number < b->number; }
};
using Work = std::shared_ptr<Op>;

struct Node {
    std::string what;
    std::function<void()> run;
    std::set<int> after;
};

struct Stream;

struct Capture {
    Stream* origin;
    int mode;  // 0 global, 1 this thread's, 2 relaxed
    std::thread::id thread;
    std::vector<Node> nodes;
    std::set<Stream*> streams;
    bool invalid = false;
};

struct Stream {
    int device;
    bool blocking;  // waits for the legacy stream, which waits for it
    int priority = 0;
    Work tail;
    std::shared_ptr<Capture> capture;
    std::set<int> at;  // nodes that what comes next depends on
};

struct Event {
    bool timed = true;
    Work work;
    std::shared_ptr<double> time = std::make_shared<double>(0);
    std::shared_ptr<Capture> capture;
    std::set<int> at;
};

struct Graph {
    std::vector<Node> nodes;
};

struct Started {  // a graph that can be launched
    std::vector<Node> nodes;
    Work last;
};

template <class T>
std::set<T*>& live() {
    static auto* all = new std::set<T*>;
    return *all;
}

template <class T>
bool is_live(const T* handle) {
    return live<T>().count(const_cast<T*>(handle)) > 0;
}

template <class T>
int forget(T* handle) {
    if (!live<T>().erase(handle)) return invalid_handle;
    delete handle;
    return success;
}

Stream* stream_of(intptr_t handle);  // null where there is none
Stream& legacy(int device);
int submit(Stream& stream, std::string what, std::function<void()> run);
void finish(const Work& work);
void finish_device(int device);
void finish_all();
void orphan(int device, const Work& work);  // of a stream that goes away
void tick(double seconds);                  // of the device's clock, which only kernels move
double now();

// Capture and graphs
int refuse_while_capturing(Stream& stream);  // for calls that wait for a stream
int refuse_unsafe();                         // for calls that a capture may forbid everywhere
int refuse_device_wait();
int refuse_legacy(const Stream& stream);
int begin_capture(Stream& stream, int mode);
int end_capture(Stream& stream, Graph** graph);
int record(Event& event, Stream& stream);
int wait(Stream& stream, Event& event);
int launch(Started& graph, Stream& stream);

// Memory
int allocate(void** pointer, size_t size, int device);
int release(void* pointer);
int allocate_host(void** pointer, size_t size);
int release_host(void* pointer);
size_t memory_used(int device);
bool on_device(const void* pointer, size_t size);  // all of it within one live allocation
bool pinned(const void* pointer);
int device_of(const void* pointer);  // -1 for memory that is no device's
void check_guards(const char* who);
int copy(void* to, const void* from, size_t size, Stream& stream, bool waits);
int fill(void* to, int value, size_t size, Stream& stream, bool waits);

// Modules

using Kernel = int (*)(const unsigned* shape, int order, void** parameters);

struct Parameter {
    unsigned offset, size;
};

struct Function {
    std::string name;
    int device = 0;
    std::vector<Parameter> parameters;
    int registers = 0, shared = 0, most_threads = 1024, most_dynamic = 48 << 10;
    int carveout = -1;
    Kernel kernel = nullptr;
    unsigned symbol = 0;  // of the cubin's
};

struct Module {
    std::map<std::string, Function*> functions;
};

int most_opted_shared();  // bytes of shared memory that a block may ask for
int load(Module** module, const void* image);
void unload(Module* module);
Kernel registered(const std::string& name);
int launch(Function& function, const unsigned (&grid)[3], const unsigned (&block)[3],
           unsigned dynamic, Stream& stream, void** parameters);

}  // namespace fake
