"""``netc devices``: what netc can run on here."""

from __future__ import annotations

import argparse
import os
import platform
from dataclasses import asdict
from typing import Any

from netc.backends.cpu import jit
from netc.backends.cuda.devices import Missing, compiler_version, library_versions, listed
from netc.cli.output import print_json, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Tell of the processor and of each GPU, or why there is none."""
    found = {"cpu": _processor(), "cuda": _gpus()}
    if args.json:
        print_json(found)
    else:
        _print(found)
    return 0


def _processor() -> dict[str, Any]:
    """The processor; without Numba nothing is compiled, and the definitions run."""
    from netc.backends.cpu.backend import thread_count

    isa = "none"
    if jit.available():
        from netc.backends.cpu.machine import machine

        isa = machine().isa
    return {
        "backend": "cpu" if jit.available() else "reference",
        "architecture": platform.machine(),
        "isa": isa,
        "cores": os.cpu_count() or 1,
        "threads": thread_count(None),
    }


def _gpus() -> dict[str, Any]:
    """The GPUs, or the reason for which there is none, and what to do."""
    found = listed()
    if isinstance(found, Missing):
        return {"devices": [], "missing": found.message, "help": list(found.help)}
    version = compiler_version()
    devices = [{"number": i, **asdict(facts)} for i, facts in enumerate(found)]
    if isinstance(version, Missing):
        return {"devices": devices, "missing": version.message, "help": list(version.help)}
    versions = {"nvrtc": ".".join(map(str, version)), **library_versions()}
    return {"devices": devices, "versions": versions}


def _print(found: dict[str, Any]) -> None:
    cpu, cuda = found["cpu"], found["cuda"]
    kernels = f"{cpu['isa']} kernels" if cpu["isa"] != "none" else "no Numba, definitions only"
    say(
        f"cpu      {cpu['architecture']}, {kernels}, {cpu['cores']} cores, {cpu['threads']} threads"
    )
    for device in cuda["devices"]:
        capability = ".".join(map(str, device["capability"]))
        say(
            f"cuda:{device['number']}   {device['name']}, compute capability {capability}, "
            f"{device['processors']} multiprocessors, {device['memory'] / 2**30:.1f} GiB"
        )
    if "versions" in cuda:
        say("         " + ", ".join(f"{n} {v}" for n, v in cuda["versions"].items()))
    if "missing" in cuda:
        head = "cuda     " if not cuda["devices"] else "         "
        say(f"{head}{'none' if not cuda['devices'] else 'unusable'}: {cuda['missing']}")
        for line in cuda["help"]:
            say(f"         {line}")
