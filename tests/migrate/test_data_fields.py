"""Fields of data layers that no schema has: warnings, until their data are to be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from netc.cli.main import main
from netc.diagnostics import NetcError
from netc.frontend import build, read_net
from netc.lower.rules import NetState
from netc.sources.catalog import open_sources

IP = 'layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" %s }\n'
NET = (
    'layer { name: "d" type: "ImageData" top: "data" top: "label"\n'
    '  image_data_param { source: "x" batch_size: 4 new_height: 8 new_width: 8 %s } }\n'
) + IP % "inner_product_param { num_output: 3 }"
V1 = (
    'layers { name: "d" type: IMAGE_DATA top: "data" top: "label"\n'
    '  image_data_param { source: "x" batch_size: 4 new_height: 8 new_width: 8 zebra: 1 } }\n'
)


OWN = 'layer { name: "d" type: "ZebraData" top: "data" zebra_data_param { stripes: 1 } }\n'


@pytest.mark.parametrize("text", [NET % "zebra: true", V1, OWN])
def test_a_field_that_no_schema_has_is_told_where_it_stands(text: str) -> None:
    built = build(read_net(text=text).message)
    (told,) = [d for d in built.diagnostics if d.code == "unknown-data-field"]
    assert told.severity == "warning"
    assert told.span is not None and told.span.text.startswith("zebra")
    assert "data" in built.graph.inputs
    assert text is OWN or built.graph.shape("data") == (4, 3, 8, 8)


@pytest.mark.parametrize(
    "text",
    [
        NET % "batchsize: 3",  # near to a known name: a mistake
        NET % "" + IP.replace('"ip"', '"other"') % "inner_product_param { zebra: 1 }",
        NET.replace('top: "data" top', 'bottom: "x" top: "data" top') % "zebra: 1",
        'layer { name: "d" type: "DummyData" top: "data" dummy_data_param { zebra: 1 } }',
    ],
)
def test_it_stays_an_error(text: str) -> None:
    with pytest.raises(NetcError, match=r"no field `(zebra|batchsize)`"):
        read_net(text=text)


def test_data_that_is_read_needs_every_field() -> None:
    net = read_net(text=NET % "zebra: true").message
    with pytest.raises(NetcError, match="no schema has the field `zebra`") as caught:
        open_sources(net, NetState("TEST"))
    assert caught.value.diagnostics[0].code == "unknown-data-field"


def test_a_text_that_is_written_again_loses_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "train.prototxt"
    path.write_text(NET % "zebra: true")
    assert main(["check", str(path)]) == 0
    assert main(["deploy", str(path)]) == 0
    assert "zebra" not in capsys.readouterr().out.partition('name: "')[2]
    assert main(["upgrade", str(path)]) == 1
    assert "unknown-field" in capsys.readouterr().err
