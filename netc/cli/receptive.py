"""``netc receptive``: what the elements of blobs see of the input."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from netc.analysis.profile import NetProfile, known_part
from netc.analysis.receptive import ReceptiveField, receptive_fields
from netc.cli.nets import Inspection, add_net_arguments, inspect_net
from netc.cli.output import print_diagnostics, print_json, say
from netc.diagnostics import Diagnostic, NetcError, did_you_mean
from netc.ir.types import Shape, show
from netc.printable import printable
from netc.report import field as pictures
from netc.report.figures import blob_text, field_text
from netc.report.summary import field_json
from netc.report.table import Column, Row, Table, print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add_net_arguments(parser)
    parser.add_argument("--blob", metavar="NAME", help="only this one; blob@layer for an earlier")
    parser.add_argument(
        "--source", metavar="BLOB", help="fields in this blob; default: the first image input"
    )
    parser.add_argument(
        "--at", metavar="Y,X", type=_place, help="an element of the blob; default: the middle one"
    )
    parser.add_argument("--image", metavar="FILE", type=Path, help="to draw the field over")
    parser.add_argument("-o", "--output", metavar="FILE.png", type=Path, help="draw the field")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def _place(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"`{text}` is no place, such as 6,6") from None


def run(args: argparse.Namespace) -> int:
    """Print fields, or draw one."""
    if args.blob is None and (args.at or args.image or args.output):
        raise NetcError(Diagnostic("missing-argument", "say which blob with --blob"))
    inspection = inspect_net(args.net, args)
    if not args.json:
        print_diagnostics(inspection.diagnostics)
    source, fields = _fields(inspection.profile, args.source)
    if args.blob is None:
        _print_all(args, inspection, source, fields)
    else:
        _print_one(
            args, inspection.profile, source, _field_of(inspection.profile, args.blob, fields)
        )
    return 0 if inspection.ok else 1


def _fields(profile: NetProfile, wanted: str | None) -> tuple[str, dict[str, ReceptiveField]]:
    source = wanted or profile.source
    if source is None:
        raise NetcError(Diagnostic("unknown-input", "the net has no input"))
    _known(profile, source)
    if profile.graph.values[source].shape is None:
        message = f"the shape of `{source}` is unknown"
        help = f"give it with --input-shape {source}=1,3,HEIGHT,WIDTH"
        raise NetcError(Diagnostic("unknown-shape", message, help=(help,)))
    return source, receptive_fields(known_part(profile.graph), source)


def _known(profile: NetProfile, blob: str) -> None:
    if blob not in profile.graph.values:
        raise NetcError(
            Diagnostic(
                "unknown-blob",
                f"the net has no blob `{blob}` in phase {profile.graph.phase}",
                help=did_you_mean(blob, profile.graph.values),
            )
        )


def _field_of(profile: NetProfile, blob: str, fields: dict[str, ReceptiveField]) -> ReceptiveField:
    _known(profile, blob)
    if blob not in fields:
        message = f"blob `{blob}` does not depend on the input, or its shape is unknown"
        raise NetcError(Diagnostic("no-field", message, profile.graph.values[blob].span))
    return fields[blob]


# All blobs


def _print_all(
    args: argparse.Namespace, inspection: Inspection, source: str, fields: dict[str, ReceptiveField]
) -> None:
    graph = inspection.profile.graph
    if args.json:
        blobs = [
            {"name": name, "shape": list(graph.shape(name)), "receptive_field": field_json(field)}
            for name, field in fields.items()
        ]
        found = [d.to_json() for d in inspection.diagnostics]
        print_json({"source": source, "blobs": blobs, "diagnostics": found})
        return
    columns = (Column("blob"), Column("shape"), Column("field"))
    rows = (
        Row((name, blob_text(graph.shape(name)), field_text(field)))
        for name, field in fields.items()
    )
    say(
        f"receptive fields in `{source}`, {show(graph.shape(source))}: size/stride p padding",
        "",
    )
    print_table(Table(columns, tuple(rows)), sys.stdout)


# One element


def _print_one(
    args: argparse.Namespace, profile: NetProfile, source: str, field: ReceptiveField
) -> None:
    shape, plane = profile.graph.shape(args.blob), profile.graph.shape(source)[2:]
    at = _element(args, shape, len(plane))
    runs = [axis.run(element) for axis, element in zip(field.axes, at, strict=True)]
    drawn = _draw(args, field, plane, at) if args.output or args.image else None
    if args.json:
        out: dict[str, object] = {"blob": args.blob, "source": source, "shape": list(shape)}
        out |= {"receptive_field": field_json(field), "at": list(at)}
        out["sees"] = [list(run) if run else None for run in runs]
        print_json(out | ({"output": str(drawn)} if drawn else {}))
        return
    say(*_caption(args.blob, shape, field, plane, at).split("\n"))
    if drawn:
        say(f"wrote {drawn}")


def _element(args: argparse.Namespace, shape: Shape, axes: int) -> tuple[int, ...]:
    """The element asked for, or the middle one; the first where all see the same."""
    sizes = shape[2:] if len(shape) - 2 == axes else (1,) * axes
    at: tuple[int, ...] = args.at or tuple((size - 1) // 2 for size in sizes)
    if len(at) != axes or any(not 0 <= a < size for a, size in zip(at, sizes, strict=False)):
        message = f"`{args.blob}` is {show(shape)}, and has no element {show(at)}"
        help = "count from 0, rows first: --at " + ",".join(str(s - 1) for s in sizes)
        raise NetcError(Diagnostic("no-element", message, help=(help + " is the last",)))
    return at


def _caption(
    blob: str, shape: Shape, field: ReceptiveField, plane: Shape, at: tuple[int, ...]
) -> str:
    runs = [axis.run(element) for axis, element in zip(field.axes, at, strict=True)]
    names = ("rows", "columns") if len(plane) == 2 else [f"axis {i}" for i in range(len(plane))]
    seen = ", ".join(
        f"{name} {run.first} to {run.last}" if run else f"no {name}"
        for name, run in zip(names, runs, strict=True)
    )
    place = ", ".join(map(str, at))
    size = show(field.size)
    return (
        f"{printable(blob)} ({show(shape)}) at {place} sees {size} of {show(plane)}:\n"
        f"{seen}; stride {show(field.stride)}, padding {show(field.padding)}"
    )


def _draw(
    args: argparse.Namespace, field: ReceptiveField, plane: Shape, at: tuple[int, ...]
) -> Path:
    if len(plane) != 2 or len(at) != 2:
        message = f"a picture has 2 axes, and the fields lie in {len(plane)}"
        raise NetcError(Diagnostic("no-picture", message))
    caption = _caption(args.blob, (), field, plane, at).replace(" (a scalar)", "")
    what = pictures.scene(field, (plane[0], plane[1]), (at[0], at[1]), caption)
    if what is None:
        raise NetcError(Diagnostic("no-picture", f"this element of `{args.blob}` sees nothing"))
    target: Path = args.output or Path("field.png")
    pictures.save(pictures.draw(what, args.image), target)
    return target
