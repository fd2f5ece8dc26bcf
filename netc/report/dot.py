"""A net as a graph in Graphviz's language: boxes for chains, clusters for modules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from netc.analysis.chain import LayerChain
from netc.analysis.profile import LayerProfile, NetProfile
from netc.analysis.structure import ModuleGroup, own_name, structure
from netc.report.families import detail, family
from netc.report.figures import exact
from netc.report.summary import image_shape
from netc.report.table import clean

# Family -> fill and line
COLOURS = {
    "data": ("#eceff4", "#7b8494"),
    "convolution": ("#d6e6fb", "#2f6fbf"),
    "linear": ("#e2dbfa", "#6a4fc4"),
    "pooling": ("#d3f0e2", "#1f8a5b"),
    "normalization": ("#fbf0cc", "#a8820f"),
    "activation": ("#fde3d2", "#c2621c"),
    "joining": ("#fbdbe4", "#bf3d66"),
    "reshaping": ("#e6eadf", "#6f7f4f"),
    "loss": ("#f9d6d3", "#b93a32"),
    "other": ("#e4e4e4", "#6b6b6b"),
    "unknown": ("#ffffff", "#d01c1c"),
}


@dataclass(frozen=True, slots=True)
class Style:
    """How a net is drawn.

    Args:
        direction: "TB" from top to bottom, "LR" from left to right.
        fold: whether layers such as ReLU and BatchNorm are drawn in the box of the layer before.
        modules: whether each module has a frame.
        shapes: whether edges have the blobs' shapes.
    """

    direction: str = "TB"
    fold: bool = True
    modules: bool = True
    shapes: bool = True


def dot(profile: NetProfile, style: Style = Style()) -> str:
    """The graph's text; names are escaped, and steer neither Graphviz nor a page."""
    root = structure(profile)
    if not style.fold:
        root = _unfolded(root)
    numbers = {chain.head.name: f"n{at}" for at, chain in enumerate(root.chains())}
    lines = [
        f"digraph {_quoted(profile.graph.name or 'net')} {{",
        f"  graph [rankdir={style.direction}, nodesep=0.25, ranksep=0.35, fontname=Helvetica];",
        '  node [shape=box, style="rounded,filled", fontname=Helvetica, fontsize=11, '
        'margin="0.12,0.06"];',
        '  edge [color="#7b8494", fontcolor="#4b5260", fontname=Helvetica, fontsize=9, '
        "arrowsize=0.6];",
        *_parts(profile, root, numbers, style, "  "),
        *_edges(profile, root, numbers, style),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _unfolded(module: ModuleGroup) -> ModuleGroup:
    """The same with a chain for every layer."""
    parts: list[LayerChain | ModuleGroup] = []
    for part in module.parts:
        if isinstance(part, ModuleGroup):
            parts.append(_unfolded(part))
        else:
            parts += [LayerChain((layer,)) for layer in part.layers]
    return ModuleGroup(module.name, module.path, tuple(parts))


def _parts(
    profile: NetProfile, module: ModuleGroup, numbers: dict[str, str], style: Style, indent: str
) -> Iterator[str]:
    for part in module.parts:
        if isinstance(part, LayerChain):
            scope = module.path if style.modules else ""
            yield indent + _box(profile, part, numbers[part.head.name], scope)
        elif not style.modules:
            yield from _parts(profile, part, numbers, style, indent)
        else:
            yield f"{indent}subgraph {_quoted('cluster_' + part.path)} {{"
            yield f"{indent}  label={_quoted(part.name)}; labeljust=l; fontsize=11;"
            yield f'{indent}  style=rounded; color="#b8bfcc"; fontcolor="#4b5260";'
            yield from _parts(profile, part, numbers, style, indent + "  ")
            yield f"{indent}}}"


def _box(profile: NetProfile, chain: LayerChain, number: str, scope: str) -> str:
    """A box; its name stands without that of the frame around it."""
    fill, line = COLOURS[family(chain.head)]
    label = f"<b>{_html(own_name(chain.head.name, scope)) or '(no name)'}</b>"
    label += "".join(
        f'<br/><font point-size="9">{_html(t)}</font>' for t in _description(profile, chain)
    )
    dashed = "" if chain.head.known else ', style="rounded,filled,dashed"'
    tip = _quoted(_tip(chain))
    return f'{number} [label=<{label}>, fillcolor="{fill}", color="{line}", tooltip={tip}{dashed}];'


def _description(profile: NetProfile, chain: LayerChain) -> list[str]:
    """The lines of a box below its name."""
    head, *rest = chain.layers
    what = f"{head.type} {detail(profile, head)}".strip()
    return [what, *([", ".join(layer.type for layer in rest)] if rest else [])]


def _tip(chain: LayerChain) -> str:
    return "\n".join(f"{layer.name}: {layer.type}{_weights(layer)}" for layer in chain.layers)


def _weights(layer: LayerProfile) -> str:
    number = layer.cost.parameters + layer.cost.statistics if layer.cost else 0
    return f", {exact(number)} parameters" if number else ""


def _edges(
    profile: NetProfile, root: ModuleGroup, numbers: dict[str, str], style: Style
) -> Iterator[str]:
    made = {v: numbers[c.head.name] for c in root.chains() for v in _made(c)}
    for chain in root.chains():
        for value in chain.inputs:
            if value in made:
                shape = image_shape(profile.shape(value))
                label = f" [label={_quoted(' ' + shape)}]" if style.shapes else ""
                yield f"  {made[value]} -> {numbers[chain.head.name]}{label};"


def _made(chain: LayerChain) -> Iterator[str]:
    for layer in chain.layers:
        yield from layer.outputs


def _html(text: str) -> str:
    return escape(clean(text), quote=True)


def _quoted(text: str) -> str:
    """A quoted string of the language; backslashes would steer labels."""
    shown = "".join(
        c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text
    )
    return '"' + shown.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
