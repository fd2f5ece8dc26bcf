// Device memory: pages with forbidden pages around them, as many bytes as the device has.
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "fake.h"

namespace fake {

namespace {

constexpr size_t page = 4096;

struct Block {
    size_t size;
    int device;
    char* mapped;
    size_t pages;
};

std::map<uintptr_t, Block>& blocks() {
    static auto* all = new std::map<uintptr_t, Block>;
    return *all;
}

std::map<uintptr_t, size_t>& host_blocks() {
    static auto* all = new std::map<uintptr_t, size_t>;
    return *all;
}

std::map<int, size_t> used;

const std::pair<const uintptr_t, Block>* holding(const void* pointer) {
    auto at = uintptr_t(pointer);
    auto found = blocks().upper_bound(at);
    if (found == blocks().begin()) return nullptr;
    --found;
    return at < found->first + found->second.size ? &*found : nullptr;
}

char* slack(uintptr_t start, const Block& block) { return (char*)start + block.size; }

size_t slack_size(const Block& block) { return block.pages * page - block.size; }

}  // namespace

int allocate(void** pointer, size_t size, int device) {
    *pointer = nullptr;
    if (!size) return success;
    if (used[device] + size > facts().memory) return out_of_memory;
    Block block{size, device, nullptr, (size + page - 1) / page};
    size_t whole = (block.pages + 2) * page;
    void* mapped = mmap(nullptr, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) die("the host has no memory for %zu bytes", size);
    block.mapped = (char*)mapped;
    char* start = block.mapped + page;
    if (mprotect(start, block.pages * page, PROT_READ | PROT_WRITE)) die("mprotect failed");
    memset(start, 0xff, block.pages * page);  // NaN, whatever reads it
    blocks()[uintptr_t(start)] = block;
    used[device] += size;
    *pointer = start;
    return success;
}

void check_guards(const char* who) {
    for (auto& [start, block] : blocks()) {
        char* byte = slack(start, block);
        for (size_t i = 0; i < slack_size(block); i++)
            if (byte[i] != char(0xff)) die("%s wrote after its memory", who);
    }
}

int release(void* pointer) {
    if (!pointer) return success;
    auto found = blocks().find(uintptr_t(pointer));
    if (found == blocks().end()) die("%p is freed but is not allocated", pointer);
    finish_all();  // as freeing waits for the device
    check_guards("something");
    Block block = found->second;
    used[block.device] -= block.size;
    blocks().erase(found);
    munmap(block.mapped, (block.pages + 2) * page);
    return success;
}

int allocate_host(void** pointer, size_t size) {
    *pointer = aligned_alloc(page, (size + page - 1) / page * page);
    memset(*pointer, 0xff, size);
    host_blocks()[uintptr_t(*pointer)] = size;
    return success;
}

int release_host(void* pointer) {
    if (!host_blocks().erase(uintptr_t(pointer))) die("%p is no pinned memory", pointer);
    finish_all();
    free(pointer);
    return success;
}

size_t memory_used(int device) { return used[device]; }

int device_of(const void* pointer) {
    auto* found = holding(pointer);
    return found ? found->second.device : -1;
}

bool on_device(const void* pointer, size_t size) {
    auto* found = holding(pointer);
    return found && uintptr_t(pointer) + size <= found->first + found->second.size;
}

bool pinned(const void* pointer) {
    auto at = uintptr_t(pointer);
    auto found = host_blocks().upper_bound(at);
    if (found == host_blocks().begin()) return false;
    --found;
    return at < found->first + found->second;
}

static void check_place(const void* pointer, size_t size, const char* what) {
    if (device_of(pointer) >= 0 && !on_device(pointer, size))
        die("%s of %zu bytes at %p goes beyond its memory", what, size, pointer);
}

int copy(void* to, const void* from, size_t size, Stream& stream, bool waits) {
    if (!size) return success;
    bool to_device = device_of(to) >= 0, from_device = device_of(from) >= 0;
    if (!to_device && !from_device) return invalid_value;
    bool pageable_source = !from_device && !pinned(from);
    bool pageable_target = !to_device && !pinned(to);
    if (waits)
        if (int refused = refuse_while_capturing(stream)) return refused;
    std::shared_ptr<std::vector<char>> staged;
    if (pageable_source && !stream.capture)  // such bytes are read before the call returns
        staged = std::make_shared<std::vector<char>>((const char*)from, (const char*)from + size);
    int status = submit(stream, "copy", [=] {
        const void* source = staged ? staged->data() : from;
        if ((to_device && !on_device(to, size)) || (from_device && !on_device(from, size)))
            die("a copy of %zu bytes from %p to %p leaves its memory", size, from, to);
        memmove(to, source, size);
    });
    if (status == success && (waits || pageable_target) && !stream.capture) finish(stream.tail);
    return status;
}

int fill(void* to, int value, size_t size, Stream& stream, bool waits) {
    if (!size) return success;
    if (device_of(to) < 0) return invalid_value;
    check_place(to, size, "a fill");
    int status = submit(stream, "fill", [=] {
        if (!on_device(to, size)) die("a fill of %zu bytes at %p leaves its memory", size, to);
        memset(to, value, size);
    });
    if (status == success && waits && !stream.capture) finish(stream.tail);
    return status;
}

}  // namespace fake
