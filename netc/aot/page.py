"""A demo page for wasm32: it runs a net in the browser on the user's picture, without a server."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from netc.aot.library import PlannedLibrary
from netc.diagnostics import Diagnostic, NetcError
from netc.printable import printable


@dataclass(frozen=True, slots=True)
class PagePicture:
    """The page's preprocessing and labels.

    Args:
        mean: subtracted from pixels of 0 to 255, one value per channel in the net's order.
        scale: multiplied afterwards.
        rgb: whether the net's channel order is RGB; else BGR, as in most Caffe nets.
        labels: the label of each element of the output.
    """

    mean: tuple[float, ...] = ()
    scale: float = 1.0
    rgb: bool = False
    labels: Sequence[str] = ()


def page(library: PlannedLibrary, module: bytes, weights: bytes, picture: PagePicture) -> str:
    """The page's HTML, with the WebAssembly module and the weights file embedded.

    Raises:
        NetcError: no-page, where the net's input is not one picture.
    """
    shape = library.inputs[0].shape if len(library.inputs) == 1 else ()
    one = len(library.outputs) == 1 and library.outputs[0].chosen is None
    if len(shape) != 4 or shape[0] != 1 or shape[1] not in (1, 3) or not one:
        message = "a page is for nets with one output and one input, a picture: 1 x 1|3 x H x W"
        raise NetcError(Diagnostic("no-page", message))
    facts = {
        "name": library.name,
        "shape": shape,
        "outputs": library.outputs[0].elements,
        "mean": list(picture.mean) or [0.0] * shape[1],
        "scale": picture.scale,
        "rgb": picture.rgb,
        "labels": [printable(label) for label in picture.labels],
        "module": base64.b64encode(module).decode(),
        "weights": base64.b64encode(weights).decode(),
    }
    text = (Path(__file__).parent / "page.html").read_text("utf-8")
    title = html.escape(printable(library.net or library.name))
    # `</` would end the script that the facts stand in.
    return text.replace("TITLE", title).replace("FACTS", json.dumps(facts).replace("</", "<\\/"))
