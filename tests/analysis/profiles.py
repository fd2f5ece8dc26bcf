"""Nets of tests as the commands see them."""

from __future__ import annotations

from pathlib import Path

from netc.analysis.profile import NetProfile, profile
from netc.diagnostics import Collector, Source
from netc.frontend import build, read_net
from netc.lower.rules import NetState, filter_layers, merged_state


def profile_of(net: Path | str, phase: str = "TEST") -> NetProfile:
    """The profile of a file, or of a net's text."""
    message = read_net(net if isinstance(net, Path) else Source("net.prototxt", net)).message
    state = merged_state(message, NetState(phase))
    return profile(build(message, phase=phase).graph, filter_layers(message, state, Collector()))


def data(*shape: int, name: str = "data") -> str:
    """An Input layer."""
    dims = " ".join(f"dim: {size}" for size in shape)
    return (
        f'layer {{ name: "{name}" type: "Input" top: "{name}" '
        f"input_param {{ shape {{ {dims} }} }} }}\n"
    )


def layer(name: str, type: str, bottoms: str, params: str = "", top: str = "") -> str:
    """A layer; ``bottoms`` are names between blanks, ``top`` is its name unless given."""
    read = " ".join(f'bottom: "{bottom}"' for bottom in bottoms.split())
    return f'layer {{ name: "{name}" type: "{type}" {read} top: "{top or name}" {params} }}\n'


def conv(name: str, bottom: str, outputs: int, kernel: int, extra: str = "") -> str:
    """A convolution that keeps the plane's size, without bias."""
    params = (
        f"convolution_param {{ num_output: {outputs} kernel_size: {kernel} pad: {kernel // 2} "
        f"bias_term: false {extra} }}"
    )
    return layer(name, "Convolution", bottom, params)
