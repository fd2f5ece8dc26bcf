"""Random nets for property tests: small, legal, and full of what passes look for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

from netc.diagnostics import Source


@dataclass
class Writer:
    """Writes layers and keeps the spatial blobs there are: name -> (channels, height, width)."""

    lines: list[str] = field(default_factory=list)
    blobs: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    number: int = 0

    def layer(self, kind: str, bottoms: list[str], top: str | None = None, params: str = "") -> str:
        self.number += 1
        name = f"{kind.lower()}{self.number}"
        top = top or name
        reads = " ".join(f'bottom: "{b}"' for b in bottoms)
        self.lines.append(f'layer {{ name: "{name}" type: "{kind}" {reads} top: "{top}" {params} }}')
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
    stride = draw(st.sampled_from([1, 1, 2]))
    depthwise = draw(st.booleans()) and kernel > 1
    outputs = channels if depthwise else draw(st.integers(1, 20))
    group = channels if depthwise else 1
    bias = draw(st.booleans())
    top = writer.layer(
        "Convolution",
        [bottom],
        params=f"convolution_param {{ num_output: {outputs} kernel_size: {kernel} stride: {stride} "
        f"pad: {pad} dilation: {dilation} group: {group} bias_term: {str(bias).lower()} "
        'weight_filler { type: "msra" } bias_filler { type: "uniform" min: -1 max: 1 } }',
    )
    out = tuple((s + 2 * pad - extent) // stride + 1 for s in (height, width))
    writer.blobs[top] = (outputs, out[0], out[1])


POINTWISE = (
    ("ReLU", ""),
    ("ReLU", "relu_param { negative_slope: 0.1 }"),
    ("PReLU", ""),
    ("BatchNorm", ""),
    ("Scale", 'scale_param { bias_term: true filler { type: "uniform" min: 0.5 max: 2 } }'),
    ("Scale", ""),
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
    bottom = _pick(draw, writer)
    channels, height, width = writer.blobs[bottom]
    kernel = draw(st.sampled_from([2, 3]))
    if min(height, width) < kernel:
        return
    stride, pad = draw(st.sampled_from([1, 2])), draw(st.integers(0, 1))
    method = draw(st.sampled_from(["MAX", "AVE"]))
    top = writer.layer(
        "Pooling",
        [bottom],
        params=f"pooling_param {{ pool: {method} kernel_size: {kernel} stride: {stride} "
        f"pad: {pad} }}",
    )
    sizes = []
    for size in (height, width):
        out = -(-(size + 2 * pad - kernel) // stride) + 1
        sizes.append(out - 1 if pad and (out - 1) * stride >= size + pad else out)
    writer.blobs[top] = (channels, sizes[0], sizes[1])


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


def _inner_product(draw: st.DrawFn, writer: Writer) -> None:
    """Written as a blob with no spatial size left: later steps cannot read it, joins can."""
    bottom = _pick(draw, writer)
    outputs = draw(st.integers(1, 20))
    writer.layer(
        "InnerProduct",
        [bottom],
        params=f'inner_product_param {{ num_output: {outputs} weight_filler {{ type: "xavier" }} }}',
    )


STEPS: tuple[Any, ...] = (
    _convolution, _convolution, _convolution, _pointwise, _pointwise, _pointwise, _pooling,
    _eltwise, _concat, _slice, _lrn, _softmax, _inner_product,
)  # fmt: skip


def random_arrays(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, Any]:
    """Standard normal float32 arrays, one a name."""
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
