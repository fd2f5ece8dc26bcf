"""The example that comes with a library: a C program that runs it, and a CMakeLists.txt."""

from __future__ import annotations

from netc.aot.library import LibraryBlob, PlannedLibrary


def program(library: PlannedLibrary, *, embedded: bool) -> str:
    """The text of a C program that reads the inputs from stdin and writes the outputs to stdout.

    Arrays are float32 in the machine's byte order, one after the other. ``embedded`` says whether
    the weights are in the library; otherwise their file is an argument.
    """
    name, upper = library.name, library.name.upper()
    every = (*library.inputs, *library.outputs)
    arrays = "\n".join(f"static float {b.name}[{upper}_{b.name.upper()}_SIZE];" for b in every)
    read = "\n".join(_moved(b.name, "fread", "stdin", "reading") for b in library.inputs)
    write = "\n".join(_written(b, f"{upper}_{b.name.upper()}") for b in library.outputs)
    given = ", ".join(b.name for b in library.inputs)
    for b in library.outputs:
        given += f", {b.name}" if b.chosen is None else f", {b.name}, &{b.name}_rows"
    counts = "".join(f"\n    int {b.name}_rows = 0;" for b in library.outputs if b.chosen)
    weights = "" if embedded else f'argc > 2 ? argv[2] : "{name}.weights", '
    usage = "[THREADS]" if embedded else "[THREADS [WEIGHTS]]"
    return f"""\
/* Runs {name} once: example {usage} < inputs > outputs
 *
 * Inputs and outputs are float32 as this machine has them, one array after the other:
 * {", ".join(b.name for b in library.inputs)} -> {", ".join(b.name for b in library.outputs)}
 */
#include "{name}.h"

#include <stdio.h>
#include <stdlib.h>

{arrays}

static int failed(const char *what)
{{
    fprintf(stderr, "%s: %s\\n", what, {name}_last_error());
    return 1;
}}

int main(int argc, char **argv)
{{
    int threads = argc > 1 ? atoi(argv[1]) : 1;
    {name}_net *net = {name}_create({weights}threads);{counts}

    if (net == NULL)
        return failed("create");
{read}
    if ({name}_run(net, {given}) != 0)
        return failed("run");
{write}
    {name}_destroy(net);
    return 0;
}}
"""


def _moved(name: str, function: str, stream: str, what: str) -> str:
    return (
        f"    if ({function}({name}, 1, sizeof {name}, {stream}) != sizeof {name})\n"
        f'        return failed("{what} {name}");'
    )


def _written(blob: LibraryBlob, constant: str) -> str:
    """An output's elements written; of rows that were chosen only those."""
    if blob.chosen is None:
        return _moved(blob.name, "fwrite", "stdout", "writing")
    count = f"(size_t){blob.name}_rows * {constant}_ROW_FLOATS"
    return (
        f"    if (fwrite({blob.name}, sizeof(float), {count}, stdout) != {count})\n"
        f'        return failed("writing {blob.name}");'
    )


def cmake(library: PlannedLibrary) -> str:
    """The text of a CMakeLists.txt with the library as an imported target, and the example."""
    name = library.name
    threads = "find_package(Threads REQUIRED)\n" if library.threads else ""
    linked = " Threads::Threads" if library.threads else ""
    return f"""\
# cmake -B out && cmake --build out
#
# In a project of your own: add_subdirectory(this folder), then target_link_libraries(... {name}).
cmake_minimum_required(VERSION 3.13)
project({name} C)

{threads}add_library({name} STATIC IMPORTED GLOBAL)
set_target_properties({name} PROPERTIES
    IMPORTED_LOCATION "${{CMAKE_CURRENT_LIST_DIR}}/lib{name}.a"
    INTERFACE_INCLUDE_DIRECTORIES "${{CMAKE_CURRENT_LIST_DIR}}"
    INTERFACE_LINK_LIBRARIES "m{linked.replace(" ", ";")}")

add_executable({name}_example example.c)
target_link_libraries({name}_example PRIVATE {name})
"""
