"""Weights stand behind the net or behind `-w`, in every command that takes both."""

from __future__ import annotations

import pytest

from netc.cli.arguments import take_weights
from netc.cli.main import COMMANDS, main, parsers
from netc.data import prototxt_dir

TAKING = (
    "bench", "build", "convolutionize", "deploy", "export", "fold", "gradcheck", "passes",
    "prune-weights", "quantize", "rename", "run", "test", "time", "upgrade", "verify",
)  # fmt: skip
MORE = {
    "build": ["-o", "o"],
    "prune-weights": ["-o", "o.npz"],
    "quantize": ["-o", "o.npz", "--calibrate", "c"],
}
NEEDED = ("convolutionize", "fold", "prune-weights", "quantize", "test")


def parsed(command: str, *arguments: str) -> str | None:
    parser, subs = parsers(command)
    args, unknown = parser.parse_known_args([command, "net", *arguments])
    take_weights(args, unknown, subs[command])
    assert not unknown
    if command == "export" and args.more:
        return str(args.more[0])
    found = args.trained if command == "build" else args.weights
    return None if found is None else str(found)


@pytest.mark.parametrize("command", TAKING)
def test_both_places_are_taken(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command in COMMANDS
    more = MORE.get(command, ["--json"])
    assert parsed(command, "w.npz", *more) == "w.npz"
    assert parsed(command, "-w", "w.npz", *more) == parsed(command, *more, "-w", "w.npz") == "w.npz"
    if command == "export":
        return
    assert parsed(command, *more, "w.npz") == "w.npz"  # behind options
    with pytest.raises(SystemExit):
        parsed(command, "v.npz", "-w", "w.npz", *more)
    assert "`v.npz` behind the net and `w.npz` by `-w`" in capsys.readouterr().err
    if command in NEEDED:
        with pytest.raises(SystemExit):
            parsed(command, *more)
        assert "the weights are needed" in capsys.readouterr().err
    else:
        assert parsed(command, *more) is None


def test_a_net_is_run_with_weights_behind_it(capsys: pytest.CaptureFixture[str]) -> None:
    folder = prototxt_dir() / "digits"
    image = str(folder / "images" / "3.png")
    net = [str(folder / "deploy.prototxt"), str(folder / "digits.caffemodel")]
    assert main(["run", *net, "-i", image, "--raw-scale", "1", "--top", "1"]) == 0
    assert "3" in capsys.readouterr().out.splitlines()[1]
