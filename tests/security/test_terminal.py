"""Names, labels and file names of strangers steer no terminal and forge no line."""

from __future__ import annotations

import ast
import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from netc.cli.main import main
from netc.printable import printable
from tests.conftest import ROOT
from tests.security.texts import net_in, outcome

EVIL = (
    "\\033[31mX\\033]0;pwned\\007\\nfake.prototxt:1:1: error[x]: forged\\r\\302\\233\\342\\200\\256"
)
CLEAN = r"\x1b[31mX\x1b]0;pwned\x07\nfake.prototxt:1:1: error[x]: forged\r\x9b\u202e"
NET = f"""
name: "{EVIL}"
layer {{ name: "{EVIL}d" type: "Input" top: "data" input_param {{ shape {{ dim: 1 dim: 3 dim: 6 dim: 6 }} }} }}
layer {{ name: "{EVIL}" type: "Convolution" bottom: "data" top: "{EVIL}"
        convolution_param {{ num_output: 3 kernel_size: 3 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "{EVIL}r" type: "ReLU" bottom: "{EVIL}" top: "{EVIL}" }}
layer {{ name: "{EVIL}p" type: "Pooling" bottom: "{EVIL}" top: "{EVIL}p"
        pooling_param {{ pool: AVE global_pooling: true }} }}
layer {{ name: "b" type: "Split" bottom: "{EVIL}p" top: "u\\033[1m" top: "v" }}
"""  # noqa: E501
BROKEN = f'layer {{ name: "{EVIL}" type: "{EVIL}" bottom: "{EVIL}" top: "{EVIL}" }}'
UNKNOWN = (
    f'layer {{ name: "n" type: "ReLU" bottom: "{EVIL}" top: "t" relu_param {{ engine: CAFFEE }} }}'
)


def check_clean(text: str) -> None:
    wrong = {c for c in text if not c.isprintable() and c != "\n"}
    assert not wrong, (wrong, text)
    assert not any(line.startswith("fake.prototxt") for line in text.split("\n")), text


READING = ("check", "lint", "summary", "receptive", "passes", "fmt", "expand", "collapse",
           "upgrade", "draw", "view", "bench", "export", "compare", "run", "gradcheck")  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "x.npy", np.ones((1, 3, 6, 6), np.float32))
    (tmp_path / "labels.txt").write_bytes(b"\x1b]0;l\x07a\x9b\nb\x85c\nd\n")
    return tmp_path


def arguments(command: str, net: str) -> list[str]:
    more = {
        "run": ["-i", "data=x.npy", "--labels", "labels.txt", "--backend", "reference"],
        "bench": ["--rounds", "4"],
        "gradcheck": ["--elements", "2"],
        "compare": [net],
        "passes": ["--explain"],
    }
    return [command, net, *more.get(command, [])]


@pytest.mark.parametrize("command", READING)
@pytest.mark.parametrize("text", [NET, BROKEN, UNKNOWN], ids=["right", "broken", "unknown"])
def test_commands(command: str, text: str, folder: Path) -> None:
    if command == "export":
        pytest.importorskip("onnx", reason="needs onnx")
    net = net_in(folder, text)
    code, out, error = outcome(*arguments(command, net))
    assert code in (0, 1), error
    if text == NET:
        assert code == 0, error
    check_clean(error)
    check_clean(out)


def test_a_name_is_shown_with_escapes(folder: Path) -> None:
    _, out, _ = outcome(*arguments("run", net_in(folder, NET)))
    assert r"u\x1b[1m:" in out and r"\x1b]0;l\x07a" in out
    _, _, error = outcome("check", net_in(folder, BROKEN))
    assert CLEAN in error


@pytest.mark.parametrize("command", ["summary", "run", "passes"])
def test_json_is_exact(command: str, folder: Path) -> None:
    net = net_in(folder, NET)
    code, out, error = outcome(*arguments(command, net), "--json")
    assert code == 0, error
    check_clean(out)
    real = EVIL.encode().decode("unicode_escape").encode("latin1").decode()
    assert any(str(value).startswith(real) for value in walk(json.loads(out)))


def walk(value: object) -> list[object]:
    if isinstance(value, dict):
        return [x for k, v in value.items() for x in (k, *walk(v))]
    return [x for v in value for x in walk(v)] if isinstance(value, list) else [value]


def test_names_of_files(folder: Path) -> None:
    name = "a\x1b[2J\nfake.prototxt:1:1.prototxt"
    (folder / name).write_text('layer { name: "a" typ: "ReLU" }')
    for command in ("check", "summary", "fmt", "upgrade", "view"):
        code, out, error = outcome(command, name)
        assert code == (command != "fmt")
        check_clean(out + error)
        code, out, error = outcome(command, name + "x")
        check_clean(out + error)
    code, _, error = outcome("check", "net.prototxt", f"--x{name}")
    assert code == 2
    check_clean(error)
    check_clean(outcome(name)[2])


def test_csv_cells(folder: Path) -> None:
    names = [
        "=1+1",
        "+1",
        "-1",
        "@x",
        " =1",
        ";=1",
        "\\t=1",
        "\\n=1",
        "\\u00a0=1",
        "'=1",
        "|x",
        "plain",
    ]
    layers = "".join(
        f'layer {{ name: "{name}" type: "ReLU" bottom: "data" top: "t{k}" }}\n'
        for k, name in enumerate(names)
    )
    data = 'layer { name: "d" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 } } }\n'
    code, out, error = outcome("summary", net_in(folder, data + layers), "--csv")
    assert code == 0, error
    cells = [row[0] for row in csv.reader(io.StringIO(out))]
    assert "plain" in cells
    assert all(cell[0].isalpha() or cell[0] == "'" for cell in cells if cell), cells
    assert sum(cell.startswith("'") for cell in cells) >= len(names) - 1


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("command", ["fmt", "summary", "check", "passes"])
def test_a_real_terminal(command: str, folder: Path) -> None:
    """Also what is exact in a pipe: a comment in a text that `fmt` prints."""
    import pty

    net = net_in(folder, "# \x1b]0;pwned\x07\n" + NET)
    parent, child = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "netc", command, net],
        stdout=child, stderr=child, cwd=ROOT, env={**os.environ, "NO_COLOR": "1", "TERM": "dumb"},
    ) as process:  # fmt: skip
        os.close(child)
        told = b""
        while True:
            try:
                part = os.read(parent, 65536)
            except OSError:
                break
            if not part:
                break
            told += part
    os.close(parent)
    assert process.returncode == 0, told
    assert b"\x1b" not in told and b"\x07" not in told
    assert command == "check" or b"pwned" in told
    check_clean(told.decode().replace("\r\n", "\n"))


def test_piped_texts_keep_their_bytes(folder: Path) -> None:
    net = net_in(folder, "# \x1b[1m\x07\nname: 'a'\n")
    done = subprocess.run(
        [sys.executable, "-m", "netc", "fmt", net], capture_output=True, cwd=ROOT, check=True
    )
    assert b"\x1b[1m\x07" in done.stdout


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a", "a"), ("é 猫", "é 猫"), ("a\nb", r"a\nb"), ("\x1b[m", r"\x1b[m"), ("\x9b", r"\x9b"),
     ("\u202e", r"\u202e"), ("\u2028", r"\u2028"), ("\U000e0001", r"\U000e0001"),
     ("\udcff", r"\xff"), ("\ud800", r"\ud800"), ("\u3000\xa0", "\u3000\xa0"), ("\t\r", r"\t\r"),
     ("\x7f", r"\x7f")],
)  # fmt: skip
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_commands_print_in_one_place() -> None:
    """By `say`, `print_text`, `print_json` and tables, which clean what they are given."""
    for path in sorted((ROOT / "netc" / "cli").glob("*.py")):
        if path.name == "output.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                binary = called == "sys.stdout.buffer.write" and path.name == "export.py"
                assert (
                    (called != "print" and not called.startswith("sys.std"))
                    or binary
                    or (called.endswith((".isatty", ".flush", ".fileno", ".read")))
                ), f"{path.name}:{node.lineno}: {called}"


# Streams


def run_in_shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    text = line.replace("netc", f"{sys.executable} -m netc")
    return subprocess.run(
        ["/bin/sh", "-c", text], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


@pytest.mark.skipif(os.name == "nt", reason="needs a shell")
@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("netc summary net.prototxt >&-", 0),
        ("netc check nofile 2>&-", 1),
        ("netc check nofile >&- 2>&-", 1),
        ("netc check net.prototxt <&- >&- 2>&-", 0),
        ("netc summary net.prototxt --json >&-", 0),
        ("netc fmt net.prototxt >&-", 0),
        ("netc fmt - <&-", 0),
        ("netc run net.prototxt -i data=x.npy --save out.npz --backend reference >&-", 0),
        ("netc --help >&-", 0),
        ("netc nothing 2>&-", 2),
    ],
)
def test_closed_streams(line: str, code: int, folder: Path) -> None:
    net_in(folder, NET)
    done = run_in_shell(line, folder)
    assert done.returncode == code, done
    assert "Traceback" not in done.stderr and "internal error" not in done.stderr
    assert "Exception ignored" not in done.stderr
    if "--save" in line:
        assert np.load(folder / "out.npz").files, "nothing else was written into the file"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("command", ["summary", "fmt", "summary --json", "--help"])
def test_a_full_disk_behind_standard_output(command: str, folder: Path) -> None:
    net_in(folder, NET)
    file = "" if command == "--help" else "net.prototxt"
    done = run_in_shell(f"netc {command} {file} > /dev/full", folder)
    assert done.returncode == 1 and "error[cannot-write]" in done.stderr, done
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="needs a shell")
@pytest.mark.parametrize("stream", ["|", "2>&1 |"])
def test_readers_that_go_away(stream: str, folder: Path) -> None:
    net_in(folder, NET)
    for command in ("summary", "fmt", "check", "summary --json"):
        done = run_in_shell(f"netc {command} net.prototxt {stream} true", folder)
        assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr, done
        assert "Exception ignored" not in done.stderr


def test_an_interrupt_is_no_failure(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import netc.cli.check as check

    def interrupted(args: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(check, "run", interrupted)
    assert main(["check", net_in(folder, NET)]) == 130


def test_the_memory_ends(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import netc.cli.check as check

    def greedy(args: object) -> int:
        raise MemoryError("Unable to allocate 1 TiB")

    monkeypatch.setattr(check, "run", greedy)
    code, _, error = outcome("check", net_in(folder, NET))
    assert code == 1 and "too-little-memory" in error
