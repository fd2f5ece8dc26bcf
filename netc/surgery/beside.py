"""The input shapes of a training net, from another text of the net in the same folder.

Projects keep train_val.prototxt and deploy.prototxt together, or train.prototxt and val.prototxt.
Where a text does not give the size of its pictures, the deploy text does, or the other data layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from netc.diagnostics import Diagnostic, NetcError
from netc.frontend import build, read_net
from netc.ir.types import Shape, show
from netc.schema.message import Message
from netc.surgery.deploy import deploy
from netc.surgery.heads import learns

_MAX_FILES, _LARGEST = 20, 8 * 2**20  # that are looked at, and bytes of each
_SUFFIXES = (".prototxt", ".pt", ".prototext", ".txt")
_ALIKE = 0.5  # of the training net's layers with parameters must be there


def sizes_beside(path: Path, net: Message) -> tuple[dict[str, Shape], list[Diagnostic]]:
    """Input blob -> shape, from the first deploy text in the same folder that is of the same net.

    Args:
        path: the training text; only its own folder is searched.
        net: its NetParameter in the current format.

    Returns:
        The shapes, and a note that names their source; both empty where no text fits.
    """
    wanted = _trained(net)
    for other in _candidates(path):
        message = _message(other)
        if message is None or len(wanted & _trained(message)) < max(1, _ALIKE * len(wanted)):
            continue
        built = build(message)
        if any(d.severity == "error" for d in built.diagnostics):
            continue
        graph = built.graph
        shapes = {name: graph.values[name].shape for name in graph.inputs}
        known = {name: shape for name, shape in shapes.items() if shape}
        if known and len(known) == len(shapes):
            return known, [_assumed(other, known)]
    return {}, []


def sizes_of_twins(path: Path, net: Message) -> tuple[dict[str, Shape], list[Diagnostic]]:
    """The same from texts whose data layers tell it, to train or to test the same net.

    They have all of its trained layers, with the same numbers of outputs. Texts that say different
    sizes tell none.
    """
    wanted = _outputs(net)
    found: list[tuple[dict[str, Shape], list[Diagnostic]]] = []
    for other in _candidates(path, all_names=True):
        message = _message(other)
        if message is None or not wanted or not wanted <= _outputs(message):
            continue
        try:
            made = deploy(message)
        except NetcError:
            continue
        graph = made.built.graph
        shapes = {v: shape for v in graph.inputs if (shape := graph.values[v].shape)}
        found.append((shapes, [_assumed(other, shapes), *made.diagnostics]))
    agree = bool(found) and all(shapes == found[0][0] for shapes, _ in found)
    return found[0] if agree else ({}, [])


def _outputs(net: Message) -> set[tuple[str, int]]:
    """Names of the convolutions and inner products, and how many outputs they have."""
    return {
        (layer.get("name"), layer.get(param).get("num_output"))
        for layer in net.get("layer")
        for param in ("convolution_param", "inner_product_param")
        if learns(layer) and layer.has(param)
    }


def _candidates(path: Path, *, all_names: bool = False) -> Iterator[Path]:
    """Texts named as ones to deploy, or all, those with more of the text's name first."""
    try:
        files = sorted(path.parent.iterdir())
    except OSError:
        return
    near = [
        file
        for file in files
        if file.suffix in _SUFFIXES
        and file.name != path.name
        and (all_names or _for_inference(file, path))
    ]
    near.sort(key=lambda file: -_common(file.name, path.name))
    for file in near[:_MAX_FILES]:
        if file.is_file() and file.resolve().parent == path.parent.resolve():
            if file.stat().st_size <= _LARGEST:
                yield file


def _for_inference(file: Path, train: Path) -> bool:
    """Whether a name speaks of a net to deploy: deploy, test, or lenet beside lenet_test."""
    name, own = file.stem.lower(), train.stem.lower()
    named = "deploy" in name or ("test" in name and "train" not in name)
    return named or (own.startswith(name) and ("train" in own or "test" in own))


def _common(one: str, other: str) -> int:
    """How many letters both begin with."""
    return next(
        (at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )


def _message(path: Path) -> Message | None:
    """The net of a text, None where it cannot be read."""
    try:
        return read_net(path).message
    except NetcError:
        return None


def _trained(net: Message) -> set[str]:
    """Names of the layers that learn."""
    return {layer.get("name") for layer in net.get("layer") if learns(layer)}


def _assumed(path: Path, shapes: Mapping[str, Shape]) -> Diagnostic:
    listed = ", ".join(f"`{name}` {show(shape)}" for name, shape in shapes.items())
    return Diagnostic(
        "assumed-size",
        f"the text does not tell how large its inputs are; `{path.name}` beside it does: {listed}",
        severity="note",
        help=("--input-shape says another",),
    )
