"""Random nets for property tests: small, legal, and full of what passes look for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

from netc.diagnostics import Source

MOST_CHANNELS = 64


@dataclass
class Writer:
    """Writes layers and keeps the blobs there are.

    ``blobs`` are spatial: name -> (channels, height, width); ``vectors``: name -> length.
    """

    lines: list[str] = field(default_factory=list)
    blobs: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    vectors: dict[str, int] = field(default_factory=dict)
    number: int = 0

    def layer(self, kind: str, bottoms: list[str], top: str | None = None, params: str = "") -> str:
        self.number += 1
        name = f"{kind.lower()}{self.number}"
        top = top or name
        reads = " ".join(f'bottom: "{b}"' for b in bottoms)
        self.lines.append(
            f'layer {{ name: "{name}" type: "{kind}" {reads} top: "{top}" {params} }}'
        )
        return top


def source(writer: Writer) -> Source:
    return Source("random.prototxt", "\n".join(writer.lines) + "\n")


@st.composite
def nets(draw: st.DrawFn, most: int = 10) -> Source:
    """A net of up to ``most`` steps over a small image, with branches, in-place layers, joins."""
    writer = Writer()
    batch, channels = draw(st.integers(1, 2)), draw(st.integers(1, 9))
    size = draw(st.integers(5, 9)), draw(st.integers(5, 9))
    shape = " ".join(f"dim: {d}" for d in (batch, channels, *size))
    writer.lines.append(
        f'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {shape} }} }} }}'
    )
    writer.blobs["data"] = (channels, *size)
    for _ in range(draw(st.integers(1, most))):
        draw(st.sampled_from(STEPS))(draw, writer)
    return source(writer)


def _pick(draw: st.DrawFn, writer: Writer) -> str:
    return draw(st.sampled_from(sorted(writer.blobs)))


def _convolution(draw: st.DrawFn, writer: Writer) -> None:
    bottom = _pick(draw, writer)
    channels, height, width = writer.blobs[bottom]
    kernel = draw(st.sampled_from([1, 1, 1, 3, 3, 2, 5]))
    dilation = draw(st.sampled_from([1, 1, 2]))
    extent = dilation * (kernel - 1) + 1
    pad = draw(st.sampled_from([0, extent // 2]))
    if min(height, width) + 2 * pad < extent:
        return
    group = draw(st.sampled_from(sorted({1, channels, 2 - channels % 2})))
    outputs = group * draw(st.integers(1, max(1, 20 // group)))
    _convolve(draw, writer, bottom, outputs, kernel, pad, dilation, group)


def _convolve(
    draw: st.DrawFn,
    writer: Writer,
    bottom: str,
    outputs: int,
    kernel: int = 1,
    pad: int = 0,
    dilation: int = 1,
    group: int = 1,
    stride: int | None = None,
    more: str = "",
) -> str:
    stride = stride or draw(st.sampled_from([1, 1, 2]))
    bias = str(draw(st.booleans())).lower()
    top = writer.layer(
        "Convolution",
        [bottom],
        params=f"{more} convolution_param {{ num_output: {outputs} kernel_size: {kernel} "
        f"stride: {stride} pad: {pad} dilation: {dilation} group: {group} bias_term: {bias} "
        'weight_filler { type: "msra" } bias_filler { type: "uniform" min: -1 max: 1 } }',
    )
    extent = dilation * (kernel - 1) + 1
    high, wide = ((s + 2 * pad - extent) // stride + 1 for s in writer.blobs[bottom][1:])
    writer.blobs[top] = (outputs, high, wide)
    return top


def _linear_chain(draw: st.DrawFn, writer: Writer) -> None:
    """Convolutions of 1x1 and one of another kernel in a row, maps and average pools between."""
    bottom = _pick(draw, writer)
    for _ in range(draw(st.integers(1, 3))):
        kernel = draw(st.sampled_from([1, 1, 1, 3]))
        pad = draw(st.integers(0, kernel // 2))
        if min(writer.blobs[bottom][1:]) + 2 * pad < kernel:
            return
        bottom = _convolve(draw, writer, bottom, draw(st.integers(1, 24)), kernel, pad)
        between = draw(st.sampled_from(["", "", "BatchNorm", "Pooling"]))
        if between == "Pooling":
            bottom = _pool(draw, writer, bottom, "AVE") or bottom
        elif between:
            bottom = _on_top(writer, between, bottom)


def _block(draw: st.DrawFn, writer: Writer) -> None:
    """Convolution, BatchNorm, Scale, an activation, in place as people write it."""
    bottom = _pick(draw, writer)
    top = _convolve(draw, writer, bottom, draw(st.integers(1, 12)), stride=1)
    for kind, params in (("BatchNorm", ""), ("Scale", SCALE), draw(st.sampled_from(POINTWISE))):
        writer.layer(kind, [top], top, params)


def _joined_products(draw: st.DrawFn, writer: Writer) -> None:
    """A Concat of convolutions, with a BatchNorm behind it."""
    bottom = _pick(draw, writer)
    parts = [_convolve(draw, writer, bottom, n, stride=1) for n in (3, 5)]
    top = writer.layer("Concat", parts)
    writer.blobs[top] = (8, *writer.blobs[bottom][1:])
    _on_top(writer, "BatchNorm", top)


def _on_top(writer: Writer, kind: str, bottom: str, params: str = "") -> str:
    top = writer.layer(kind, [bottom], params=params)
    writer.blobs[top] = writer.blobs[bottom]
    return top


def _shared(draw: st.DrawFn, writer: Writer) -> None:
    """Two convolutions with the same weights, one of them followed by a BatchNorm."""
    bottom = _pick(draw, writer)
    outputs, bias = draw(st.integers(1, 6)), draw(st.booleans())
    writer.number += 1
    owner = " ".join(f'param {{ name: "shared{writer.number}{i}" }}' for i in range(1 + bias))
    for _ in range(2):
        top = writer.layer(
            "Convolution",
            [bottom],
            params=f"{owner} convolution_param {{ num_output: {outputs} kernel_size: 1 "
            f'bias_term: {str(bias).lower()} weight_filler {{ type: "msra" }} }}',
        )
        writer.blobs[top] = (outputs, *writer.blobs[bottom][1:])
    _on_top(writer, "BatchNorm", top)


def _whole_window(draw: st.DrawFn, writer: Writer) -> None:
    """Convolutions over all of a blob, and on what is left of it."""
    bottom = _pick(draw, writer)
    height, width = writer.blobs[bottom][1:]
    top = writer.layer(
        "Convolution",
        [bottom],
        params=f"convolution_param {{ num_output: 7 kernel_h: {height} kernel_w: {width} "
        'weight_filler { type: "xavier" } }',
    )
    writer.blobs[top] = (7, 1, 1)
    kind, params = draw(st.sampled_from(POINTWISE))
    writer.layer(kind, [top], top, params)
    top = _convolve(draw, writer, top, draw(st.integers(1, 9)), stride=1)
    if draw(st.booleans()):
        flat = writer.layer("Flatten", [top])
        writer.vectors[flat] = writer.blobs[top][0]


def _deconvolution(draw: st.DrawFn, writer: Writer) -> None:
    bottom = _pick(draw, writer)
    channels, height, width = writer.blobs[bottom]
    if max(height, width) > 12:
        return
    group = draw(st.sampled_from(sorted({1, channels})))
    kernel, stride = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    top = writer.layer(
        "Deconvolution",
        [bottom],
        params=f"convolution_param {{ num_output: {2 * group} kernel_size: {kernel} "
        f'stride: {stride} group: {group} weight_filler {{ type: "msra" }} }}',
    )
    high, wide = (stride * (size - 1) + kernel for size in (height, width))
    writer.blobs[top] = (2 * group, high, wide)


SCALE = 'scale_param { bias_term: true filler { type: "uniform" min: 0.5 max: 2 } }'
POINTWISE = (
    ("ReLU", ""),
    ("ReLU", "relu_param { negative_slope: 0.1 }"),
    ("PReLU", ""),
    ("BatchNorm", ""),
    ("BatchNorm", "batch_norm_param { use_global_stats: true }"),
    ("Scale", SCALE),
    ("Scale", ""),
    ("Scale", 'scale_param { axis: 2 num_axes: 1 filler { type: "uniform" } }'),
    ("Bias", 'bias_param { filler { type: "uniform" min: -1 max: 1 } }'),
    ("Power", "power_param { scale: 0.5 shift: 0.25 }"),
    ("Power", "power_param { power: 2 }"),
    ("ELU", ""),
    ("Sigmoid", ""),
    ("TanH", ""),
    ("Clip", "clip_param { min: -1 max: 1 }"),
    ("Dropout", ""),
)


def _pointwise(draw: st.DrawFn, writer: Writer) -> None:
    bottom = _pick(draw, writer)
    kind, params = draw(st.sampled_from(POINTWISE))
    in_place = draw(st.booleans()) and bottom != "data"
    top = writer.layer(kind, [bottom], bottom if in_place else None, params)
    writer.blobs[top] = writer.blobs[bottom]


def _pooling(draw: st.DrawFn, writer: Writer) -> None:
    _pool(draw, writer, _pick(draw, writer), draw(st.sampled_from(["MAX", "AVE"])))


def _pool(draw: st.DrawFn, writer: Writer, bottom: str, method: str) -> str | None:
    """A pooling of a blob; None where the blob is too small for it."""
    channels, height, width = writer.blobs[bottom]
    kernel, stride = draw(st.sampled_from([1, 2, 2, 3])), draw(st.sampled_from([1, 2]))
    if min(height, width) < kernel:
        return None
    pad = draw(st.integers(0, 1)) if kernel > 1 else 0
    whole = draw(st.integers(0, 5)) == 0
    size = f"kernel_size: {kernel} stride: {stride} pad: {pad}"
    top = writer.layer(
        "Pooling",
        [bottom],
        params=f"pooling_param {{ pool: {method} {'global_pooling: true' if whole else size} }}",
    )
    sizes = [1, 1]
    if not whole:
        sizes = [_pooled(s, kernel, stride, pad) for s in (height, width)]
    writer.blobs[top] = (channels, sizes[0], sizes[1])
    return top


def _pooled(size: int, kernel: int, stride: int, pad: int) -> int:
    out = -(-(size + 2 * pad - kernel) // stride) + 1
    return out - 1 if pad and (out - 1) * stride >= size + pad else out


def _eltwise(draw: st.DrawFn, writer: Writer) -> None:
    bottom = _pick(draw, writer)
    same = [b for b, shape in writer.blobs.items() if shape == writer.blobs[bottom]]
    others = draw(st.lists(st.sampled_from(sorted(same)), min_size=1, max_size=2))
    operation = draw(
        st.sampled_from(["SUM", "SUM", "PROD", "MAX", f"SUM {'coeff: 0.5 ' * (1 + len(others))}"])
    )
    top = writer.layer(
        "Eltwise", [bottom, *others], params=f"eltwise_param {{ operation: {operation} }}"
    )
    writer.blobs[top] = writer.blobs[bottom]


def _concat(draw: st.DrawFn, writer: Writer) -> None:
    bottom = _pick(draw, writer)
    sizes = writer.blobs[bottom][1:]
    same = [b for b, shape in writer.blobs.items() if shape[1:] == sizes]
    bottoms = [bottom, *draw(st.lists(st.sampled_from(sorted(same)), max_size=2))]
    if sum(writer.blobs[b][0] for b in bottoms) > MOST_CHANNELS:
        return
    top = writer.layer("Concat", bottoms)
    writer.blobs[top] = (sum(writer.blobs[b][0] for b in bottoms), *sizes)


def _slice(draw: st.DrawFn, writer: Writer) -> None:
    bottom = _pick(draw, writer)
    channels, height, width = writer.blobs[bottom]
    if channels < 2:
        return
    at = draw(st.integers(1, channels - 1))
    writer.number += 1
    tops = [f"slice{writer.number}a", f"slice{writer.number}b"]
    writer.lines.append(
        f'layer {{ name: "slice{writer.number}" type: "Slice" bottom: "{bottom}" '
        f'top: "{tops[0]}" top: "{tops[1]}" slice_param {{ slice_point: {at} }} }}'
    )
    writer.blobs[tops[0]] = (at, height, width)
    writer.blobs[tops[1]] = (channels - at, height, width)


def _rejoined(draw: st.DrawFn, writer: Writer) -> None:
    """What was joined is cut at the same place, or what was cut is joined again."""
    bottom = _pick(draw, writer)
    channels, height, width = writer.blobs[bottom]
    other = _on_top(writer, "TanH", bottom)
    joined = writer.layer("Concat", [bottom, other])
    if draw(st.booleans()):
        joined = writer.layer("Concat", [other, joined])
        writer.blobs[joined] = (3 * channels, height, width)
        return
    tops = [f"{joined}{end}" for end in "ab"]
    cuts = draw(st.sampled_from(["", f"slice_point: {channels}", "slice_point: 1"]))
    writer.lines.append(
        f'layer {{ name: "{joined}cut" type: "Slice" bottom: "{joined}" top: "{tops[0]}" '
        f'top: "{tops[1]}" slice_param {{ {cuts} }} }}'
    )
    first = 1 if cuts == "slice_point: 1" else channels
    writer.blobs[tops[0]] = (first, height, width)
    writer.blobs[tops[1]] = (2 * channels - first, height, width)
    if draw(st.booleans()):
        again = writer.layer("Concat", draw(st.sampled_from([tops, tops[::-1]])))
        writer.blobs[again] = (2 * channels, height, width)


def _maps(draw: st.DrawFn, writer: Writer) -> None:
    """Per-channel maps in a row, with a product after them or without."""
    bottom = _on_top(writer, "TanH", _pick(draw, writer))
    for kind, params in draw(st.lists(st.sampled_from(MAPS), min_size=1, max_size=3)):
        bottom = _on_top(writer, kind, bottom, params)
    if draw(st.booleans()):
        kernel = draw(st.sampled_from([1, 3]))
        if min(writer.blobs[bottom][1:]) >= kernel:
            _convolve(draw, writer, bottom, 4, kernel, draw(st.integers(0, kernel // 2)))


MAPS = (
    ("BatchNorm", ""),
    ("Scale", SCALE),
    ("Bias", 'bias_param { filler { type: "uniform" min: -1 max: 1 } }'),
    ("Power", "power_param { scale: 0.5 shift: 0.25 }"),
)


def _silence(draw: st.DrawFn, writer: Writer) -> None:
    """A layer whose result goes nowhere."""
    bottom = _on_top(writer, "AbsVal", _pick(draw, writer))
    del writer.blobs[bottom]
    writer.number += 1
    writer.lines.append(f'layer {{ name: "q{writer.number}" type: "Silence" bottom: "{bottom}" }}')


def _lrn(draw: st.DrawFn, writer: Writer) -> None:
    bottom = _pick(draw, writer)
    region = draw(st.sampled_from(["ACROSS_CHANNELS", "WITHIN_CHANNEL"]))
    top = writer.layer(
        "LRN", [bottom], params=f"lrn_param {{ local_size: 3 alpha: 0.5 norm_region: {region} }}"
    )
    writer.blobs[top] = writer.blobs[bottom]


def _softmax(draw: st.DrawFn, writer: Writer) -> None:
    bottom = _pick(draw, writer)
    top = writer.layer("Softmax", [bottom])
    writer.blobs[top] = writer.blobs[bottom]


def _split(draw: st.DrawFn, writer: Writer) -> None:
    bottom = _pick(draw, writer)
    writer.number += 1
    tops = [f"split{writer.number}{i}" for i in range(draw(st.integers(1, 3)))]
    writer.lines.append(
        f'layer {{ name: "split{writer.number}" type: "Split" bottom: "{bottom}" '
        + " ".join(f'top: "{t}"' for t in tops)
        + " }"
    )
    writer.blobs.update(dict.fromkeys(tops, writer.blobs[bottom]))


def _constant(draw: st.DrawFn, writer: Writer) -> None:
    """A Scale or Bias by what a Parameter layer holds, worked on."""
    bottom = _pick(draw, writer)
    channels = writer.blobs[bottom][0]
    constant = writer.layer(
        "Parameter", [], params=f"parameter_param {{ shape {{ dim: {channels} }} }}"
    )
    constant = writer.layer("Exp", [constant])
    top = writer.layer(draw(st.sampled_from(["Scale", "Bias"])), [bottom, constant])
    writer.blobs[top] = writer.blobs[bottom]


def _flatten(draw: st.DrawFn, writer: Writer) -> None:
    """Flatten or Reshape to a vector, perhaps there and back again."""
    bottom = _pick(draw, writer)
    channels, height, width = writer.blobs[bottom]
    flat = writer.layer("Flatten", [bottom])
    if draw(st.booleans()):
        flat = writer.layer(
            "Reshape", [flat], params="reshape_param { shape { dim: 0 dim: -1 dim: 1 dim: 1 } }"
        )
        writer.blobs[flat] = (channels * height * width, 1, 1)
    else:
        writer.vectors[flat] = channels * height * width


def _inner_product(draw: st.DrawFn, writer: Writer) -> None:
    """Of a blob or of a vector; an activation and another one may follow."""
    bottom = draw(st.sampled_from(sorted({**writer.blobs, **writer.vectors})))
    for _ in range(draw(st.integers(1, 3))):
        outputs = draw(st.integers(1, 20))
        transpose, bias = (str(draw(st.booleans())).lower() for _ in range(2))
        bottom = writer.layer(
            "InnerProduct",
            [bottom],
            params=f"inner_product_param {{ num_output: {outputs} transpose: {transpose} "
            f'bias_term: {bias} weight_filler {{ type: "xavier" }} '
            'bias_filler { type: "uniform" min: -1 max: 1 } }',
        )
        writer.vectors[bottom] = outputs
        kind, params = draw(st.sampled_from((*VECTORWISE, ("", ""))))
        if kind:
            writer.layer(kind, [bottom], bottom, params)


VECTORWISE = (("ReLU", ""), ("Dropout", ""), ("BatchNorm", ""), ("Scale", SCALE), ("PReLU", ""))

STEPS: tuple[Any, ...] = (
    _convolution, _convolution, _convolution, _linear_chain, _linear_chain, _block, _block,
    _joined_products, _rejoined, _maps, _silence, _shared, _whole_window, _deconvolution,
    _pointwise, _pointwise, _pointwise, _pooling, _pooling, _eltwise, _eltwise, _concat, _concat,
    _slice, _lrn, _softmax, _split, _constant, _flatten, _inner_product, _inner_product,
)  # fmt: skip


def random_arrays(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, Any]:
    """Standard normal float32 arrays, one a name."""
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
