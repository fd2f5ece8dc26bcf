"""``netc expand``, ``collapse``, ``new`` and ``fmt`` on texts of the dialect."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from netc.cli.main import main
from netc.data import prototxt_dir

TEXT = """\
param n = 4
input data: [1, 3, 8, 8] { order: RGB }
repeat i in 1..=3 { -> conv(n, 3, pad: 1) as "conv${i}" -> relu as "relu${i}" }
expect conv3: [_, 4, 8, 8]
"""


@pytest.fixture()
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.netc"
    path.write_text(TEXT)
    return path


def out(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


def test_expand_is_the_same_each_time_and_of_its_own_text(
    net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = out(capsys, "expand", str(net))
    assert plain == out(capsys, "expand", str(net))
    assert plain.startswith('# data: channel_order: RGB\n# expect "conv3": [_, 4, 8, 8]\nlayer {\n')
    (tmp_path / "plain.prototxt").write_text(plain)
    assert out(capsys, "expand", str(tmp_path / "plain.prototxt")) == plain
    assert "num_output: 9" in out(capsys, "expand", str(net), "-D", "n=9")


def test_expand_writes_a_file(
    net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = tmp_path / "new.prototxt"
    assert out(capsys, "expand", str(net), "-o", str(new)) == ""
    assert new.read_text() == out(capsys, "expand", str(net))


def test_unknown_definitions_are_refused(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(net), "-D", "m=9"]) == 1
    assert "the net has no parameter `m`" in capsys.readouterr().err


def test_check_tells_a_shape_that_is_not_as_declared(
    net: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(net)]) == 0
    assert main(["check", str(net), "-D", "n=5"]) == 1
    assert "net.netc:4:15: error[unexpected-shape]" in capsys.readouterr().err


def test_collapse_gives_a_text_that_expands_to_the_net(
    net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = tmp_path / "old.prototxt", tmp_path / "again.netc"
    plain = out(capsys, "expand", str(net)).partition("layer")
    old.write_text("# my net\n" + plain[1] + plain[2])
    assert main(["collapse", str(old), "-o", str(new)]) == 0
    assert capsys.readouterr().err.endswith("again.netc: 6 lines for 65\n")
    assert new.read_text().startswith("# my net\n")
    assert out(capsys, "expand", str(new)) == plain[1] + plain[2]
    assert main(["collapse", str(old), "-o", str(new)]) == 0
    assert main(["collapse", str(old), "-o", str(old)]) == 1
    assert "overwrites-input" in capsys.readouterr().err


def test_new_writes_either_kind_of_text(capsys: pytest.CaptureFixture[str]) -> None:
    notation = ("new", "INPUT -> CONV -> RELU -> POOL -> FC", "--input", "1x8x8", "--classes", "3")
    text = out(capsys, *notation)
    assert '-> conv(width, 3, pad: 1, weight_filler { type: "msra" }) -> relu -> pool(2)' in text
    assert 'name: "net"' in text
    assert 'type: "Convolution"' in out(capsys, *notation, "--plain")


def test_what_new_writes_can_be_checked_told_and_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = str(tmp_path / "tiny.netc")
    assert out(capsys, "new", "INPUT -> CONV -> RELU -> POOL -> FC", "-o", net) == ""
    assert 'name: "tiny"' in Path(net).read_text()
    out(capsys, "check", net)
    out(capsys, "lint", net, "--strict")
    assert "total" in out(capsys, "summary", net)
    np.save(tmp_path / "a.npy", np.ones((1, 3, 32, 32), np.float32))
    told = out(capsys, "run", net, "--input", f"data={tmp_path / 'a.npy'}", "--json")
    (scores,) = json.loads(told)["outputs"]["prob"]["values"]
    assert len(set(scores)) == 10
    assert main(["new", "FC", "-o", net]) == 0
    assert "conv" not in Path(net).read_text().lower()


@pytest.mark.parametrize(
    "arguments",
    [("--input", "3x32"), ("--input", "0x3x3"), ("--classes", "0"), ("--classes", "x")],
)
def test_new_refuses_sizes(arguments: tuple[str, str]) -> None:
    assert main(["new", "FC", *arguments]) == 2


def test_fmt_leaves_formatted_texts(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert out(capsys, "fmt", str(net)) == TEXT
    net.write_text(TEXT.replace(" as ", "   as   "))
    assert main(["fmt", "--check", str(net)]) == 1
    assert main(["fmt", "-w", str(net)]) == 0
    assert net.read_text() == TEXT


def test_the_networks_that_come_with_netc_expand(capsys: pytest.CaptureFixture[str]) -> None:
    nets = sorted(prototxt_dir().glob("*.netc"))
    assert len(nets) >= 5
    for path in nets:
        assert "layer {" in out(capsys, "expand", str(path))


def test_the_networks_that_come_with_netc_are_formatted() -> None:
    nets = sorted(prototxt_dir().rglob("*.netc"))
    assert main(["fmt", "--check", *map(str, nets)]) == 0


OLD = """name: "old" input: "data" input_dim: [1, 3, 8, 8]
layers { layer { name: "pad" type: "padding" pad: 1 } bottom: "data" top: "pad" }
layers { layer { name: "c" type: "conv" num_output: 2 kernelsize: 3 } bottom: "pad" top: "c" }
layers { layer { name: "r" type: "relu" } bottom: "c" top: "c" }
"""


def test_collapse_of_an_old_format_upgrades_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "old.prototxt"
    old.write_text(OLD)
    assert main(["collapse", str(old)]) == 0
    assert '-> conv(2, 3, pad: 1) as "c" -> relu as "r"' in capsys.readouterr().out
    solver = tmp_path / "solver.prototxt"
    solver.write_text('net: "x" base_lr: 0.1')
    assert main(["collapse", str(solver)]) == 1
    assert "is a solver, not a net" in capsys.readouterr().err
