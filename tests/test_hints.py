"""Near names: right, and bounded whatever is written."""

from __future__ import annotations

import difflib
from typing import Any

import pytest

from netc.cli.main import main
from netc.diagnostics import HINTED, Diagnostic, Source, Span, did_you_mean, render

FIELDS = [f"field_number_{index}" for index in range(2000)]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("convolutoin_param", "convolution_param"),  # two letters change places in the middle
        ("convolution_parm", "convolution_param"),
        ("onvolution_param", "convolution_param"),
        ("Convolution_Param", "convolution_param"),
        ("conv_param", "convolution_param"),
        ("convolution_par", "convolution_param"),
    ],
)
def test_of_thousands(name: str, near: str) -> None:
    assert did_you_mean(name, [*FIELDS, near]) == (f"did you mean `{near}`?",)


def test_what_is_meant_stands_alone() -> None:
    layers = ["Deconvolution", "Convolution", "Deconvolution3D"]
    assert did_you_mean("convolution", layers) == ("did you mean `Convolution`?",)
    fields = ["xcov_param", "concat_param", "convolution_param", "conadd_param"]
    assert did_you_mean("conv_param", fields) == ("did you mean `convolution_param`?",)
    assert "pool_size" in did_you_mean("pool_siz", ["pool_size", "pool_sizes"])[0]


def test_long_names_that_differ_at_one_end() -> None:
    names = ["b" * 190 + f"{index:03}" for index in range(300)]
    (help,) = did_you_mean("b" * 190 + "x003", names)
    assert "b" * 190 + "003" in help


def test_letters_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the names and however many, the same few letters are compared."""
    compared: list[int] = []

    class Matcher(difflib.SequenceMatcher[str]):
        def ratio(self) -> float:
            compared.append(len(self.a) * len(self.b))
            return super().ratio()

    monkeypatch.setattr(difflib, "SequenceMatcher", Matcher)
    for length, number in ((200, 100), (400, 1000), (800, 10_000)):
        compared.clear()
        did_you_mean("b" * length + "x", ["b" * length + str(n) for n in range(number)])
        assert len(compared) <= 256 and max(compared, default=0) <= 32 * 32


def test_a_net_of_such_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """60 unknown blobs among 60 alike took 12 seconds."""
    looked: list[str] = []
    import netc.lower.blobs as blobs

    def counting(name: str, known: Any) -> tuple[str, ...]:
        looked.extend([name] if known else [])
        return did_you_mean(name, known)

    monkeypatch.setattr(blobs, "did_you_mean", counting)
    long = "b" * 190
    layers = ['layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 } } }']
    relu = 'layer {{ name: "{}" type: "ReLU" bottom: "{}" top: "{}" }}'
    layers += [relu.format(f"n{i}", "data", f"{long}{i:03}") for i in range(60)]
    layers += [relu.format(f"q{i}", f"{long}x{i:03}", f"m{i}") for i in range(60)]
    path = tmp_path / "h.prototxt"
    path.write_text("\n".join(layers), encoding="ascii")
    assert main(["check", str(path)]) == 1
    assert len(looked) <= HINTED
    assert capsys.readouterr().err.count("error[unknown-bottom]") == 60


def test_an_excerpt_looks_at_a_long_line_s_part_alone() -> None:
    class Counted(str):
        __slots__ = ()

        def __iter__(self) -> Any:
            raise AssertionError("the whole line was walked over")

    text = Counted("x" * 100_000 + " wrong: 1 " + "y" * 100_000)
    source = Source("n", text)
    told = render(Diagnostic("code", "message", Span(source, 100_001, 100_006)))
    assert "wrong: 1" in told and len(told) < 400
