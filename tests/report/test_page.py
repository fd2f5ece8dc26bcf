from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from netc.report.page import page, page_data
from tests.analysis.profiles import conv, data, profile_of
from tests.analysis.test_profile import UNKNOWN
from tests.report.chromium import dom, pressing, ready, screenshot, tags
from tests.report.test_dot import BLOCK
from tests.report.test_figures import LENET


def named(text: str, name: str) -> str:
    return f'name: "{name}"\n{text}'


@pytest.fixture(scope="module")
def lenet() -> str:
    return page(profile_of(named(LENET, "LeNet")), "lenet")


@pytest.fixture(scope="module")
def block() -> str:
    return page(profile_of(BLOCK), "block")


@pytest.fixture(scope="module")
def resnet(nets: Path) -> str:
    return page(profile_of(nets / "resnet152.prototxt"), "resnet152")


# The text


def between(text: str, start: str, end: str) -> str:
    (found,) = re.findall(f"{re.escape(start)}(.*?){re.escape(end)}", text, re.DOTALL)
    return str(found)


def test_the_page_needs_nothing_else(resnet: str) -> None:
    assert not re.search(r"https?:|//\w+\.|@import|\bsrc=|\bhref=", resnet)
    assert re.findall(r"url\((.*?)\)", resnet) == ["#tip"]


def test_the_policy_allows_the_page_s_own_style_and_script_alone(lenet: str) -> None:
    policy = between(lenet, 'Content-Security-Policy" content="', '"')
    for kind, text in (
        ("style", between(lenet, "<style>", "</style>")),
        ("script", between(lenet, "<script>", "</script>")),
    ):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';") and "unsafe" not in policy


def test_the_data_in_the_page(lenet: str) -> None:
    found = json.loads(between(lenet, '<script id="data" type="application/json">', "</script>"))
    assert found == page_data(profile_of(named(LENET, "LeNet")), "lenet")
    assert found["net"]["name"] == "LeNet" and "431,080 parameters" in found["net"]["facts"]
    conv1 = found["layers"][1]
    assert (conv1["name"], conv1["image"], conv1["parameters"]) == ("conv1", "20x24x24", 520)
    assert (conv1["macs"], conv1["field"]) == (64 * 288000, "5/1")
    values = [found["values"][at]["name"] for at in (*conv1["inputs"], *conv1["outputs"])]
    assert values == ["data", "conv1"]
    assert found["tree"]["parts"] == list(range(8))
    assert found["boxes"][5] == [5, 6]  # ip1 and its ReLU


def test_what_is_unknown_is_null() -> None:
    layers = {layer["name"]: layer for layer in page_data(profile_of(UNKNOWN), "x")["layers"]}
    odd = layers["odd"]
    assert (odd["known"], odd["family"], odd["shape"]) == (False, "unknown", "?")
    assert odd["parameters"] is odd["macs"] is odd["bytes"] is None
    assert layers["data"]["parameters"] == 0


EVIL = '</script><img src=x onerror="document.body.dataset.pwned=1"><!--<script>@DATA@'


def evil() -> str:
    quoted = EVIL.replace('"', '\\"')
    return named(data(1, 3, 8, 8) + conv(quoted, "data", 4, 3), quoted)


def test_names_do_not_become_elements() -> None:
    text = page(profile_of(evil()), "x")
    assert text.count("</script>") == 2 and "<img" not in text
    assert json.loads(between(text, 'type="application/json">', "</script>"))["net"]["name"] == EVIL


def test_control_characters_of_names(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(data(1, 3, 8, 8) + conv("a\\033[31m\\n", "data", 4, 3))
    assert page_data(profile_of(path), "x")["layers"][1]["name"] == "a\ufffd[31m\ufffd"


# In a browser


def rows(found: str) -> list[dict[str, str]]:
    return [row for row in tags(found, "tr") if "data-name" in row]


def boxes(found: str) -> list[str]:
    groups = [g for g in tags(found, "g") if g.get("class", "").startswith("box")]
    return [g["data-name"] for g in groups]


def test_lenet_in_a_browser(lenet: str, tmp_path: Path) -> None:
    found = dom(lenet, tmp_path, "select=conv2&metric=parameters")
    ready(found)
    assert [row["data-name"] for row in rows(found)] == (
        "data conv1 pool1 conv2 pool2 ip1 relu1 ip2 prob".split()
    )
    assert boxes(found) == "data conv1 pool1 conv2 pool2 ip1 ip2 prob".split()
    shapes = re.findall(r'<text class="shape"[^>]*>(.*?)</text>', found)
    assert shapes == "1x28x28 20x24x24 20x12x12 50x8x8 50x4x4 500 10".split()
    (selected,) = [g for g in tags(found, "g") if "selected" in g.get("class", "")]
    assert selected["data-name"] == "conv2"
    details = between(found, '<div id="details"', "</section>")
    assert "<dt>parameters</dt><dd>25,050</dd>" in details
    assert "<dt>sees</dt><dd>14/2</dd>" in details
    (bar,) = re.findall(r'data-name="ip1"><rect.*?<rect class="bar"[^>]*width="([\d.]+)"', found)
    (whole,) = re.findall(r'data-name="ip1"><rect class="body" width="([\d.]+)"', found)
    assert float(bar) == float(whole) - 14  # the dearest of all, between its corners


def test_resnet_in_a_browser(resnet: str, tmp_path: Path) -> None:
    """A box for the input, conv1, pool1, pool5, fc1000 and prob; the 50 blocks are closed."""
    found = dom(resnet, tmp_path)
    ready(found)
    assert len(rows(found)) == 671 + 50
    assert len(boxes(found)) == 6 + 50
    closed = [g for g in tags(found, "g") if g.get("class") == "box module closed"]
    assert len(closed) == 50
    hidden = [row for row in rows(found) if "hidden" in row]
    assert len(hidden) == len(rows(found)) - 50 - 9


def test_all_of_resnet_is_open(resnet: str, tmp_path: Path) -> None:
    found = dom(resnet, tmp_path, "open=all&select=res4b20_branch2b&find=branch2b")
    ready(found)
    assert not [row for row in rows(found) if "hidden" in row]
    assert "res4b20_branch2b" in boxes(found)
    frames = [g for g in tags(found, "g") if g.get("class", "").startswith("module open")]
    assert len(frames) == 50
    matches = [g for g in tags(found, "g") if "match" in g.get("class", "").split()]
    assert len(matches) == 50
    assert re.search(r'<output id="found">200</output>', found)


def test_a_selected_layer_is_uncovered(resnet: str, tmp_path: Path) -> None:
    found = dom(resnet, tmp_path, "select=res3b2_branch2b")
    ready(found)
    frames = [g for g in tags(found, "g") if g.get("class", "").startswith("module open")]
    assert [frame["data-name"] for frame in frames] == ["res3b2"]


def test_evil_names_in_a_browser(tmp_path: Path) -> None:
    found = dom(page(profile_of(evil()), "x"), tmp_path, "open=all")
    assert "data-pwned" not in ready(found)
    assert tags(found, "img") == []
    assert "&lt;img src=x onerror=" in found


def test_unknown_layers_in_a_browser(tmp_path: Path) -> None:
    found = dom(page(profile_of(UNKNOWN), "x"), tmp_path, "select=odd")
    ready(found)
    assert "box family-unknown selected" in found
    assert "netc does not know this layer" in found
    assert "some shapes are unknown" in found


def test_a_block_is_a_module(block: str, tmp_path: Path) -> None:
    found = dom(block, tmp_path)
    ready(found)
    assert boxes(found) == ["data", "a/x", "a/y", "a/sum"]
    names = re.findall(r'<text class="name" x="[\d.]+" y="\d+">(.*?)</text>', found)
    assert names == ["data", "▾ a", "x", "y", "sum"]


def selected(found: str) -> list[str]:
    return [row["data-name"] for row in rows(found) if row.get("aria-selected") == "true"]


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        (("ArrowDown",), "data"),
        (("ArrowDown", "ArrowDown", "ArrowDown"), "a/x"),
        (("End",), "a/sum"),
        (("End", "ArrowLeft"), "a"),
        (("ArrowDown", "ArrowDown", "ArrowLeft", "ArrowDown"), "a"),
    ],
)
def test_keys_walk_through_the_table(
    block: str, tmp_path: Path, keys: tuple[str, ...], name: str
) -> None:
    found = dom(pressing(block, *keys), tmp_path)
    ready(found)
    assert selected(found) == [name]


def test_keys_close_open_and_switch(block: str, tmp_path: Path) -> None:
    found = dom(pressing(block, "[", "m", "t", "t"), tmp_path)
    ready(found)
    assert boxes(found) == ["data", "a"]
    assert tags(found, "html")[0]["data-theme"] == "dark"
    (checked,) = [b for b in tags(found, "button") if b.get("aria-checked") == "true"]
    assert checked["data-metric"] == "parameters"


@pytest.mark.parametrize(("theme", "bright"), [("light", True), ("dark", False)])
def test_screenshots(lenet: str, resnet: str, tmp_path: Path, theme: str, bright: bool) -> None:
    for text in (lenet, resnet):
        with Image.open(screenshot(text, tmp_path, f"theme={theme}")) as picture:
            assert picture.size == (1280, 800)
            seen = picture.convert("RGB")
        corner = seen.getpixel((8, 400))
        assert isinstance(corner, tuple)
        assert (min(corner) > 200) if bright else (max(corner) < 60)
        assert len(seen.getcolors(1280 * 800) or ()) > 200  # boxes, letters, bars
