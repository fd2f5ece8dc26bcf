"""The C code of a library: its header, and the source that creates and runs instances."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Literal

from netc.aot.library import (
    ALIGNMENT,
    ARENA,
    EXTERNAL,
    NUMBER,
    STATUS,
    WEIGHTS,
    WORKSPACE,
    LibraryBlob,
    PlannedLibrary,
)
from netc.backends.cpu.instructions import feature_for
from netc.backends.cpu.jit import KernelSpec
from netc.printable import printable
from netc.version import __version__

Symbols = Mapping[KernelSpec, str]
Weights = Literal["embed", "file", "memory"]
"""Where an instance's weights are: in the library, in a file, or in memory of the caller's."""


def header(library: PlannedLibrary, *, kind: Weights) -> str:
    """The text of the C header, ``NAME.h``; ``kind`` says where an instance's weights are."""
    name, upper = library.name, library.name.upper()
    weights = _CREATE_COMMENT[kind] + _REST_OF_COMMENT + f"NAME_net *NAME_create({_FROM[kind]});"
    sizes = "\n".join(_sizes(library))
    target, cpu = library.target.name, library.target.machine.cpu
    return f"""\
/* {_comment(library.net or name)}: made by netc {__version__} for {target} ({cpu}).
 *
 * {name}_create makes an instance, {name}_run runs it, {name}_destroy ends it. Any number of
 * instances may run at once; one instance is used by one thread at a time. Nothing is allocated
 * while it runs. Arrays are float32 in C order; their shapes are below.{_about_rows(library)}
 */
#ifndef {upper}_H
#define {upper}_H

#ifdef __cplusplus
extern "C" {{
#endif

{sizes}

typedef struct {name}_net {name}_net;

{weights.replace("NAME", name)}

/* Run once. Returns 0, or -1 where an argument is missing{_or_wrong(library)}: see
 * {name}_last_error. */
int {name}_run({name}_net *instance, {_parameters(library)});

void {name}_destroy({name}_net *instance);

/* What went wrong in the calling thread's last call that failed; "" where none did. */
const char *{name}_last_error(void);

#ifdef __cplusplus
}}
#endif
#endif
"""


_FROM: Mapping[Weights, str] = {
    "embed": "int threads",
    "file": "const char *weights, int threads",
    "memory": "const void *weights, long bytes, int threads",
}
_CREATE_COMMENT: Mapping[Weights, str] = {
    "embed": "/* A new instance.\n",
    "file": "/* A new instance whose weights are read from the file NAME.weights at this path.\n",
    "memory": "/* A new instance whose weights are copied: the bytes of the file NAME.weights.\n",
}
_REST_OF_COMMENT = """\
 * Its steps are shared by so many threads, at least 1; more than 1 is taken as 1 where the library
 * was built without threads. NULL on failure: see NAME_last_error. */
"""


def _comment(text: str) -> str:
    """A text of somebody's that must not end a comment."""
    return printable(text).replace("*/", "* /").replace("\\", "/")


def _sizes(library: PlannedLibrary) -> Iterator[str]:
    upper = library.name.upper()
    for kind, blobs in (("input", library.inputs), ("output", library.outputs)):
        for blob in blobs:
            shape = " x ".join(map(str, blob.shape)) or "one number"
            most = "" if blob.chosen is None else "at most "
            yield f"/* {kind} {_comment(blob.blob)}: {most}{shape} */"
            yield f"#define {upper}_{blob.name.upper()}_SIZE {blob.elements}"
            for axis, size in enumerate(blob.shape):
                yield f"#define {upper}_{blob.name.upper()}_DIM{axis} {size}"
            if blob.chosen is not None:
                rows = blob.shape[blob.chosen.axis]
                yield f"#define {upper}_{blob.name.upper()}_MAX_ROWS {rows}"
                yield f"#define {upper}_{blob.name.upper()}_ROW_FLOATS {blob.row}"


def _parameters(library: PlannedLibrary) -> str:
    inputs = [f"const float *{blob.name}" for blob in library.inputs]
    outputs = []
    for blob in library.outputs:
        outputs.append(f"float *{blob.name}")
        if blob.chosen is not None:
            outputs.append(f"int *{blob.name}_rows")
    return ", ".join([*inputs, *outputs])


def _about_rows(library: PlannedLibrary) -> str:
    if all(blob.chosen is None for blob in library.outputs):
        return ""
    return """
 *
 * Of some outputs a run tells how many rows there are: of the array of ..._SIZE floats the first
 * `rows` times ..._ROW_FLOATS are the result. Where the number is put may be NULL."""


def _or_wrong(library: PlannedLibrary) -> str:
    return f", or {' or '.join(sorted(set(library.faults.values())))}" if library.faults else ""


def source(library: PlannedLibrary, symbols: Symbols, *, kind: Weights) -> str:
    """The text of the C source; ``symbols`` has the name of each kernel's function."""
    parts = [
        f'#include "{library.name}.h"',
        _INCLUDES,
        _declarations(library, symbols),
        _tables(library, symbols),
        _weights_part(library, kind=kind),
        _STRUCT.replace("NAME", library.name),
        _part("errors"),
        _cpu_check(_needs(library)),
        _part("threads" if library.threads else "alone"),
        _create(library, kind=kind),
        _run(library),
        _DESTROY.replace("NAME", library.name),
    ]
    return "\n".join(parts).replace("NAME", library.name)


def _part(name: str) -> str:
    """A part that is the same for all nets, of the folder ``c``; NAME stands for a net's name."""
    return (Path(__file__).parent / "c" / f"{name}.c").read_text("utf-8")


_INCLUDES = """\
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
"""


def _declarations(library: PlannedLibrary, symbols: Symbols) -> str:
    """A kernel takes places for a result and an error, which it leaves alone, and four numbers."""
    lines = [
        "/* (result, error, arguments, first unit, last unit, scratch memory) */",
        "typedef int kernel_type(void **, void **, int64_t, int64_t, int64_t, int64_t);",
    ]
    lines += [f"extern kernel_type {symbols[kernel]};" for kernel in library.kernels]
    return "\n".join(lines) + "\n"


def _tables(library: PlannedLibrary, symbols: Symbols) -> str:
    rows = (
        f"    {{{symbols[row.kernel]}, {row.arguments}, {row.units}, {row.grain}}},"
        for row in library.rows
    )
    arguments = (f"{{{kind}, {_integer(number)}}}," for kind, number in library.arguments)
    told = max(1, len(library.telling))
    changing = [n for n, (kind, _) in enumerate(library.arguments) if kind >= EXTERNAL]
    return f"""\
enum {{
    STEPS = {len(library.rows)},
    ARGUMENTS = {len(library.arguments)},
    CHANGING = {len(changing)},
    ARRAYS = {len(library.inputs) + len(library.outputs)},
    TOLD = {told}
}};

/* Memory in bytes: values between layers, what a step's threads share, a thread's own. */
#define ARENA_BYTES {library.arena}u
#define WORKSPACE_BYTES {library.workspace}u
#define SCRATCH_BYTES {library.scratch}u

/* Steps in order: the kernel, its first argument, its units of work, and how many of them a thread
 * takes at a time at least. */
static const struct {{
    kernel_type *kernel;
    int32_t first;
    int64_t units, grain;
}} steps[STEPS] = {{
{chr(10).join(rows)}
}};

/* Arguments: {NUMBER} a number, or bytes from the start of {ARENA} the arena, {WORKSPACE} the
 * workspace, {WEIGHTS} the weights, {STATUS} what a run tells, {EXTERNAL} + k the caller's
 * array k. */
static const struct {{
    int32_t kind;
    int64_t number;
}} arguments[ARGUMENTS] = {{
{_filled(arguments)}
}};

/* The arguments that lie in the caller's arrays. */
static const int32_t changing[CHANGING + 1] = {{
{_filled([*(f"{n}," for n in changing), "0"])}
}};
"""


def _integer(number: int) -> str:
    """A constant of int64_t; the least one has no literal."""
    return "INT64_MIN" if number == -(1 << 63) else f"INT64_C({number})"


def _filled(items: Iterable[str]) -> str:
    return "\n".join(wrap(" ".join(items), 96, initial_indent="    ", subsequent_indent="    "))


def _weights_part(library: PlannedLibrary, *, kind: Weights) -> str:
    size = f"#define WEIGHTS_BYTES {len(library.weights)}u\n"
    if kind == "embed":
        return f"""{size}
/* {library.name}_weights.S */
extern const unsigned char NAME_weights_begin[];
"""
    own = "\n" + _part(f"read_{kind}")
    return size + _WEIGHTS_HEAD.replace("HASH", library.hash) + own


_WEIGHTS_HEAD = """
/* The first 64 bytes of the file of weights, by which it is known to be this net's. */
static const char weights_head[] = "netc weights 1 HASH";

static int fail(const char *format, const char *what);
"""


def weights_file(library: PlannedLibrary) -> bytes:
    """The bytes of the weights file that `NAME_create` reads: a 64-byte header, then the data."""
    head = f"netc weights 1 {library.hash}".encode()
    return head.ljust(ALIGNMENT, b"\0") + library.weights


_STRUCT = """\
struct NAME_net {
    int64_t values[ARGUMENTS + 1];      /* of the steps, as their kernels take them */
    int64_t told[TOLD];                 /* rows that layers chose, and what is wrong */
    const float *arrays[ARRAYS + 1];    /* the caller's, of the run under way */
    char *memory;                       /* all there is, to be freed */
    char *arena, *workspace, *scratch;
    const char *weights;
    int threads;
    struct team *team;
};
"""


_FEATURES = {
    "avx512": ("avx512f", "avx512vl", "avx512dq", "avx512bw"),
    "avx2": ("avx2", "fma"),
    "plain": ("sse2",),
}


def _needs(library: PlannedLibrary) -> tuple[str, ...]:
    """The processor's features, by GCC's names, that the kernels have instructions of."""
    machine = library.target.machine
    if machine.family != "x86":
        return ()
    formats = [dict(kernel.options).get("formats") for kernel in library.kernels]
    numbers = sorted({str(own[0]) for own in formats if isinstance(own, tuple)})
    found = (feature_for(machine, number) for number in numbers)
    return (*_FEATURES[machine.isa], *(feature for feature in found if feature is not None))


def _cpu_check(features: Sequence[str]) -> str:
    if not features:
        return _NO_CPU_CHECK
    tests = " && ".join(f'__builtin_cpu_supports("{feature}")' for feature in features)
    return f"""\
/* An instruction that the processor lacks would end the program. */
static int check_processor(void)
{{
#if defined(__GNUC__)
    __builtin_cpu_init();
    if (!({tests}))
        return fail("%s", "this processor lacks instructions that the library was built for: "
                          "{", ".join(features)}");
#endif
    return 0;
}}
"""


_NO_CPU_CHECK = """\
static int check_processor(void)
{
    return 0;
}
"""


def _create(library: PlannedLibrary, *, kind: Weights) -> str:
    if kind == "embed":
        weights, more = "net->weights = (const char *)NAME_weights_begin;", "0"
    else:
        given = "weights" if kind == "file" else "weights, bytes_of_weights"
        weights = (
            "net->weights = next;\n"
            f"    if (read_weights({given}, next) != 0) {{\n"
            "        NAME_destroy(net);\n"
            "        return NULL;\n"
            "    }"
        )
        more = "WEIGHTS_BYTES"
    return (
        _part("create")
        .replace("PARAMETERS", _FROM[kind].replace("long bytes", "long bytes_of_weights"))
        .replace("SET_WEIGHTS", weights)
        .replace("MORE_BYTES", more)
    )


def _run(library: PlannedLibrary) -> str:
    arrays: list[LibraryBlob] = [*library.inputs, *library.outputs]
    set_arrays = "\n".join(f"    net->arrays[{n}] = {blob.name};" for n, blob in enumerate(arrays))
    return f"""\
int NAME_run(NAME_net *net, {_parameters(library)})
{{
    int n;

    last_error[0] = 0;
    if (net == NULL)
        return fail("%s: the instance is NULL", "NAME_run");
{set_arrays}
    for (n = 0; n < ARRAYS; n++)
        if (net->arrays[n] == NULL)
            return fail("%s: an array is NULL", "NAME_run");
    for (n = 0; n < CHANGING; n++) {{
        int at = changing[n];
        net->values[at] = (int64_t)(intptr_t)net->arrays[arguments[at].kind - {EXTERNAL}]
                          + arguments[at].number;
    }}
    memset(net->told, 0, sizeof net->told);
    run_steps(net);
{_told(library)}    return 0;
}}
"""


def _told(library: PlannedLibrary) -> str:
    """What a run tells besides its arrays: faults, and how many rows there are."""
    lines = []
    for number, wrong in library.faults.items():
        layer = _literal(f"layer `{library.telling[number]}`")
        lines += [
            f"    if (net->told[{number}] < 0)",
            f'        return fail("%s: {wrong}",',
            f"                    {layer});",
        ]
    for blob in library.outputs:
        if blob.chosen is not None:
            lines += [
                f"    if ({blob.name}_rows != NULL)",
                f"        *{blob.name}_rows = (int)net->told[{blob.chosen.status}];",
            ]
    return "".join(f"{line}\n" for line in lines)


def _literal(text: str) -> str:
    """A string of C, whatever somebody's name has in it."""
    plain = printable(text).encode("ascii", "backslashreplace").decode("ascii")
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"').replace("?", "\\?") + '"'


_DESTROY = """\
void NAME_destroy(NAME_net *net)
{
    if (net == NULL)
        return;
    end_team(net);
    free(net->memory);
    free(net);
}
"""
