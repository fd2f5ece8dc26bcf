from __future__ import annotations

import pytest

from netc.diagnostics import NetcError
from netc.migrate.names import V1_TO_V2
from netc.migrate.upgrade import upgrade_net
from netc.schema.load import load_schema
from tests.migrate.texts import check_upgrade, net_of, place, refusal, upgraded


def test_layer_with_all_that_v1_has() -> None:
    check_upgrade(
        """name: "n"
        layers { bottom: "a" bottom: "b" top: "c" name: "x" include { phase: TRAIN stage: "s" }
          exclude { min_level: 2 } type: CONVOLUTION blobs { num: 1 data: 3 }
          param: "w" param: "v" blob_share_mode: PERMISSIVE
          blobs_lr: 1 blobs_lr: 2 blobs_lr: 3 weight_decay: 0.5 loss_weight: 0.25
          convolution_param { num_output: 3 kernel_size: 3 engine: CAFFE } }""",
        """name: "n"
        layer { bottom: "a" bottom: "b" top: "c" name: "x" include { phase: TRAIN stage: "s" }
          exclude { min_level: 2 } type: "Convolution" blobs { num: 1 data: 3 }
          loss_weight: 0.25
          convolution_param { num_output: 3 kernel_size: 3 engine: CAFFE }
          param { name: "w" share_mode: PERMISSIVE lr_mult: 1 decay_mult: 0.5 }
          param { name: "v" lr_mult: 2 } param { lr_mult: 3 } }""",
    )


@pytest.mark.parametrize("identifier", V1_TO_V2)
def test_type(identifier: str) -> None:
    layer = upgraded(f'layers {{ name: "a" type: {identifier} }}').get("layer")[0]
    assert layer.get("type") == V1_TO_V2[identifier]


def test_type_by_number() -> None:
    assert upgraded("layers { type: 4 }").get("layer")[0].get("type") == "Convolution"


def test_every_bvlc_type_has_a_row() -> None:
    kinds = load_schema().message("V1LayerParameter").fields["type"].enum
    assert kinds is not None
    bvlc = {name for name, number in kinds.numbers.items() if number < 40}
    assert set(V1_TO_V2) == bvlc - {"NONE"}


# What UpgradeV1LayerParameter copies, except ``loss_weight`` and the like.
PARAMS = """accuracy argmax concat contrastive_loss convolution data dropout dummy_data eltwise exp
hdf5_data hdf5_output hinge_loss image_data infogain_loss inner_product lrn memory_data mvn pooling
power relu sigmoid softmax slice tanh threshold window_data transform loss""".split()


@pytest.mark.parametrize("name", PARAMS)
def test_parameter_moves_as_it_is(name: str) -> None:
    net = net_of(f"layers {{ type: RELU {name}_param {{ }} }}")
    layer = upgrade_net(net)[0].get("layer")[0]
    assert layer.get(f"{name}_param") is net.get("layers")[0].get(f"{name}_param")


def test_parameter_of_a_fork_moves_as_it_is() -> None:
    layer = upgraded("layers { type: BN bn_param { bn_mode: LEARN } }").get("layer")[0]
    assert layer.get("bn_param").get("bn_mode") == "LEARN"


def test_field_without_counterpart_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = load_schema().message("LayerParameter").fields
    monkeypatch.delitem(fields, "mvn_param")
    diagnostic = refusal('layers { name: "a" type: MVN\n  mvn_param { } }')
    assert diagnostic.code == "no-counterpart"
    assert "`mvn_param`" in diagnostic.message
    assert place(diagnostic) == (2, 3)


MIXED = """name: "m"
layers { name: "a" type: RELU bottom: "x" top: "x" }
layer { name: "b" type: "ReLU" bottom: "x" top: "x" }
layers { name: "c" type: RELU bottom: "x" top: "x" }
"""


def test_mixed_layers_name_both_places() -> None:
    diagnostic = refusal(MIXED)
    assert diagnostic.code == "mixed-layers"
    assert diagnostic.message == (
        "the net has 1 `layer` and 2 `layers`: two formats, of which Caffe would drop the `layer`"
    )
    assert place(diagnostic) == (3, 1)
    assert diagnostic.notes[0].span is not None
    assert diagnostic.notes[0].span.line == 2


def test_mixed_layers_of_v0_are_refused_before_anything_else() -> None:
    diagnostic = refusal('layers { layer { name: "a" type: "?" } }\nlayer { name: "b" }')
    assert diagnostic.code == "mixed-layers"


@pytest.mark.parametrize(
    ("text", "help"),
    [
        (
            'layers { name: "a" type: "Convolution" }',
            (
                "a type in quotes belongs to `layer { }`: write `layer` for `layers`",
                "or keep `layers { }` and write `type: CONVOLUTION`",
            ),
        ),
        (
            'layers { name: "a" type: "conv" }',
            ('V0 layers have one more level: `layers { layer { type: "conv" } }`',),
        ),
        (
            'layers { name: "a" type: "Convolutoin" }',
            (
                "a type in quotes belongs to `layer { }`: write `layer` for `layers`",
                "did you mean `Convolution`?",
            ),
        ),
        (
            'layer { name: "a" type: SOFTMAX_LOSS }',
            ('in `layer { }` types are strings: write `type: "SoftmaxWithLoss"`',),
        ),
        (
            'layer { layer { name: "a" type: "conv" } }',
            ("layers of the V0 format are `layers { layer { ... } }`",),
        ),
    ],
)
def test_type_of_another_format(text: str, help: tuple[str, ...]) -> None:
    with pytest.raises(NetcError) as caught:
        net_of(text)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.help == help


def test_an_unrelated_mistake_keeps_its_own_help() -> None:
    with pytest.raises(NetcError) as caught:
        net_of('layers { type: "Convolution" }\nlayer { name: "a" topp: "b" }')
    assert caught.value.diagnostics[1].help == ("did you mean `top`?",)


def test_one_change_for_each_layer() -> None:
    _, changes = upgrade_net(net_of('layers { name: "a" type: RELU } layers { name: "b" }'))
    assert [(c.step, c.message) for c in changes] == [
        ("v1", "V1 layer `a` became `layer` of type `ReLU`"),
        ("v1", "V1 layer `b` became `layer` without a type"),
    ]
