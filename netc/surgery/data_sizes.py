"""The input shapes of a training net, from its mean image or its database in the same folder.

Where nothing is cropped, pictures are as large as the mean that is taken from them
(data_transformer.cpp stops at any other size).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.types import Shape, show
from netc.ops.inputs import transformed_size
from netc.schema.message import Message
from netc.weights.mean import load_mean


def sizes_of_data(path: Path, net: Message) -> tuple[dict[str, Shape], list[Diagnostic]]:
    """Input blob -> shape, and a note of what tells it; both empty where nothing does.

    Args:
        path: the training text; nothing outside its folder is read.
        net: its NetParameter in the current format.
    """
    found: dict[str, Shape] = {}
    reported: list[Diagnostic] = []
    for layer in net.get("layer"):
        for top, shape, file in (*_of_mean(layer, path.parent), *_of_database(layer, path.parent)):
            if top not in found:
                found[top] = shape
                reported.append(_assumed(layer, top, shape, file))
    return found, reported


def _of_mean(layer: Message, folder: Path) -> Iterator[tuple[str, Shape, Path]]:
    transform = layer.get("transform_param")
    if layer.get("bottom") or not layer.get("top") or not transform.has("mean_file"):
        return
    file = _inside(transform.get("mean_file"), folder)
    try:
        mean = None if file is None else load_mean(file)
    except NetcError:
        return
    if file is None or mean is None or mean.ndim < 3:
        return
    size = transformed_size(layer) or mean.shape[-2:]
    yield layer.get("top")[0], (1, mean.shape[-3], *size), file


def _of_database(layer: Message, folder: Path) -> Iterator[tuple[str, Shape, Path]]:
    name = layer.get("data_param").get("source")
    file = _inside(name, folder) if name else None
    if file is None:
        return
    try:
        shapes = _read(layer, folder)
    except NetcError:
        return
    yield from ((top, shape, file) for top, shape in shapes.items())


def _read(layer: Message, folder: Path) -> Mapping[str, Shape]:
    """The shapes of a database's first batch.

    Raises:
        NetcError: it cannot be read.
    """
    from netc.sources.base import DataLayer  # few nets lie beside their data
    from netc.sources.catalog import SOURCES

    source = SOURCES.get(layer.get("type"))
    if source is None:
        return {}
    batch = source(DataLayer(layer, "TEST", folder)).batch(0)
    return {top: (1, *array.shape[1:]) for top, array in batch.items()}


def _inside(name: str, folder: Path) -> Path | None:
    """The file or folder of a name, in the text's folder; None where it is not there.

    A name that means another file from the current folder is none of the text's.
    """
    try:
        file = (folder / name).resolve()
        here = Path(name).resolve()
        if not file.exists() or not file.is_relative_to(folder.resolve()):
            return None
        return file if here == file or not here.exists() else None
    except (OSError, ValueError):
        return None


def _assumed(layer: Message, top: str, shape: Shape, file: Path) -> Diagnostic:
    return Diagnostic(
        "assumed-size",
        f"layer `{layer.get('name')}` does not tell the size of `{top}`; `{file.name}` beside it "
        f"does: {show(shape[1:])}",
        layer.span_of("name"),
        "note",
        help=(f"--input-shape {top}=1,CHANNELS,HEIGHT,WIDTH says another",),
    )
