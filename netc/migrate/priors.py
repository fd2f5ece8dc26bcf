"""Priors of SSD's forks, told by how many boxes the net predicts.

TextBoxes, SSTD and FaceBoxes changed PriorBox (prior_box_layer.cpp of MhLiao/TextBoxes,
BestSonny/SSTD and sfzhang15/FaceBoxes) and left its fields as they were. The convolutions that
predict the boxes say how many priors a cell has: where these are not SSD's, and are those of one of
the forks for every PriorBox of the net, the priors are written out in fields that say so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from netc.migrate.change import Change, Upgraded, submessage
from netc.schema.message import Entry, Message

_PARAM = "prior_box_param"
_HEADS = ("DetectionOutput", "MultiBoxLoss", "MultiBoxSSDLoss")
_BOTTOMS = 3  # of a head: locations, scores and priors
_THROUGH = ("Permute", "Flatten", "Reshape", "BatchNorm", "Scale", "ReLU")
_TOLD = frozenset({
    "min_size", "max_size", "aspect_ratio", "flip", "clip", "variance", "img_size", "img_h",
    "img_w", "step", "step_h", "step_w", "offset",
})  # fmt: skip
_COORDINATES = 4
_SIDES = (32.0, 64.0, 128.0)  # of FaceBoxes' densest map, in pixels
_DENSITIES = (4, 2, 1)

Fields = Mapping[str, Sequence[float]]


class _Prior(NamedTuple):
    """A PriorBox: its place among the layers, its fields, and how many boxes are predicted."""

    layer: int
    param: Message
    boxes: int


def write_priors(net: Message) -> Upgraded:
    """Write out the priors of forks; nothing changes where SSD's are as many as predicted."""
    layers = [entry.value for entry in net.entries.get("layer", ())]
    if not any(layer.get("type") == "PriorBox" for layer in layers):
        return Upgraded(net)
    for at, layer in enumerate(layers):
        if layer.get("type") in _HEADS:
            upgraded = _written(net, layers, at)
            if upgraded.changes:
                return upgraded
    return Upgraded(net)


def _written(net: Message, layers: Sequence[Message], head: int) -> Upgraded:
    priors = _priors(layers, head)
    if not priors or all(_plain(p.param) == p.boxes for p in priors):
        return Upgraded(net)
    for fork, count, fields in _FORKS:
        if all(count(p.param) == p.boxes for p in priors):
            return _replaced(net, priors, fork, fields)
    return Upgraded(net)


def _replaced(
    net: Message, priors: Sequence[_Prior], fork: str, fields: Callable[[Message], Fields]
) -> Upgraded:
    entries, changes = list(net.entries["layer"]), []
    for prior in priors:
        layer: Message = entries[prior.layer].value
        place = layer.entries[_PARAM][-1]
        param, made = prior.param, fields(prior.param)
        gone = ("min_size", "max_size", "aspect_ratio", "flip") if "width" in made else ()
        written = param.without(*gone).with_entries(
            **{name: tuple(Entry(v, place.span, place.name_span) for v in values)
               for name, values in made.items()}
        )  # fmt: skip
        renewed = layer.with_entries(**{_PARAM: (place._replace(value=written),)})
        entries[prior.layer] = entries[prior.layer]._replace(value=renewed)
        told = " and ".join(f"`{name}`" for name in made)
        text = f"the priors of `{layer.get('name')}` are those of {fork}, written as {told}"
        changes.append(Change("priors", text, place.name_span))
    return Upgraded(net.with_entries(layer=tuple(entries)), tuple(changes))


def _priors(layers: Sequence[Message], head: int) -> list[_Prior]:
    """The priors of a head, each with its convolution's boxes; none where they do not pair."""
    bottoms = layers[head].get("bottom")
    if len(bottoms) < _BOTTOMS:
        return []
    predicted = [_outputs(layers, at) for at in _sources(layers, head, bottoms[0])]
    made = list(_sources(layers, head, bottoms[2]))
    if len(predicted) != len(made):
        return []
    found = []
    for outputs, at in zip(predicted, made, strict=True):
        ours = at is not None and layers[at].get("type") == "PriorBox"
        if not ours or not outputs or outputs % _COORDINATES:
            return []
        assert at is not None
        param = submessage(layers[at], _PARAM)
        if not param.has("min_size") or not _TOLD.issuperset(param.entries):
            return []
        found.append(_Prior(at, param, outputs // _COORDINATES))
    return found


def _maker(layers: Sequence[Message], before: int, blob: str) -> int | None:
    """The layer before that makes a blob."""
    for at in range(before - 1, -1, -1):
        if blob in layers[at].get("top"):
            return at
    return None


def _sources(layers: Sequence[Message], before: int, blob: str) -> Iterator[int | None]:
    """What makes a blob, or each of the blobs that it is joined of."""
    at = _maker(layers, before, blob)
    if at is not None and layers[at].get("type") == "Concat":
        yield from (_maker(layers, at, part) for part in layers[at].get("bottom"))
    else:
        yield at


def _outputs(layers: Sequence[Message], at: int | None) -> int | None:
    """How many channels the convolution behind a flattened blob gives."""
    while at is not None and layers[at].get("type") in _THROUGH and layers[at].count("bottom"):
        at = _maker(layers, at, layers[at].get("bottom")[0])
    if at is None or layers[at].get("type") != "Convolution":
        return None
    return int(submessage(layers[at], "convolution_param").get("num_output"))


def _ratios(param: Message, flipped: bool) -> list[float]:
    """The ratios that are new, as SSD finds them; ``flipped`` ones at once or not at all."""
    found = [1.0]
    for ratio in param.get("aspect_ratio"):
        if ratio > 0 and all(abs(ratio - other) >= _SAME for other in found):
            found += (ratio, 1 / ratio) if flipped else (ratio,)
    return [ratio for ratio in found if abs(ratio - 1) >= _SAME]


_SAME = 1e-6


def _plain(param: Message) -> int:
    ratios = _ratios(param, param.get("flip"))
    return param.count("min_size") * (1 + len(ratios)) + param.count("max_size")


def _twice(param: Message) -> int:
    return 2 * _plain(param)


def _two_places(param: Message) -> Fields:
    """TextBoxes: each prior stands in the cell's middle, and at its lower edge."""
    return {"offset_h": (0.5, 1.0), "offset_w": (0.5, 0.5)}


def _sstd(param: Message) -> int:
    each = 1 + len(_ratios(param, False)) * (2 if param.get("flip") else 1)
    return param.count("min_size") * each + param.count("max_size")


def _long_sides(param: Message) -> Fields:
    """SSTD: a ratio is how much longer one side is, and ratios do not hide flipped ones."""
    wide, high = [], []
    large = param.get("max_size")
    for index, size in enumerate(param.get("min_size")):
        sizes = [(size, size)]
        if large:
            sizes.append((math.sqrt(size * int(large[index])),) * 2)
        ratios = _ratios(param, False)
        sizes += [(size * ratio, size) for ratio in ratios]
        sizes += [(size, size * ratio) for ratio in ratios if param.get("flip")]
        wide += [w for w, _ in sizes]
        high += [h for _, h in sizes]
    return {"width": wide, "height": high}


def _faces(param: Message) -> int:
    """FaceBoxes: of its three smallest sizes two stand several times in a cell."""
    if param.has("max_size") or param.has("aspect_ratio"):
        return -1
    return sum(density**2 for density in _density(param))


def _density(param: Message) -> tuple[int, ...]:
    sizes = param.get("min_size")
    return _DENSITIES if sizes == _SIDES else (1,) * len(sizes)


def _densities(param: Message) -> Fields:
    return {"density": _density(param)}


_FORKS: tuple[tuple[str, Callable[[Message], int], Callable[[Message], Fields]], ...] = (
    ("TextBoxes", _twice, _two_places),
    ("FaceBoxes", _faces, _densities),
    ("SSTD", _sstd, _long_sides),
)
