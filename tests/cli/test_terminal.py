"""What commands print fits 80 columns without a broken word, and is a row a line in a pipe."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from netc.cli.main import COMMANDS, main
from netc.data import prototxt_dir
from tests.cli.terminal import on_terminal

INPUT = 'input: "data" input_shape { dim: [2, 64, 112, 112] }\n'
SLICED = "".join(f' top: "one_of_the_many_slices_{i}"' for i in range(8))
NET = f"""name: "long"
{INPUT}layer {{ name: "slice_with_a_rather_long_name" type: "Slice" bottom: "data" {SLICED} }}
layer {{ name: "a_layer_whose_name_alone_takes_more_than_half_of_the_terminal" type: "Convolution"
  bottom: "one_of_the_many_slices_0" top: "c"
  convolution_param {{ num_output: 1024 kernel_size: 11 pad: 5 }} }}
layer {{ name: "loss" type: "SigmoidCrossEntropyLoss" bottom: "c" bottom: "c" top: "loss" }}
"""


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("long.prototxt").write_text(NET, encoding="utf-8")
    return "long.prototxt"


@pytest.mark.parametrize("command", ["summary", "receptive", "lint", "check", "passes"])
def test_no_line_is_too_wide_and_no_word_broken(net: str, command: str) -> None:
    _, lines = on_terminal([command, net])
    assert max(map(len, lines)) <= 80, lines
    words = {word for line in lines for word in line.split()}
    _, wide = on_terminal([command, net], 400)
    known = {word for line in wide for word in line.split()}
    assert not {word for word in words - known if not re.fullmatch(r"-+|\d+\.\d", word)}


@pytest.mark.parametrize("command", ["summary", "receptive"])
def test_a_pipe_has_one_line_for_each_row(
    net: str, command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    main([command, net])
    out = capsys.readouterr().out
    rows = out.splitlines()
    (row,) = (
        line for line in rows if line.startswith(("slice_with_a", "one_of_the_many_slices_7"))
    )
    assert "8x112x112" in row
    (row,) = (line for line in rows if line.startswith(("a_layer_whose", "c ")))
    assert "1024x112x112" in row


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=str)
def test_help_fits(command: list[str]) -> None:
    _, lines = on_terminal([*command, "--help"])
    assert max(map(len, lines)) <= 80
    assert not any(re.search(r"[a-z]-$", line) for line in lines)


def test_long_messages_go_on_indented(net: str) -> None:
    Path(net).write_text(NET.replace('bottom: "c"', 'bottom: "one_of_the_many_slicez_0"', 1))
    code, lines = on_terminal(["check", net])
    assert code == 1 and max(map(len, lines)) <= 80
    head = next(i for i, line in enumerate(lines) if "error[" in line)
    assert lines[head + 1].startswith("  ") and "`one_of_the_many_slicez_0`" in " ".join(lines)


def test_a_misspelt_option_is_told_as_one() -> None:
    code, lines = on_terminal(["--versoin"])
    assert code == 2
    assert lines == [
        "netc: error: there is no option `--versoin`; did you mean `--version`?",
        "   = help: `netc --help` lists the commands",
    ]


def test_a_misspelt_option_is_told_before_what_is_missing() -> None:
    code, lines = on_terminal(["summary", "--budgt", "1GB"])
    assert code == 2
    told = "netc summary: error: there is no option `--budgt`; did you mean `--budget`?"
    assert lines[0] == told


def test_options_of_actions_are_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "make", "nowhere.txt", "--resize", "8x8", "-o", "nowhere.h5"]) == 1
    assert "there is no option" not in capsys.readouterr().err
    assert main(["data", "make", "--resise", "8x8"]) == 2
    assert "did you mean `--resize`?" in capsys.readouterr().err


def test_other_programs_names_of_commands_are_known() -> None:
    assert on_terminal(["version"])[1][1] == "   = help: `netc --version` tells the version"
    assert "netc devices" in on_terminal(["device_query"])[1][1]


DIGITS = str(prototxt_dir() / "digits" / "deploy.prototxt")


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["bench", "--threads", "0"], "`0` is no whole number of at least 1"),
        (["bench", "--batch", "-1"], "`-1` is no whole number of at least 1"),
        (["bench", "--rounds", "1e99"], "`1e99` is no whole number of at least 1"),
        (["bench", "--top", "x"], "`x` is no whole number of at least 0"),
        (["bench", "--batch", "9" * 30], f"`{'9' * 30}` is more than 2,147,483,647"),
        (["run", "--scale", "nan"], "`nan` is no finite number"),
        (["run", "--scale", "1e999"], "`1e999` is no finite number"),
        (["run", "--raw-scale", "0"], "`0` is not greater than 0"),
        (["run", "--top", "-4"], "`-4` is no whole number of at least 0"),
        (["run", "--level", "1e99"], "`1e99` is no whole number of 32 bits"),
        (["summary", "--batch", "0"], "`0` is no whole number of at least 1"),
        (["summary", "--depth", "-1"], "`-1` is no whole number of at least 0"),
        (["summary", "--budget", "nan"], "`nan` is no size, such as 12GB or 8GiB"),
        (["run", "--input-shape", "data=1,3,99999999999,1"], "more than 2,147,483,647"),
    ],
)
def test_nonsense_numbers_are_refused(
    argv: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command, *rest = argv
    assert main([command, DIGITS, *rest]) == 2
    assert told in capsys.readouterr().err


def test_check_and_lint_end_with_what_was_found(
    net: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["check", DIGITS])
    assert capsys.readouterr().out == "1 file: no errors\n"
    Path("bad.prototxt").write_text("layer { nam: 'x' }\nlayer { typ: 'y' }")
    main(["check", DIGITS, "bad.prototxt"])
    assert capsys.readouterr().out == "2 files: 2 errors\n"
    main(["lint", DIGITS])
    assert capsys.readouterr().out == "1 file: no errors, no notes\n"


def test_a_mean_of_no_number_and_names_of_precisions(capsys: pytest.CaptureFixture[str]) -> None:
    image = str(prototxt_dir() / "digits" / "images" / "1.png")
    assert main(["run", DIGITS, "-i", image, "--fill-missing", "--mean", "nan"]) == 1
    assert "error[bad-mean]: the mean `nan` is no list of finite" in capsys.readouterr().err
    assert main(["run", DIGITS, "-i", image, "--fill-missing", "--precision", "half"]) == 1
    assert "help: half precision is `fp16`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "meant"),
    [
        ("--versoin", "; did you mean `netc --version`?"),
        ("--hlep", "; did you mean `--help`?"),
        ("--quiet", ""),
    ],
)
def test_options_behind_a_command(
    option: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", option]) == 2
    first = capsys.readouterr().err.splitlines()[0]
    assert first == f"netc check: error: there is no option `{option}`{meant}"
