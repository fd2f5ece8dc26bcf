"""``netc draw``: a net as a picture by Graphviz."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from netc.cli.files import write_text
from netc.cli.nets import add_net_arguments, see
from netc.cli.output import print_diagnostics, print_text, say
from netc.diagnostics import Diagnostic, NetcError
from netc.files import replacing
from netc.report.dot import Style, dot

FORMATS = ("svg", "png", "pdf")
_SECONDS = 300  # for Graphviz to lay out a net


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add_net_arguments(parser)
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        type=Path,
        help="net.svg, net.png or net.pdf by Graphviz; net.dot needs none; "
        "default: Graphviz's text to standard output",
    )
    parser.add_argument("--direction", choices=("TB", "LR"), default="TB", help="default: TB")
    parser.add_argument("--no-fold", action="store_true", help="a box for each layer")
    parser.add_argument("--no-modules", action="store_true", help="no frames around modules")
    parser.add_argument("--no-shapes", action="store_true", help="no shapes on the edges")


def run(args: argparse.Namespace) -> int:
    """Draw; 1 if the net has an error."""
    kind = args.output.suffix[1:].lower() if args.output else "dot"
    if kind not in (*FORMATS, "dot", "gv"):
        raise NetcError(_bad_format(args.output))
    program = _program() if kind in FORMATS else ""
    seen = see(args.net, args)
    print_diagnostics(seen.diagnostics)
    style = Style(args.direction, not args.no_fold, not args.no_modules, not args.no_shapes)
    text = dot(seen.profile, style)
    if not args.output:
        print_text(text)
    elif program:
        picture = _drawn(program, kind, text)
        with replacing(args.output) as temporary:
            temporary.write_bytes(picture)
    else:
        write_text(args.output, text)
    if args.output:
        say(f"wrote {args.output}")
    return 0 if seen.ok else 1


def _bad_format(path: Path) -> Diagnostic:
    listed = ", ".join(f".{kind}" for kind in (*FORMATS, "dot"))
    return Diagnostic(
        "image-format", f"`{path}` ends in none of {listed}", help=("name it net.svg, say",)
    )


def _program() -> str:
    """Graphviz's ``dot``.

    Raises:
        NetcError: missing-program.
    """
    # One that lies in the current folder is not looked for: it may be a stranger's.
    folders = filter(os.path.isabs, os.environ.get("PATH", os.defpath).split(os.pathsep))
    found = shutil.which("dot", path=os.pathsep.join(folders))
    if found is None or not os.path.isabs(found):
        raise NetcError(
            Diagnostic(
                "missing-program",
                "pictures are drawn by the program `dot` of Graphviz, which is not installed",
                help=(
                    "install it: apt install graphviz, brew install graphviz, or "
                    "conda install graphviz",
                    "-o net.dot writes its input, which needs no program",
                    "`netc view` shows a net in a browser without it",
                ),
            )
        )
    return found


def _drawn(program: str, kind: str, text: str) -> bytes:
    try:
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [program, f"-T{kind}"],
                input=text.encode("utf-8"),
                capture_output=True,
                timeout=_SECONDS,
                check=False,
                cwd=folder,
            )
    except subprocess.TimeoutExpired:
        raise NetcError(_failed(f"it took longer than {_SECONDS} s")) from None
    if done.returncode or not done.stdout:
        told = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise NetcError(_failed(told[0] if told else f"exit code {done.returncode}"))
    return done.stdout


def _failed(reason: str) -> Diagnostic:
    return Diagnostic(
        "failed-program",
        f"`dot` did not draw the net: {reason}",
        help=("-o net.dot writes its input", "`netc view` shows a net without it"),
    )
