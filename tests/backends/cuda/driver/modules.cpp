// Modules: which kernels a cubin has, what they take, and what is run in their place.
#include <elf.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "fake.h"

namespace fake {

namespace {

// Facts of the format, by the output of `cuobjdump -elf`: attributes in .nv.info sections.
enum : unsigned char {
    attribute_most_threads = 0x05,
    attribute_parameter = 0x17,
    attribute_registers = 0x2f,
    format_sized = 4,
};
constexpr int most_registers = 64 << 10, reserved_shared = 1 << 10;

std::map<std::string, Kernel>& registry() {
    static auto* all = new std::map<std::string, Kernel>;
    return *all;
}

const char* after_prefix(const char* text, const char* prefix) {
    size_t size = strlen(prefix);
    return strncmp(text, prefix, size) ? nullptr : text + size;
}

template <class T>
T read(const char* from) {
    T value;
    memcpy(&value, from, sizeof value);
    return value;
}

void read_parameter(Function& function, const char* data) {
    unsigned ordinal = read<uint16_t>(data + 4), offset = read<uint16_t>(data + 6);
    unsigned size = read<uint32_t>(data + 8) >> 18;
    if (function.parameters.size() <= ordinal) function.parameters.resize(ordinal + 1);
    function.parameters[ordinal] = {offset, size};
}

// Each attribute of a section: its number and where its value lies.
void each_attribute(const char* data, size_t size,
                    const std::function<void(unsigned char, const char*)>& visit) {
    for (size_t at = 0; at + 4 <= size;) {
        size_t length = data[at] == format_sized ? read<uint16_t>(data + at + 2) : 0;
        visit(data[at + 1], data + at + 4);
        at += 4 + length;
    }
}

Function& function_of(Module& module, const std::string& name) {
    Function*& found = module.functions[name];
    if (!found) {
        live<Function>().insert(found = new Function{name, current_device(), {}});
        found->kernel = registered(name);
    }
    return *found;
}

void read_section(Module& module, const char* name, const Elf64_Shdr& section, const char* image) {
    const char* data = image + section.sh_offset;
    if (const char* rest = after_prefix(name, ".text."))
        function_of(module, rest).symbol = section.sh_info & 0xffffff;
    if (const char* rest = after_prefix(name, ".nv.shared."))
        if (strcmp(rest, "reserved.0")) function_of(module, rest).shared = int(section.sh_size);
    if (const char* rest = after_prefix(name, ".nv.info.")) {
        Function& function = function_of(module, rest);
        each_attribute(data, section.sh_size, [&](unsigned char attribute, const char* value) {
            if (attribute == attribute_parameter) read_parameter(function, value);
            if (attribute == attribute_most_threads) function.most_threads = read<int32_t>(value);
        });
    }
}

// What the sections of single functions do not tell.
void read_common(Module& module, const char* name, const Elf64_Shdr& section, const char* image) {
    if (!strcmp(name, ".nv.shared.reserved.0"))  // which is part of what each function has
        for (auto& [key, function] : module.functions)
            function->shared = std::max(0, function->shared - reserved_shared);
    if (strcmp(name, ".nv.info")) return;
    each_attribute(image + section.sh_offset, section.sh_size,
                   [&](unsigned char attribute, const char* value) {
                       if (attribute != attribute_registers) return;
                       for (auto& [key, function] : module.functions)
                           if (function->symbol == read<uint32_t>(value))
                               function->registers = read<int32_t>(value + 4);
                   });
}

}  // namespace

// CUDA C++ Programming Guide, technical specifications per compute capability.
int most_opted_shared() {
    switch (facts().major * 10 + facts().minor) {
        case 70: return 96 << 10;
        case 75: return 64 << 10;
        case 80: case 87: return 163 << 10;
        case 86: case 89: case 120: return 99 << 10;
    }
    return 227 << 10;
}

Kernel registered(const std::string& name) {
    auto found = registry().find(name);
    return found == registry().end() ? nullptr : found->second;
}

int load(Module** module, const void* image) {
    auto* bytes = static_cast<const char*>(image);
    auto& header = *static_cast<const Elf64_Ehdr*>(image);
    if (memcmp(header.e_ident, ELFMAG, SELFMAG) || header.e_machine != EM_CUDA)
        return invalid_image;
    unsigned wanted = unsigned(facts().major * 10 + facts().minor);
    if ((header.e_flags & 0xff) != wanted) return no_binary_for_device;
    auto* sections = reinterpret_cast<const Elf64_Shdr*>(bytes + header.e_shoff);
    const char* names = bytes + sections[header.e_shstrndx].sh_offset;
    live<Module>().insert(*module = new Module);
    for (int i = 0; i < header.e_shnum; i++)
        read_section(**module, names + sections[i].sh_name, sections[i], bytes);
    for (int i = 0; i < header.e_shnum; i++)
        read_common(**module, names + sections[i].sh_name, sections[i], bytes);
    return success;
}

void unload(Module* module) {
    finish_all();
    for (auto& [name, function] : module->functions) forget(function);
    forget(module);
}

static int refused(const Function& function, const unsigned (&grid)[3], const unsigned (&block)[3],
                   unsigned dynamic) {
    size_t threads = size_t(block[0]) * block[1] * block[2];
    if (!grid[0] || !grid[1] || !grid[2] || !threads) return invalid_value;
    if (grid[0] > 0x7fffffffu || grid[1] > 65535 || grid[2] > 65535) return invalid_value;
    if (block[0] > 1024 || block[1] > 1024 || block[2] > 64) return invalid_value;
    if (threads > size_t(function.most_threads)) return invalid_value;
    if (function.shared > 48 << 10 || dynamic > unsigned(function.most_dynamic))
        return invalid_value;
    if (function.shared + int(dynamic) > most_opted_shared()) return invalid_value;
    size_t warps = (threads + 31) / 32, registers = size_t(function.registers + 7) / 8 * 8 * 32;
    return warps * registers > most_registers ? out_of_resources : success;
}

// What looks like an address must be one, or the end of some memory, which a kernel may know but
// not read; arrays that are passed by value begin with theirs.
static void check_pointers(const Function& function, const std::vector<std::vector<char>>& values) {
    for (size_t i = 0; i < values.size(); i++) {
        if (values[i].size() < 8) continue;
        auto value = read<uint64_t>(values[i].data());
        if (!(value >> 32) || value >> 47) continue;
        int device = device_of((void*)value);
        if (device < 0) device = device_of((void*)(value - 1));
        if (device < 0)
            die("%s: argument %zu is %#lx, which is in no live memory", function.name.c_str(), i,
                (unsigned long)value);
        if (device != function.device)
            die("%s: argument %zu lies on another device", function.name.c_str(), i);
    }
}

int launch(Function& function, const unsigned (&grid)[3], const unsigned (&block)[3],
           unsigned dynamic, Stream& stream, void** parameters) {
    if (int status = refused(function, grid, block, dynamic)) return status;
    if (function.device != stream.device) return invalid_handle;
    if (!function.kernel) die("kernel %s has no stand-in", function.name.c_str());
    if (block[1] != 1 || block[2] != 1) die("blocks of one dimension are all that is known here");
    if (parameters == nullptr && !function.parameters.empty()) return invalid_value;
    auto values = std::make_shared<std::vector<std::vector<char>>>();
    for (size_t i = 0; i < function.parameters.size(); i++) {
        auto* from = static_cast<const char*>(parameters[i]);
        values->emplace_back(from, from + function.parameters[i].size);
    }
    const unsigned shape[5] = {grid[0], grid[1], grid[2], block[0], dynamic};
    Function* what = &function;
    return submit(stream, function.name, [=] {
        if (!is_live(what)) die("a kernel is run after its module was unloaded");
        counts.kernels++;
        check_pointers(*what, *values);
        std::vector<void*> given;
        for (auto& value : *values) given.push_back(value.data());
        if (what->kernel(shape, facts().order, given.data()))
            die("%s: threads wait at a barrier that others never reach", what->name.c_str());
        check_guards(what->name.c_str());
        tick(1e-5 + 1e-9 * shape[0] * shape[1] * shape[2] * shape[3]);
    });
}

extern "C" void fake_register(const char* name, Kernel kernel) {
    Turn held(turn);
    registry()[name] = kernel;
}

extern "C" int fake_nothing(const unsigned*, int, void**) { return 0; }

// The sizes of a kernel's parameters, or -1 where no module with it is loaded.
extern "C" int fake_parameters(const char* name, unsigned* sizes, int most) {
    Turn held(turn);
    for (Module* module : live<Module>()) {
        auto found = module->functions.find(name);
        if (found == module->functions.end()) continue;
        auto& parameters = found->second->parameters;
        for (int i = 0; i < std::min(most, int(parameters.size())); i++)
            sizes[i] = parameters[i].size;
        return int(parameters.size());
    }
    return -1;
}

}  // namespace fake
