"""A net as a self-contained HTML page: a graph and a table with a linked selection.

The page contains its style, script and the net's data; its content security policy allows only
these, by their hashes, so that no name in a net can become code or a request.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netc.analysis.chain import LayerChain
from netc.analysis.profile import LayerProfile, NetProfile
from netc.analysis.structure import ModuleGroup, structure
from netc.report.families import detail, family
from netc.report.figures import blob_text, field_text, short, size
from netc.report.summary import image_shape
from netc.report.table import clean
from netc.schema.convert import to_document
from netc.schema.message import Message
from netc.syntax.ast import Block, Document, Field
from netc.syntax.printer import print_document
from netc.version import __version__

_WEB = Path(__file__).parent / "web"
_SCRIPTS = ("model", "layout", "graph", "table", "details", "print", "main")


def page(profile: NetProfile, title: str, messages: Mapping[str, Message] | None = None) -> str:
    """The page's text.

    Args:
        profile: the net's profile.
        title: the page's title where the net has no name.
        messages: layer name -> LayerParameter as written, for the panel of details.
    """
    style = (_WEB / "style.css").read_text(encoding="utf-8")
    script = _script()
    data = page_data(profile, title, messages or {})
    filled = {
        "TITLE": html.escape(f"{data['net']['name']} - netc"),
        "VERSION": html.escape(__version__),
        "STYLE": style,
        "STYLE-HASH": _hash(style),
        "SCRIPT": script,
        "SCRIPT-HASH": _hash(script),
        "DATA": _embedded(data),
    }
    # At odd places stand the names; what is put in is not looked at again.
    parts = (_WEB / "page.html").read_text(encoding="utf-8").split("@")
    return "".join(filled[part] if at % 2 else part for at, part in enumerate(parts))


def _script() -> str:
    """The parts one after another, in a scope of their own."""
    parts = ((_WEB / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS)
    return '"use strict";\n(() => {\n' + "\n".join(parts) + "})();\n"


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def _embedded(data: object) -> str:
    """JSON that ends no script element, whatever the names in it."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


# The net as plain values


def page_data(
    profile: NetProfile, title: str, messages: Mapping[str, Message] | None = None
) -> dict[str, Any]:
    """The data in the page, as plain values: values are numbered, layers refer to the numbers."""
    root, written = structure(profile), messages or {}
    chains = list(root.chains())
    at = {layer.name: number for number, layer in enumerate(profile.layers)}
    values = {name: number for number, name in enumerate(profile.graph.values)}
    boxes = {chain.head.name: number for number, chain in enumerate(chains)}
    return {
        "net": {
            "name": clean(profile.graph.name or title),
            "batch": profile.batch or 0,
            "facts": facts(profile),
        },
        "values": [
            {
                "name": clean(value.blob),
                "shape": blob_text(value.shape),
                "image": image_shape(value.shape),
            }
            for value in profile.graph.values.values()
        ],
        "layers": [
            _layer(profile, layer, values) | {"attributes": attributes(written.get(layer.name))}
            for layer in profile.layers
        ],
        "boxes": [[at[layer.name] for layer in chain.layers] for chain in chains],
        "tree": _tree(root, boxes),
    }


def facts(profile: NetProfile) -> list[str]:
    """The net's totals, a short phrase each."""
    total, batch = profile.cost.total, profile.batch or 1
    each = " an image" if batch > 1 else ""
    phrases = [
        f"phase {profile.graph.phase}",
        f"batch {profile.batch}" if profile.batch else "",
        f"{len(profile.layers)} layers",
        f"{total.parameters:,} parameters",
        f"{short(total.macs // batch)} MACs{each}" if total.macs else "",
        f"{size(profile.blob_bytes // batch)}{each} forward" if profile.blob_bytes else "",
        "" if profile.complete else "some shapes are unknown",
    ]
    return [phrase for phrase in phrases if phrase]


def _layer(profile: NetProfile, layer: LayerProfile, values: dict[str, int]) -> dict[str, Any]:
    cost = layer.cost
    known = layer.source or cost is not None
    shapes = [profile.shape(name) for name in layer.outputs]
    field = next((profile.fields[n] for n in layer.outputs if n in profile.fields), None)
    return {
        "name": clean(layer.name) or "(no name)",
        "type": clean(layer.type),
        "detail": clean(detail(profile, layer)),
        "family": family(layer),
        "inputs": [values[name] for name in layer.inputs],
        "outputs": [values[name] for name in layer.outputs],
        "shape": ", ".join(map(blob_text, shapes)),
        "image": ", ".join(map(image_shape, shapes)),
        "parameters": _or_none(known, cost.parameters + cost.statistics if cost else 0),
        "macs": _or_none(known, cost.macs if cost else 0),
        "bytes": profile.bytes(layer),
        "field": field_text(field),
        "inPlace": layer.in_place,
        "known": layer.known,
        "place": clean(str(layer.span)) if layer.span else "",
    }


_OTHERS = ("name", "type", "bottom", "top")  # told elsewhere in the panel


def attributes(message: Message | None) -> list[list[str]]:
    """A layer's fields besides names and blobs: [message name, field, value] each."""
    if message is None:
        return []
    found: list[list[str]] = []
    for field in to_document(message).fields:
        if field.name in _OTHERS:
            continue
        inner = field.value.fields if isinstance(field.value, Block) else ()
        grouped = field.name.endswith("_param") and inner
        group, fields = (field.name, inner) if grouped else ("", (field,))
        found += [[group, clean(each.name), _inline(each)] for each in fields]
    return sorted(found, key=lambda entry: entry[0])


def _inline(field: Field) -> str:
    """A field's value in one line, as prototxt has it."""
    text = print_document(Document(field.span.source, (field,)), comments=False)
    line = clean(" ".join(text.split())).removeprefix(field.name).lstrip(": ")
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."


_LONGEST = 400  # characters of a value that are shown


def _or_none(known: bool, number: int) -> int | None:
    return number if known else None


def _tree(module: ModuleGroup, boxes: dict[str, int]) -> dict[str, object]:
    return {
        "name": clean(module.name),
        "path": clean(module.path),
        "parts": [
            boxes[part.head.name] if isinstance(part, LayerChain) else _tree(part, boxes)
            for part in module.parts
        ],
    }
