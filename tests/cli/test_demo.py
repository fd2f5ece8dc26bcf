from __future__ import annotations

import json

import pytest

from netc.cli.main import main

DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def test_every_digit_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo"]) == 0
    out = capsys.readouterr().out
    assert [word for word in out.split() if word in DIGITS] == DIGITS
    assert all(len(line) <= 80 for line in out.partition("Where to go next")[0].splitlines())
    assert "Where to go next" in out


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--json"]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    assert [result["label"] for result in results] == DIGITS
    assert all(result["probability"] > 0.9 for result in results)
