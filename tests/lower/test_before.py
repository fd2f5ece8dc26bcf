from __future__ import annotations

import pytest

from netc.diagnostics import Source
from netc.frontend import read_net
from netc.lower.before import layers_before

NET = "\n".join(
    f'layer {{ name: "{name}" type: "{kind}" {bottoms} {tops} }}'
    for name, kind, bottoms, tops in (
        ("d", "Input", "", 'top: "d" top: "l"'),
        ("a", "TanH", 'bottom: "d"', 'top: "a"'),
        ("r", "ReLU", 'bottom: "a"', 'top: "a"'),
        ("b", "Odd", 'bottom: "a"', 'top: "b" top: "c"'),
        ("e", "Eltwise", 'bottom: "a" bottom: "b"', 'top: "e"'),
        ("q", "Silence", 'bottom: "l"', ""),
    )
)


@pytest.mark.parametrize(
    "blobs, names",
    [
        (["a"], "dar"),
        (["a@a"], "dar"),
        (["c"], "darb"),
        (["e"], "darbe"),
        (["l"], "d"),
        (["a", "unknown"], "darbeq"),
        ([], ""),
    ],
)
def test_only_what_blobs_depend_on_stays(blobs: list[str], names: str) -> None:
    left = layers_before(read_net(Source("net", NET)).message, blobs)
    assert "".join(layer.get("name") for layer in left.get("layer")) == names
