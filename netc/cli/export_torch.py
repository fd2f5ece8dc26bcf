"""``netc export pytorch``: a net as a module of PyTorch, and its arrays beside it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from netc.cli.files import write_arrays, write_text
from netc.cli.output import print_diagnostics, print_json, say
from netc.diagnostics import Diagnostic, NetcError
from netc.export.torch import to_torch
from netc.files import target_of
from netc.ir.graph import Graph
from netc.surgery.proof import TOLERANCE, describe_errors
from netc.surgery.torch_proof import torch_errors


def write_torch(args: argparse.Namespace, graph: Graph, found: Sequence[Diagnostic]) -> int:
    """Write the module and its arrays, if PyTorch gives the net's numbers with them.

    Raises:
        NetcError: not-torch, not-equal, cannot-write.
    """
    module = to_torch(graph)
    target = Path(args.output or f"{Path(args.net).stem or 'net'}.py")
    if target.suffix != ".py":
        message = f"`{target}` is no name for a module of Python, which ends in .py"
        raise NetcError(Diagnostic("bad-argument", message))
    arrays = target.with_suffix(".npz")
    target_of(arrays)
    if arrays.exists() and not args.force and not target.exists():
        message = f"`{arrays}`, where the arrays would go, exists and is not overwritten"
        raise NetcError(Diagnostic("file-exists", message, help=("give --force to overwrite it",)))
    errors = torch_errors(graph, module, TOLERANCE)
    if not args.json:
        print_diagnostics(found)
    write_text(target, module.text)
    write_arrays(arrays, module.arrays)
    proof = "not proven: PyTorch is not installed" if errors is None else describe_errors(errors)
    if args.json:
        worst = None if errors is None else max(error.relative for error in errors)
        print_json(
            {
                "files": [str(target), str(arrays)],
                "inputs": module.inputs,
                "outputs": list(module.outputs),
                "relative_error": worst,
                "diagnostics": [d.to_json() for d in found],
            }
        )
        return 0
    say(f"wrote {target} and {arrays}: {proof}")
    return 0
