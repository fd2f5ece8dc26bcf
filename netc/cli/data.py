"""``netc data``: databases for training: make them of pictures, look into them, their mean."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from netc.cli.demo import print_picture
from netc.cli.numbers import natural
from netc.cli.output import print_json, say
from netc.diagnostics import Diagnostic, NetcError
from netc.files import replacing
from netc.ir.types import show
from netc.sources.inspect import Contents, backend_of, contents_of, mean_of
from netc.sources.make import MakeResult, Progress, make_hdf5, make_lmdb, shuffled
from netc.sources.pictures import PixelOptions, label_names, pictures_of
from netc.weights.write import blob_pieces

_ARRAYS = (".npz", ".txt")  # files that databases are made of
_LISTED = 10  # broken files that are named, and labels


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    kinds = parser.add_subparsers(
        title="what to do", metavar="ACTION", dest="action", required=True
    )
    make = kinds.add_parser("make", help="make a database of pictures")
    make.add_argument(
        "source", type=Path, help="a list of paths with labels, a folder of classes, or an .npz"
    )
    make.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DB", help="an LMDB, or FILE.h5"
    )
    make.add_argument(
        "--root", type=Path, metavar="FOLDER", help="where a list's paths start; default: its own"
    )
    make.add_argument("--resize", type=_size, metavar="HxW", help="bring pictures to this size")
    make.add_argument("--gray", action="store_true", help="one channel")
    make.add_argument("--encoded", action="store_true", help="store files, not pixels (LMDB)")
    make.add_argument("--shuffle", action="store_true", help="in another order")
    make.add_argument("--seed", type=natural, default=0, metavar="N", help="of the order")
    make.add_argument("--json", action="store_true", help="print the result as JSON")
    mean = kinds.add_parser("mean", help="write the mean picture of a database")
    mean.add_argument("database", type=Path)
    mean.add_argument("-o", "--output", type=Path, required=True, metavar="mean.binaryproto")
    show = kinds.add_parser("show", help="tell records, shapes and labels of a database")
    show.add_argument("database", type=Path)
    show.add_argument("--pictures", type=natural, default=5, metavar="N", help="default: 5")
    show.add_argument("--json", action="store_true", help="print the result as JSON")


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d{0,4})(?:x([1-9]\d{0,4}))?", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"`{text}` is no size such as 256x256")
    return int(match[1]), int(match[2] or match[1])


def run(args: argparse.Namespace) -> int:
    """Make, average or show."""
    return {"make": _make, "mean": _mean, "show": _show}[args.action](args)


def _make(args: argparse.Namespace) -> int:
    pictures = pictures_of(args.source, PixelOptions(args.gray, args.resize), args.root)
    if args.shuffle:
        pictures = shuffled(pictures, args.seed)
    with _progress("pictures") as progress:
        if args.output.suffix.lower() in (".h5", ".hdf5"):
            made = make_hdf5(args.output, pictures, progress=progress)
        else:
            made = make_lmdb(args.output, pictures, encoded=args.encoded, progress=progress)
    names = label_names(args.source)
    if args.json:
        print_json({"written": made.written, "broken": list(made.broken), "labels": list(names)})
    else:
        _print_made(args.output, made)
        for label, name in enumerate(names[:_LISTED]):
            say(f"label {label}: {name}")
    return 1 if made.broken else 0


def _print_made(path: Path, made: MakeResult) -> None:
    say(f"{path}: {made.written} records")
    for message in made.broken[:_LISTED]:
        say(f"left out: {message}", stream=sys.stderr)
    if len(made.broken) > _LISTED:
        say(f"left out: {len(made.broken) - _LISTED} more", stream=sys.stderr)


def _mean(args: argparse.Namespace) -> int:
    with _progress("records") as progress:
        mean = mean_of(args.database, _backend(args.database), progress)
    with replacing(args.output) as temporary, temporary.open("wb") as file:
        file.writelines(blob_pieces(mean[None], legacy=True).parts)
    for channel, plane in enumerate(mean):
        say(f"channel {channel}: mean {plane.mean():g}")
    return 0


def _backend(database: Path) -> str:
    """The library that reads a database.

    Raises:
        NetcError: bad-record, for a file that one can be made of.
    """
    if database.is_file() and database.suffix.lower() in _ARRAYS:
        message, help = f"`{database}` is no database", f"netc data make {database} -o DATABASE"
        raise NetcError(Diagnostic("bad-record", message, help=(f"`{help}` makes one of it",)))
    return backend_of(database)


def _show(args: argparse.Namespace) -> int:
    wanted = 0 if args.json else args.pictures
    with _progress("records") as progress:
        found = contents_of(args.database, _backend(args.database), wanted, progress)
    if args.json:
        print_json(
            {
                "records": found.records,
                "shapes": [{"shape": list(s), "records": n} for s, n in found.shapes.items()],
                "labels": {str(label): n for label, n in sorted(found.labels.items())},
                "least": found.minimum,
                "most": found.maximum,
            }
        )
    else:
        _print(found)
    return 0


def _print(found: Contents) -> None:
    say(f"{found.records} records, values from {found.minimum:g} to {found.maximum:g}")
    for shape, number in found.shapes.most_common(_LISTED):
        say(f"shape {show(shape)}: {number}")
    for label, number in sorted(found.labels.items())[: 2 * _LISTED]:
        say(f"label {label}: {number}")
    for record in found.first:
        say("", f"label {record.label}")
        print_picture(record.pixels.astype(np.float32))


@contextmanager
def _progress(what: str) -> Iterator[Progress]:
    """A bar on a terminal."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress as Bars

    with Bars(console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
