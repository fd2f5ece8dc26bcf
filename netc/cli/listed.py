"""The images that a net's own ImageData layer names: ``netc run`` takes them without --input."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

from netc.cli.items import Feed
from netc.diagnostics import Diagnostic, NetcError, Span
from netc.paths import AbsentError, OutsideError, named_file, within
from netc.schema.message import Message
from netc.sources.catalog import SOURCES
from netc.sources.image_list import ImageListSource
from netc.sources.lists import ListLine, read_list
from netc.syntax.limits import MAX_BYTES


def listed_feeds(
    layers: Iterable[Message], wanted: Collection[str], folder: Path | None, *, outside: bool
) -> list[Feed]:
    """A feed for each line of the list that the net's ImageData layer reads, in the list's order.

    `shuffle` and `rand_skip` are of training. There are none where no such layer makes a blob that
    is wanted, or it names no list.

    Args:
        layers: those of the net's state.
        wanted: inputs that something asked for depends on.
        folder: of the net's text, which the list and its images must lie in or below.
        outside: whether they may lie anywhere; see :func:`netc.paths.named_file`.

    Raises:
        NetcError: outside-file, missing-file, bad-record, input-format.
    """
    for layer in layers:
        tops, param = layer.get("top"), layer.get("image_data_param")
        named = tops and tops[0] in wanted and param.has("source")
        if named and SOURCES.get(layer.get("type")) is ImageListSource:
            try:
                return _feeds(layer, wanted, folder, outside)
            except NetcError as error:
                hint = f"or give images of your own: --input {tops[0]}=FILE"
                raise NetcError(
                    replace(d, help=(*d.help, hint)) for d in error.diagnostics
                ) from None
    return []


def _feeds(
    layer: Message, wanted: Collection[str], folder: Path | None, outside: bool
) -> list[Feed]:
    tops, param = layer.get("top"), layer.get("image_data_param")
    span = param.span_of("source")
    path = named_file(param.get("source"), folder, span, outside=outside)
    label = tops[1] if len(tops) > 1 and tops[1] in wanted else ""
    return [
        Feed(
            tops[0],
            str(_image(param.get("root_folder"), line, path, folder, span, outside)),
            line.path,
            (label, line.label) if label else None,
        )
        for line in _lines(path, span)
    ]


def _lines(path: Path, span: Span | None) -> list[ListLine]:
    def bad(message: str) -> NetcError:
        return NetcError(Diagnostic("bad-record", message, span))

    try:
        size = path.stat().st_size
    except OSError as error:
        raise NetcError(
            Diagnostic("missing-file", f"`{path}` cannot be read: {error.strerror}".lower(), span)
        ) from None
    if size > MAX_BYTES:
        raise bad(f"the list `{path}` is larger than {MAX_BYTES:,} bytes")
    found = read_list(path, bad)
    if not found:
        raise bad(f"`{path}`: there are no lines")
    return found


def _image(
    root: str, line: ListLine, list_: Path, folder: Path | None, span: Span | None, outside: bool
) -> Path:
    """The image of a line: `root_folder` and the path, from the text's folder or the list's."""
    name = root + line.path
    if outside:
        places = ((folder or Path()) / name, Path(name), list_.parent / name)
        return next((place for place in places if place.exists()), places[1])
    try:
        try:
            return within(name, folder, folder, "image of a list")
        except AbsentError:
            return within(name, list_.parent, folder, "image of a list")
    except OutsideError as error:
        absent = isinstance(error, AbsentError)
        help = "--allow-outside reads it all the same"
        raise NetcError(
            Diagnostic(
                "missing-file" if absent else "outside-file",
                f"line {line.number} of `{list_.name}`: {error}",
                span,
                help=() if absent else (*error.help, help),
            )
        ) from None
