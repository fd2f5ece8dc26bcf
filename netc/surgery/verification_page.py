"""A comparison as a self-contained HTML page, without scripts or requests.

It shows each blob's error by depth, marks the first blob that exceeds the tolerance, and draws what
both computed next to each other, with their difference.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
import math
from collections.abc import Iterator

import numpy as np

from netc.ir.graph import Array
from netc.ir.types import show
from netc.printable import printable
from netc.surgery.proof import Error
from netc.surgery.verify import Verification
from netc.version import __version__

_PICTURES = 12  # blobs shown as pictures
_CHANNELS = 8  # of each, side by side
_SIDE = 64  # pixels of a channel's picture at most
_MIN_ERROR = 1e-9  # relative error at the foot of the drawing
_WIDTH, _HEIGHT = 900, 220

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem;
  color: #1c2330; background: #fff; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid #dde2ea; }
td.n { text-align: right; white-space: nowrap; }
tr.first { background: #fde2e0; font-weight: 600; } tr.beyond { background: #fef1ef; }
.ok { color: #12703c; } .bad { color: #b3261e; } .dim { color: #5c6675; }
figure { margin: 1rem 0; } figcaption { margin-bottom: .3rem; }
img { image-rendering: pixelated; border: 1px solid #dde2ea; margin-right: .5rem; max-width: 100%; }
svg { width: 100%; height: auto; }
@media (prefers-color-scheme: dark) {
  body { color: #e5e9f0; background: #14181f; } th, td { border-color: #2c3340; }
  tr.first { background: #5b1f1c; } tr.beyond { background: #35201f; }
  .ok { color: #6fd69a; } .bad { color: #ff9b92; } .dim { color: #9aa5b5; }
  svg text { fill: #e5e9f0; }
}
"""


def verification_page(title: str, against: str, found: Verification) -> str:
    """The page's HTML.

    Args:
        title: the net's name.
        against: what it was compared with.
        found: the comparison's result.
    """
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'"
    parts = (
        _head(title, against, found),
        _drawing(found),
        _table(found),
        _difference_text(found),
        _pictures(found, against),
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)} - netc verify</title>\n<style>{_STYLE}</style></head><body>\n"
        + "\n".join(parts)
        + f'\n<p class="dim">netc {_text(__version__)}</p></body></html>\n'
    )


def _text(value: object) -> str:
    return html.escape(printable(str(value)))


def _head(title: str, against: str, found: Verification) -> str:
    departed = found.departed
    if departed is None:
        worst = max(error.relative for error in found.errors)
        verdict = (
            f'<p class="ok">All {len(found.errors)} common blobs are equal: the largest relative '
            f"error is {worst:.2g}, and {found.tolerance:g} is allowed.</p>"
        )
    else:
        verdict = (
            f'<p class="bad">The first blob that departs is <code>{_text(departed.blob)}</code>, '
            f"made by layer <code>{_text(departed.layer)}</code>: its relative error is "
            f"{departed.relative:.2g}, and {found.tolerance:g} is allowed.</p>"
        )
    fed = ", ".join(f"{_text(b)} {show(a.shape)}" for b, a in found.feeds.items())
    return f"<h1>{_text(title)}</h1>\n<p>Compared with {_text(against)}, on {fed}.</p>\n{verdict}"


def _drawing(found: Verification) -> str:
    """The relative error by depth, on a scale of powers of ten."""
    levels = [_level(error.relative) for error in found.errors]
    top = max(1.0, *levels, _level(found.tolerance) + 1)
    bottom = math.log10(_MIN_ERROR)

    def y(level: float) -> float:
        return _HEIGHT - 24 - (level - bottom) / (top - bottom) * (_HEIGHT - 40)

    step = (_WIDTH - 70) / max(1, len(levels))
    lines = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="error by depth">']
    for power in range(int(bottom), int(top) + 1, 2):
        at = y(power)
        lines.append(
            f'<line x1="50" x2="{_WIDTH}" y1="{at:.1f}" y2="{at:.1f}" stroke="#8884"/>'
            f'<text x="4" y="{at + 4:.1f}" font-size="12">1e{power}</text>'
        )
    limit = y(_level(found.tolerance))
    lines.append(
        f'<line x1="50" x2="{_WIDTH}" y1="{limit:.1f}" y2="{limit:.1f}" stroke="#c33" '
        'stroke-dasharray="5 4"/>'
    )
    first = found.departed
    for at, (error, level) in enumerate(zip(found.errors, levels, strict=True)):
        beyond = not error.relative <= found.tolerance
        colour = "#c33" if beyond else "#3a7"
        x = 55 + at * step
        lines.append(
            f'<rect x="{x:.1f}" y="{y(level):.1f}" width="{max(1.0, step * 0.8):.1f}" '
            f'height="{max(0.0, _HEIGHT - 24 - y(level)):.1f}" fill="{colour}">'
            f"<title>{_text(error.blob)}: {error.relative:.2g}</title></rect>"
        )
        if error is first:
            lines.append(
                f'<text x="{x:.1f}" y="12" font-size="12">first: {_text(error.blob)}</text>'
            )
    lines.append(f'<text x="50" y="{_HEIGHT - 6}" font-size="12">first layer to last</text></svg>')
    return "<h2>Error by depth</h2>\n" + "\n".join(lines)


def _level(relative: float) -> float:
    if not math.isfinite(relative):
        return 2.0
    return math.log10(min(100.0, max(_MIN_ERROR, relative)))


def _table(found: Verification) -> str:
    makers = found.graph.producers
    rows, first = [], found.departed
    for error in found.errors:
        beyond = not error.relative <= found.tolerance
        kind = ' class="first"' if error is first else ' class="beyond"' if beyond else ""
        mark = " &#9664; departs first" if error is first else ""
        op = makers[error.blob].op if error.blob in makers else ""
        rows.append(
            f"<tr{kind}><td>{_text(error.layer)}</td><td>{_text(op)}</td>"
            f"<td>{_text(error.blob)}{mark}</td><td>{show(error.shape)}</td>"
            f'<td class="n">{error.largest:.3g}</td><td class="n">{error.scale:.3g}</td>'
            f'<td class="n">{error.relative:.2g}</td></tr>'
        )
    names = ("layer", "type", "blob", "shape", "largest error", "largest number", "relative")
    head = "".join(f"<th>{name}</th>" for name in names)
    return f"<h2>Layer by layer</h2>\n<table><tr>{head}</tr>\n" + "\n".join(rows) + "</table>"


def _difference_text(found: Verification) -> str:
    if not found.apart:
        return ""
    items = "".join(
        f"<li><code>{_text(name)}</code>: {_text(why)}</li>" for name, why in found.apart.items()
    )
    return f"<h2>Not compared</h2><ul>{items}</ul>"


def _pictures(found: Verification, against: str) -> str:
    chosen = list(_shown(found))
    if not chosen:
        return ""
    figures = "\n".join(_figure(found, error, against) for error in chosen)
    return f"<h2>What both computed</h2>\n{figures}"


def _shown(found: Verification) -> Iterator[Error]:
    """Blobs with height and width: the first that departs, and others spread over the depth."""
    maps = [e for e in found.errors if len(e.shape) == 4 and min(e.shape[2:]) > 1]
    number = min(_PICTURES, len(maps))
    spread = [maps[at * len(maps) // number] for at in range(number)]
    if found.departed in maps and found.departed not in spread:
        spread = [found.departed, *spread[:-1]]
    yield from sorted(spread, key=found.errors.index)


def _figure(found: Verification, error: Error, against: str) -> str:
    ours = found.own[error.blob]
    theirs = found.other[error.blob].reshape(ours.shape)
    low, high = float(np.nanmin(theirs)), float(np.nanmax(theirs))
    gap = np.abs(ours.astype(np.float64) - theirs).astype(np.float32)
    images = (
        _image("netc", ours, low, high),
        _image(against, theirs, low, high),
        _image("difference", gap, 0.0, max(error.largest, 1e-30)),
    )
    return (
        f"<figure><figcaption><code>{_text(error.blob)}</code> {show(error.shape)}: netc, "
        f"{_text(against)}, and the difference (white is {error.largest:.2g})</figcaption>"
        f"{''.join(images)}</figure>"
    )


def _image(name: str, array: Array, low: float, high: float) -> str:
    """The first channels of the first item, as grey pictures side by side."""
    from PIL import Image

    every = max(1, -(-max(array.shape[2:]) // _SIDE))
    scale = 255 / (high - low) if high > low and math.isfinite(high - low) else 0.0
    tiles = []
    for channel in array[0, :_CHANNELS]:
        grey = np.clip((np.nan_to_num(channel[::every, ::every]) - low) * scale, 0, 255)
        tiles.append(np.pad(grey.astype(np.uint8), ((0, 0), (0, 1)), constant_values=128))
    picture = Image.fromarray(np.concatenate(tiles, axis=1))
    zoom = max(1, 48 // picture.height)
    picture = picture.resize(
        (picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST
    )
    out = io.BytesIO()
    picture.save(out, "PNG")
    data = base64.b64encode(out.getvalue()).decode("ascii")
    return f'<img alt="{_text(name)}" src="data:image/png;base64,{data}">'
