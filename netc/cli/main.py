"""The ``netc`` command: runs the subcommand, prints diagnostics, and returns the exit code.

Exit codes: 0 success; 1 a mistake in the user's files; 2 a mistake in the arguments; 3 a bug in
netc.
"""

from __future__ import annotations

import argparse
import gc
import keyword
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise
from typing import Any

from netc.cache import CacheWarning
from netc.cli.arguments import add_memory_argument, take_weights
from netc.cli.files import add_force_argument, guarded
from netc.cli.output import drop_output, print_diagnostics, say, tolerate_any_text
from netc.cli.usage import (
    Formatter,
    UsageParser,
    no_option,
    unknown_arguments,
    unknown_command,
    unknown_option,
)
from netc.diagnostics import Diagnostic, InternalError, NetcError, NetcWarning
from netc.memory import budget_of, using
from netc.version import __version__

# Command -> what it does. Each is netc/cli/<command>.py with add_arguments(parser) and run(args);
# only the one that is asked for is imported, so that `netc check` starts quickly.
COMMANDS = {
    "demo": "classify bundled digit images with the bundled net",
    "run": "run a net on images or arrays",
    "predict": "run a net on a folder, a list or a data set, with answers in a file",
    "train": "train a net as its solver says, with tests, snapshots and logs",
    "test": "score a net with its weights on the data that its layers name",
    "plot": "draw runs of training from their logs: losses, scores, rates",
    "gradcheck": "compare a net's gradients with finite differences",
    "data": "make databases for training of pictures, look into them, average them",
    "bench": "time a net layer by layer",
    "time": "time a net's forward and backward pass, layer by layer, as caffe time does",
    "devices": "list what nets can run on: the processor, and GPUs or why there is none",
    "check": "check texts: syntax, fields, formats, phases, shapes",
    "lint": "tell what is legal and likely not meant: strides, biases, losses, names",
    "collapse": "find what repeats in an old net, and write it with modules and loops",
    "expand": "write a text with modules, loops and chains as plain prototxt",
    "fmt": "print texts in canonical form",
    "summary": "show layers, shapes, parameters, multiply-adds, memory, receptive fields",
    "receptive": "show what the elements of a blob see of the input, also as a picture",
    "view": "write a net as one HTML page: graph, table, costs",
    "draw": "draw a net as svg, png, pdf or dot, by Graphviz",
    "compare": "show two nets side by side: layers added, removed, changed",
    "new": "write a net from the textbook's notation: INPUT -> [CONV -> RELU]*2 -> FC",
    "passes": "show what the optimising passes do to a net, and why they decline",
    "upgrade": "write an old net, and its weights, in the current format",
    "build": "write a net as a C library that runs without Python, or for a browser",
    "export": "write a net and its weights as an ONNX model",
    "fold": "write a net with BatchNorm and Scale in the weights beside them",
    "convolutionize": "make inner products convolutions, and slide nets over large images",
    "rename": "give layers and blobs other names, in a net and its weights",
    "prune-weights": "write weights with the arrays of a net's layers alone",
    "quantize": "write weights for a net computed in int8, within a bound on its answers",
    "half": "write weights as 16-bit floats, which OpenCV and NVIDIA's Caffe read",
    "text": "write the text of the net that a caffemodel carries",
    "migrate": "take an old project out of Caffe in one go, with a report",
    "verify": "hold a net to ONNX Runtime, OpenCV, Caffe's numbers or another net",
    "import": "write an ONNX model as a net and weights, where Caffe can say it",
    "deploy": "write the net for inference that a training net trains",
}


# A net is many small objects without cycles: looking through them often takes half of the time.
_COLLECTION = (50_000, 20, 20)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    tolerate_any_text()
    gc.set_threshold(*_COLLECTION)
    try:
        with warnings.catch_warnings():  # what commands find they print themselves
            warnings.simplefilter("ignore", NetcWarning)
            warnings.simplefilter("always", CacheWarning)
            warnings.showwarning = _show_warning  # type: ignore[assignment]
            code = _exit_code(arguments)
        if hasattr(sys.stdout, "flush"):
            sys.stdout.flush()
        return code
    except BrokenPipeError:  # whoever reads the output has read enough
        drop_output()
        return 0
    except OSError as error:
        drop_output()
        reason = (error.strerror or str(error)).lower()
        message = f"standard output cannot be written: {reason}"
        print_diagnostics([Diagnostic("cannot-write", message)])
        return 1


def _show_warning(message: Warning | str, category: type[Warning], *_: object) -> None:
    text = str(message) if issubclass(category, NetcWarning) else f"{category.__name__}: {message}"
    say(*text.split("\n"), stream=sys.stderr)


def _wants_json(arguments: Sequence[str]) -> bool:
    """Whether standard output is to be JSON; ``netc train --json FILE`` writes a file."""
    if arguments[:1] != ["train"]:
        return "--json" in arguments
    return "--json=-" in arguments or ("--json", "-") in pairwise(arguments)


def _exit_code(arguments: list[str]) -> int:
    """Run the command line and tell what goes wrong."""
    try:
        return _run(arguments)
    except NetcError as error:
        print_diagnostics(error.diagnostics, as_json=_wants_json(arguments))
        return 1
    except MemoryError as error:
        diagnostic = Diagnostic(
            "too-little-memory", f"the memory did not suffice: {error}".rstrip(": ")
        )
        print_diagnostics([diagnostic], as_json=_wants_json(arguments))
        return 1
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        if error.filename is None:  # of a stream: files are told of where they are opened
            raise
        return _internal(error)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 2
    except Exception as error:
        return _internal(error)


def _run(arguments: list[str]) -> int:
    if arguments[:1] == ["help"]:
        arguments = [*arguments[1:2], "--help"]
    chosen = next((a for a in arguments if not a.startswith("-")), None)
    if chosen is not None and chosen not in COMMANDS:
        say(*unknown_command(chosen, COMMANDS), stream=sys.stderr)
        return 2
    parser, subs = parsers(chosen)
    if chosen is not None:
        misspelt = no_option(arguments, subs[chosen])
        if misspelt:
            subs[chosen].error(unknown_arguments([misspelt], subs[chosen]))
    args, unknown = parser.parse_known_args(arguments)
    if args.command is None and unknown:
        say(*unknown_option(unknown[0], parser), stream=sys.stderr)
        return 2
    if args.command is None:
        parser.print_help()
        return 2
    take_weights(args, unknown, subs[args.command])
    if unknown:
        subs[args.command].error(unknown_arguments(unknown, subs[args.command]))
    with using(budget_of(args.max_memory)), guarded(args):
        if getattr(args, "layers", None):
            import_module("netc.cli.own_layers").run_files(args.layers)
        return int(args.run(args))


def parsers(chosen: str | None) -> tuple[UsageParser, dict[str, argparse.ArgumentParser]]:
    """The command line's parser, and that of the chosen command; of all, bare, where none is."""
    parser = UsageParser(
        prog="netc",
        description="netc runs networks written as text: Caffe's prototxt, exactly and fast.",
        epilog="netc COMMAND --help tells more of a command.",
        formatter_class=Formatter,
    )
    parser.add_argument("--version", action="version", version=f"netc {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    subs: dict[str, argparse.ArgumentParser] = {
        name: commands.add_parser(name, help=text, description=text, formatter_class=Formatter)
        for name, text in COMMANDS.items()
        if chosen is None or name == chosen
    }
    if chosen is not None:
        module: Any = import_module(f"netc.cli.{_module_of(chosen)}")
        module.add_arguments(subs[chosen])
        add_memory_argument(subs[chosen])
        add_force_argument(subs[chosen])
        subs[chosen].set_defaults(run=module.run)
    return parser, subs


def _module_of(command: str) -> str:
    """The file of a command: a hyphen is an underscore there, and a keyword has one behind it."""
    return f"{command.replace('-', '_')}{'_' if keyword.iskeyword(command) else ''}"


def _internal(error: Exception) -> int:
    """Tell a fault of netc's own in a few lines; all of it with NETC_DEBUG=1."""
    if os.environ.get("NETC_DEBUG"):
        traceback.print_exc()
    kind = "" if isinstance(error, InternalError) else f"{type(error).__name__}: "
    last = traceback.extract_tb(error.__traceback__)[-1]
    say(
        f"netc: internal error: {kind}{error}",
        f"   = note: at {os.path.basename(last.filename)}:{last.lineno} in {last.name}",
        "   = help: this is a fault of netc, not of your files; please report it with the net",
        "   = help: NETC_DEBUG=1 shows the whole traceback",
        stream=sys.stderr,
    )
    return 3
