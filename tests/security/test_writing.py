"""What commands write: files alone, whole or not at all, and never what they read."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from netc.diagnostics import NetcError
from netc.files import keeping, replacing
from netc.weights import save_weights
from tests.security.texts import array_in, net_in, outcome, refusal

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX's links and pipes")

V1 = 'name: "n" input: "data" input_dim: 1 input_dim: 3 input_dim: 4 input_dim: 4 layers { name: "r" type: RELU bottom: "data" top: "r" }'  # fmt: skip # noqa: E501


@pytest.fixture
def net(tmp_path: Path) -> str:
    return net_in(tmp_path, V1)


Command = Callable[[str, str, Path], list[str]]

# Every command that writes a file: (net, output, folder) -> arguments.
COMMANDS: dict[str, Command] = {
    "run": lambda net, out, folder: ["run", net, "-i", f"data={array_in(folder)}", "--backend",
                                     "reference", "--save", out],
    "upgrade": lambda net, out, folder: ["upgrade", net, "-o", out],
    "export": lambda net, out, folder: ["export", net, "-o", out],
    "view": lambda net, out, folder: ["view", net, "-o", out],
    "draw": lambda net, out, folder: ["draw", net, "-o", out],
    "expand": lambda net, out, folder: ["expand", net, "-o", out],
    "collapse": lambda net, out, folder: ["collapse", net, "-o", out],
    "fmt": lambda net, out, folder: ["fmt", net, "-o", out],
    "new": lambda net, out, folder: ["new", "INPUT -> FC", "-o", out],
    "receptive": lambda net, out, folder: ["receptive", net, "--blob", "r", "-o", out],
}  # fmt: skip
SUFFIX = {"export": ".onnx", "view": ".html", "draw": ".dot", "receptive": ".png", "run": ".npz"}


def needs(command: str) -> None:
    if command == "export":
        pytest.importorskip("onnx", reason="needs onnx")


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_named_is_overwritten(command: str, net: str, tmp_path: Path) -> None:
    needs(command)
    out = tmp_path / f"out{SUFFIX.get(command, '.prototxt')}"
    out.write_text("before")
    out.chmod(0o640)
    code, _, error = outcome(*COMMANDS[command](net, str(out), tmp_path))
    assert code == 0, error
    assert out.read_bytes() != b"before" and stat.S_IMODE(out.stat().st_mode) == 0o640
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"new"}))
def test_an_input_is_not_overwritten(command: str, tmp_path: Path) -> None:
    needs(command)
    suffix = SUFFIX.get(command, ".prototxt")
    net = tmp_path / f"net{suffix}"  # a text of whatever name
    net.write_text(V1)
    link = tmp_path / f"link{suffix}"
    link.symlink_to(net.name)
    hard = tmp_path / f"hard{suffix}"
    hard.hardlink_to(net)
    for out in (net, link, hard, tmp_path / ".." / tmp_path.name / net.name):
        told = refusal(*COMMANDS[command](str(net), str(out), tmp_path))
        assert "error[overwrites-input]" in told and "--force" in told
    assert net.read_text() == V1
    code, _, error = outcome(*COMMANDS[command](str(net), str(net), tmp_path), "--force")
    assert code == 0, error
    assert net.read_bytes() != V1.encode()


def test_names_that_nobody_gave_overwrite_no_input_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.html").write_text(V1)
    assert "overwrites-input" in refusal("view", "a.html")
    net = net_in(tmp_path, V1)
    save_weights(tmp_path / "new.caffemodel", {"r": ()})
    before = (tmp_path / "new.caffemodel").read_bytes()
    told = refusal("upgrade", net, "new.caffemodel", "-o", "new.prototxt")
    assert "overwrites-input" in told and (tmp_path / "new.caffemodel").read_bytes() == before


@pytest.mark.parametrize("option", ["-w", "-i", "--mean", "--labels"])
def test_whatever_is_read_is_an_input(option: str, net: str, tmp_path: Path) -> None:
    array, other = array_in(tmp_path), tmp_path / "o.npz"
    other.write_bytes(b"mine")
    given = f"data={other}" if option == "-i" else str(other)
    told = refusal("run", net, "-i", f"data={array}", option, given, "--save", str(other))
    assert "overwrites-input" in told and other.read_bytes() == b"mine"


@posix
@pytest.mark.parametrize("command", COMMANDS)
def test_pipes_sockets_and_devices_stay(command: str, net: str, tmp_path: Path) -> None:
    needs(command)
    pipe = tmp_path / f"pipe{SUFFIX.get(command, '.prototxt')}"
    os.mkfifo(pipe)
    assert "error[not-a-file]" in refusal(*COMMANDS[command](net, str(pipe), tmp_path))
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@posix
@pytest.mark.parametrize("path", ["/dev/null", "/dev/full", "/dev/stdout", "/dev/fd/1"])
def test_devices_are_not_replaced(path: str, net: str, tmp_path: Path) -> None:
    if not os.path.exists(path):
        pytest.skip(f"there is no {path}")
    before = os.stat(path).st_mode
    told = refusal("run", net, "-i", f"data={array_in(tmp_path)}", "--save", path)
    assert "error[not-a-file]" in told
    assert os.stat(path).st_mode == before


@posix
def test_a_device_node_of_ones_own(net: str, tmp_path: Path) -> None:
    node = tmp_path / "node"
    try:
        os.mknod(node, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except OSError:
        pytest.skip("only a machine's owner makes device nodes")
    told = refusal("run", net, "-i", f"data={array_in(tmp_path)}", "--save", str(node))
    assert "is a device" in told and stat.S_ISCHR(node.stat().st_mode)


@posix
def test_links(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "secret"
    inside.mkdir()
    outside.write_text("mine")
    (inside / "out").symlink_to(outside)
    with pytest.raises(NetcError, match=r"not-a-file.*leads out of its folder"):
        with replacing(inside / "out") as temporary:
            temporary.write_text("theirs")
    (inside / "new").symlink_to(tmp_path / "none")  # what it leads to would come to be
    with pytest.raises(NetcError, match="not-a-file"), replacing(inside / "new") as temporary:
        temporary.write_text("theirs")
    (inside / "loop").symlink_to("loop")
    with pytest.raises(NetcError), replacing(inside / "loop") as temporary:
        temporary.write_text("theirs")
    assert outside.read_text() == "mine" and not (tmp_path / "none").exists()
    (inside / "file").write_text("old")
    (inside / "link").symlink_to("file")
    with replacing(inside / "link") as temporary:
        temporary.write_text("new")
    assert (inside / "link").is_symlink() and (inside / "file").read_text() == "new"
    (tmp_path / "door").symlink_to(inside)  # a folder's link is the way a person went
    with replacing(tmp_path / "door" / "file") as temporary:
        temporary.write_text("newer")
    assert (inside / "file").read_text() == "newer"


def test_nothing_is_left_where_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("before")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "before" and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(NetcError, match="cannot-write"), replacing(tmp_path / "no" / "a"):
        pass
    with pytest.raises(NetcError), replacing(tmp_path / "a\0b"):
        pass


def test_keeping_ends(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("before")
    with keeping([str(path), str(tmp_path / "absent"), "a\0b", ""]):
        with pytest.raises(NetcError, match="overwrites-input"), replacing(path):
            pass
    with replacing(path) as temporary:
        temporary.write_text("after")
    assert path.read_text() == "after"


def test_files_of_a_folder_that_is_read(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    picture = tmp_path / "pictures" / "a.png"
    picture.write_bytes(b"mine")
    with keeping([str(tmp_path / "pictures")]):
        with pytest.raises(NetcError, match="overwrites-input"), replacing(picture):
            pass
        with replacing(tmp_path / "pictures" / "new.png") as temporary:
            temporary.write_bytes(b"")
    assert picture.read_bytes() == b"mine"
