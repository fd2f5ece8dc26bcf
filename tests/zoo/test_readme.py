"""The table in prototxt/README.md is what ``docs/zoo.py`` makes of the nets as they are."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def zoo() -> ModuleType:
    """The generator, which is a script beside the documentation."""
    spec = importlib.util.spec_from_file_location("zoo", ROOT / "docs" / "zoo.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def without_time(text: str) -> list[list[str]]:
    """The table's cells without the column of times, which depend on the machine."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row][:8] for row in rows]


def test_table_is_current(zoo: ModuleType) -> None:
    written = (ROOT / "prototxt" / "README.md").read_text(encoding="utf-8")
    assert without_time(written) == without_time(zoo.table(None))


def test_googlenet_has_its_line(zoo: ModuleType) -> None:
    rows = without_time(zoo.HEAD + (ROOT / "prototxt" / "README.md").read_text(encoding="utf-8"))
    (googlenet,) = [row for row in rows if row[0] == "GoogLeNet"]
    assert googlenet[4:6] == ["6,998,552", "1,582,671,872"]


@pytest.mark.parametrize(
    ("file", "most"),
    [("googlenet", 120), ("resnet152", 60), ("densenet121", 50), ("vgg16", 40), ("fractalnet", 60)],
)
def test_a_net_is_a_page(zoo: ModuleType, file: str, most: int) -> None:
    assert zoo.lines(file) <= most


def test_times_stay_with_their_machine_and_day(zoo: ModuleType) -> None:
    times = zoo.Times([f"{i} ms" for i, _ in enumerate(zoo.rows())], "CPU: on a day; a machine.")
    text = zoo.table(times)
    assert times.note in text
    assert zoo.kept(text) == times
    assert zoo.kept(zoo.table(None)) is None
    assert without_time(text) == without_time(zoo.table(None))


def test_a_net_is_timed(zoo: ModuleType) -> None:
    (row,) = [row for row in zoo.rows() if row["net"] == "tiny VGG"]
    assert zoo.milliseconds(row).endswith(" ms")
