"""``netc verify``: compares a net with ONNX Runtime, OpenCV, Caffe's numbers or another net."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from netc.cli.arguments import add_shape_argument, add_text_arguments, add_weights_argument, reading
from netc.cli.files import write_text
from netc.cli.numbers import level, natural
from netc.cli.options import add_backend_argument, add_tolerance_argument
from netc.cli.output import print_diagnostics, print_json, say
from netc.diagnostics import Diagnostic, NetcError, counted
from netc.frontend import read_net
from netc.ir.graph import Array
from netc.lower.rules import NetState
from netc.surgery.certificate import (
    CertifiedFiles,
    certificate,
    changed_files,
    differences,
    named_files,
    read_certificate,
)
from netc.surgery.loading import LoadedState, loaded
from netc.surgery.opponents import CaffesNumbers, OnnxModel, OpenCv, Opponent, OtherNet
from netc.surgery.proof import TOLERANCE
from netc.surgery.verification_page import verification_page
from netc.surgery.verify import Verification, verify_against
from netc.version import __version__
from netc.weights.numpy_file import load_array, open_archive

_TEXTS = (".prototxt", ".netc", ".pbtxt", ".txt", ".caffemodel")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Run a net in netc and in something else on the same inputs, compare every blob that both "
        "have, and name the first that departs. The certificate can be checked later with --check."
    )
    parser.add_argument("net", metavar="NET", nargs="?", help="prototxt")
    add_weights_argument(parser)
    parser.add_argument(
        "--against",
        metavar="WHAT",
        help="MODEL.onnx, in ONNX Runtime; opencv, on the same files; BLOBS.npz, that Caffe "
        "computed, inputs among them; or OTHER.prototxt",
    )
    parser.add_argument("--other-weights", metavar="FILE", help="of the other net, if not the same")
    parser.add_argument(
        "-i",
        "--inputs",
        metavar="FILE.npz|FILE.npy",
        help="arrays by the inputs' names, or one; default: random ones that the net takes",
    )
    parser.add_argument(
        "--seed", metavar="N", type=natural, default=1, help="of random inputs (default: 1)"
    )
    add_tolerance_argument(parser, TOLERANCE)
    _add_files(parser)
    add_backend_argument(parser)
    parser.add_argument("--level", type=level, default=0, metavar="N", help="of the net's state")
    parser.add_argument(
        "--stage", action="append", default=[], metavar="S", help="of the net's state; repeatable"
    )
    add_shape_argument(parser)
    add_text_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the certificate")


def _add_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", metavar="CERTIFICATE.json", type=Path)
    parser.add_argument(
        "--save", metavar="PAGE.html", type=Path, help="write the comparison as a page"
    )
    parser.add_argument(
        "--check", metavar="CERTIFICATE.json", type=Path, help="verify again what it certifies"
    )
    parser.add_argument(
        "--allow-outside",
        action="store_true",
        help="let --check read files outside of the certificate's folder",
    )


class Asked(NamedTuple):
    """A comparison that is to be made."""

    subject: CertifiedFiles
    against: str
    seed: int
    tolerance: float


def run(args: argparse.Namespace) -> int:
    """Compare and tell; 1 where a blob departs, or a certificate does not hold."""
    problem = _usage_problem(args)
    if problem:
        say(f"netc verify: error: {problem}", stream=sys.stderr)
        return 2
    if args.check:
        return _check(args)
    subject = CertifiedFiles(
        Path(args.net),
        Path(args.weights) if args.weights else None,
        Path(args.inputs) if args.inputs else None,
        Path(args.other_weights) if args.other_weights else None,
        tuple(args.stage),
        args.level,
        dict(args.input_shape),
        args.backend,
    )
    asked = Asked(subject, args.against, args.seed, args.tolerance)
    net, opponent, found = _compared(asked, reading(args))
    if not args.json:
        print_diagnostics([d for d in net.diagnostics if d.severity != "note"])
    folder = args.output.parent if args.output else Path()
    made = certificate(subject, opponent, found, folder)
    _write(args, made, opponent, found)
    if args.json:
        print_json(made)
    else:
        _print_verification(args, opponent, found)
    return 0 if found.equal else 1


def _usage_problem(args: argparse.Namespace) -> str:
    if args.check:
        given = args.net or args.against or args.output
        return "--check takes a certificate and nothing else" if given else ""
    if not args.net or not args.against:
        return "give NET, W and --against, or --check"
    if args.against == "opencv" and not args.weights:
        return "--against opencv needs the weights"
    return ""


def _compared(asked: Asked, how: Any) -> tuple[LoadedState, Opponent, Verification]:
    subject = asked.subject
    state = NetState("TEST", subject.level, subject.stages)
    weights = str(subject.weights) if subject.weights else None
    net = loaded(read_net(subject.net, **how).message, weights, state, subject.shapes)
    opponent = _opponent(asked, state, how)
    found = verify_against(
        net,
        opponent,
        feeds=_feeds(subject.inputs, net),
        seed=asked.seed,
        tolerance=asked.tolerance,
        backend=subject.backend,
    )
    return net, opponent, found


def _opponent(asked: Asked, state: NetState, how: Any) -> Opponent:
    """Who the net is compared with.

    Raises:
        NetcError: bad-argument, or it cannot be read.
    """
    subject, path = asked.subject, Path(asked.against)
    if asked.against == "opencv":
        assert subject.weights is not None
        return OpenCv(subject.net, subject.weights)
    if path.suffix == ".onnx":
        return OnnxModel(path)
    if path.suffix == ".npz":
        return CaffesNumbers(path)
    if path.suffix in _TEXTS:
        weights = subject.other_weights or subject.weights
        other = read_net(path, **how).message
        made = loaded(other, str(weights) if weights else None, state, subject.shapes)
        return OtherNet(made, (path,), f"netc {__version__}")
    message = f"`{asked.against}` is nothing to compare with"
    help = "give MODEL.onnx, opencv, BLOBS.npz or OTHER.prototxt"
    raise NetcError(Diagnostic("bad-argument", message, help=(help,)))


def _feeds(path: Path | None, net: LoadedState) -> dict[str, Array]:
    """Inputs of a file, by blob."""
    if path is None:
        return {}
    blobs = list(net.graph.input_blobs)
    if path.suffix == ".npy":
        return {blobs[0]: np.asarray(load_array(path), np.float32)} if blobs else {}
    with open_archive(str(path)) as archive:
        return {
            name: np.asarray(archive.read(name), np.float32)
            for name in archive.names
            if name in blobs
        }


def _write(
    args: argparse.Namespace, made: Mapping[str, object], opponent: Opponent, found: Verification
) -> None:
    if args.save:
        title = found.graph.name or Path(args.net).stem
        write_text(args.save, verification_page(title, _who(opponent), found))
    if args.output:
        write_text(args.output, json.dumps(made, indent=1) + "\n")


def _who(opponent: Opponent) -> str:
    names = [path.name for path in opponent.files]
    return " in ".join([*names, *filter(None, [opponent.version])])


def _print_verification(args: argparse.Namespace, opponent: Opponent, found: Verification) -> None:
    departed = found.departed
    if departed is not None:
        say(
            f"blob `{departed.blob}` of layer `{departed.layer}` is the first to depart: by "
            f"{departed.largest:.3g}, {departed.relative:.2g} of its largest number"
        )
        beyond = [e for e in found.errors if not e.relative <= found.tolerance]
        say(f"{len(beyond)} of {len(found.errors)} blobs differ by more than {found.tolerance:g}")
    files = [str(path) for path in (args.output, args.save) if path]
    wrote = f"wrote {' and '.join(files)}: " if files else ""
    say(wrote + _verdict(opponent, found))


def _verdict(opponent: Opponent, found: Verification) -> str:
    worst = max(error.relative for error in found.errors)
    number = len(found.errors)
    blobs = "1 blob" if number == 1 else f"{number} blobs"
    if not found.equal:
        return f"not equal to {_who(opponent)}"
    return f"{blobs} equal to {_who(opponent)} within {worst:.1g}"


def _check(args: argparse.Namespace) -> int:
    """Hold a certificate to the files and to a new comparison."""
    recorded = read_certificate(args.check)
    named = named_files(recorded, args.check, args.allow_outside)
    changed = changed_files(named)
    unequal: Sequence[str] = [f"`{file}` is not what it was" for file in changed]
    if not changed:
        against = str(named.other[0]) if named.other else named.kind
        asked = Asked(
            named.subject, against, int(recorded["inputs"]["seed"]), float(recorded["tolerance"])
        )
        _, opponent, found = _compared(asked, reading(args))
        unequal = differences(
            recorded, certificate(named.subject, opponent, found, args.check.parent)
        )
    if args.json:
        print_json(
            {
                "certificate": str(args.check),
                "holds": not unequal,
                "differences": unequal,
            }
        )
        return 1 if unequal else 0
    for line in unequal:
        say(line)
    verdict = "equal" if recorded["equal"] else "not equal"
    files, blobs = counted(len(named.hashes), "file"), counted(len(recorded["blobs"]), "blob")
    holds = f"holds: {files} unchanged, {blobs} compared again, {verdict} as before"
    say(f"{args.check} does not hold" if unequal else f"{args.check} {holds}")
    return 1 if unequal else 0
