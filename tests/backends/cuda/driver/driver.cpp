// What CuPy takes of libcuda.so.1 itself: contexts, modules, launches, attributes of functions.
#include <cstdlib>

#include "fake.h"

using namespace fake;

static const std::map<int, const char*>& names() {
    static const std::map<int, const char*> all = {
        {success, "CUDA_SUCCESS"},
        {invalid_value, "CUDA_ERROR_INVALID_VALUE"},
        {out_of_memory, "CUDA_ERROR_OUT_OF_MEMORY"},
        {invalid_device, "CUDA_ERROR_INVALID_DEVICE"},
        {invalid_image, "CUDA_ERROR_INVALID_IMAGE"},
        {invalid_context, "CUDA_ERROR_INVALID_CONTEXT"},
        {no_binary_for_device, "CUDA_ERROR_NO_BINARY_FOR_GPU"},
        {invalid_handle, "CUDA_ERROR_INVALID_HANDLE"},
        {not_found, "CUDA_ERROR_NOT_FOUND"},
        {out_of_resources, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"},
        {capture_unsupported, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"},
        {capture_invalidated, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"},
        {capture_implicit, "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT"},
    };
    return all;
}

static intptr_t context(int device) { return 0x10000 + device; }

// What needs a context that is current in the thread.
static int ready() { return context_bound() ? success : invalid_context; }

extern "C" {

int cuGetErrorName(int status, const char** name) {
    auto found = names().find(status);
    *name = found == names().end() ? "an error that is not named here" : found->second;
    return success;
}

int cuGetErrorString(int status, const char** text) { return cuGetErrorName(status, text); }

int cuCtxGetCurrent(intptr_t* found) {
    *found = context_bound() ? context(current_device()) : 0;
    return success;
}

int cuCtxSetCurrent(intptr_t wanted) {
    context_bound() = wanted != 0;
    if (wanted) current_device() = int(wanted - context(0));
    return success;
}

// Work of a library's stand-in, in the place of kernels that the library would start.
int fake_enqueue(intptr_t handle, void (*run)(void*), void* data) {
    Turn held(turn);
    Stream* stream = stream_of(handle);
    if (!stream) return invalid_handle;
    return submit(*stream, "a library's work", [=] { run(data); });
}

int cuCtxGetDevice(int* device) {
    *device = current_device();
    return ready();
}

int cuModuleLoadData(Module** module, const void* image) {
    Turn held(turn);
    if (int status = ready()) return status;
    return load(module, image);
}

int cuModuleUnload(Module* module) {
    Turn held(turn);
    if (!is_live(module)) return invalid_handle;
    unload(module);
    return success;
}

int cuModuleGetFunction(Function** function, Module* module, const char* name) {
    Turn held(turn);
    if (!is_live(module)) return invalid_handle;
    auto found = module->functions.find(name);
    if (found == module->functions.end()) return not_found;
    *function = found->second;
    return success;
}

int cuFuncGetAttribute(int* value, int attribute, Function* function) {
    Turn held(turn);
    if (!is_live(function)) return invalid_handle;
    const int known[] = {function->most_threads, function->shared, 0, 0, function->registers,
                         0, facts().major * 10 + facts().minor, 0, function->most_dynamic,
                         function->carveout};
    if (attribute < 0 || attribute > 9) return invalid_value;
    *value = known[attribute];
    return success;
}

int cuFuncSetAttribute(Function* function, int attribute, int value) {
    Turn held(turn);
    if (!is_live(function)) return invalid_handle;
    if (attribute == 9 && value >= -1 && value <= 100) return function->carveout = value, success;
    if (attribute != 8 || value < 0 || function->shared + value > most_opted_shared())
        return invalid_value;
    function->most_dynamic = value;
    return success;
}

int cuLaunchKernel(Function* function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                   unsigned block_x, unsigned block_y, unsigned block_z, unsigned dynamic,
                   intptr_t handle, void** parameters, void** extra) {
    Turn held(turn);
    if (int status = ready()) return status;
    Stream* stream = stream_of(handle);
    if (!stream || !is_live(function)) return invalid_handle;
    if (extra) return invalid_value;
    return launch(*function, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, dynamic,
                  *stream, parameters);
}
}
