from __future__ import annotations

import pytest

from netc.diagnostics import NetcError
from netc.migrate.names import FORK_V1_TO_V2, V0_TO_V1, V1_TO_V2, v2_type
from netc.migrate.upgrade import upgrade_net
from netc.schema.load import load_schema
from tests.migrate.texts import check_upgrade, net_of, place, refusal, upgraded

# A V0 layer's fields, and the V2 layer that Caffe makes of them.
LAYERS = {
    "conv": (
        """name: "c" type: "conv" num_output: 96 biasterm: false
           weight_filler { type: "gaussian" std: 0.01 } bias_filler { type: "constant" value: 1 }
           pad: 2 kernelsize: 11 group: 2 stride: 4
           blobs_lr: 1. blobs_lr: 2. weight_decay: 1. weight_decay: 0.""",
        """name: "c" type: "Convolution"
           convolution_param { num_output: 96 bias_term: false
             weight_filler { type: "gaussian" std: 0.01 }
             bias_filler { type: "constant" value: 1 }
             pad: 2 kernel_size: 11 group: 2 stride: 4 }
           param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }""",
    ),
    "innerproduct": (
        """name: "ip" type: "innerproduct" num_output: 10 biasterm: true
           weight_filler { type: "xavier" } bias_filler { type: "constant" } blobs_lr: 3""",
        """name: "ip" type: "InnerProduct"
           inner_product_param { num_output: 10 bias_term: true
             weight_filler { type: "xavier" } bias_filler { type: "constant" } }
           param { lr_mult: 3 }""",
    ),
    "pool": (
        'name: "p" type: "pool" pool: AVE kernelsize: 3 stride: 2 pad: 1',
        """name: "p" type: "Pooling"
           pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }""",
    ),
    "dropout": (
        'name: "d" type: "dropout" dropout_ratio: 0.25',
        'name: "d" type: "Dropout" dropout_param { dropout_ratio: 0.25 }',
    ),
    "lrn": (
        'name: "n" type: "lrn" local_size: 3 alpha: 0.1 beta: 0.5 k: 2',
        'name: "n" type: "LRN" lrn_param { local_size: 3 alpha: 0.1 beta: 0.5 k: 2 }',
    ),
    "data": (
        """name: "data" type: "data" source: "train" meanfile: "mean" batchsize: 256 cropsize: 227
           mirror: true scale: 0.5 rand_skip: 7""",
        """name: "data" type: "Data" data_param { source: "train" batch_size: 256 rand_skip: 7 }
           transform_param { mean_file: "mean" crop_size: 227 mirror: true scale: 0.5 }""",
    ),
    "images": (
        """name: "i" type: "images" source: "list" batchsize: 2 rand_skip: 1 shuffle_images: true
           new_height: 20 new_width: 30""",
        """name: "i" type: "ImageData" image_data_param { source: "list" batch_size: 2
             rand_skip: 1 shuffle: true new_height: 20 new_width: 30 }""",
    ),
    "hdf5_data": (
        'name: "h" type: "hdf5_data" source: "list" batchsize: 5',
        'name: "h" type: "HDF5Data" hdf5_data_param { source: "list" batch_size: 5 }',
    ),
    "hdf5_output": (
        'name: "o" type: "hdf5_output" hdf5_output_param { file_name: "out" }',
        'name: "o" type: "HDF5Output" hdf5_output_param { file_name: "out" }',
    ),
    "infogain_loss": (
        'name: "l" type: "infogain_loss" source: "H"',
        'name: "l" type: "InfogainLoss" infogain_loss_param { source: "H" }',
    ),
    "window_data": (
        """name: "w" type: "window_data" source: "windows" batchsize: 128 cropsize: 227
           det_fg_threshold: 0.6 det_bg_threshold: 0.4 det_fg_fraction: 0.3 det_context_pad: 16
           det_crop_mode: "square" """,
        """name: "w" type: "WindowData"
           window_data_param { source: "windows" batch_size: 128 fg_threshold: 0.6
             bg_threshold: 0.4 fg_fraction: 0.3 context_pad: 16 crop_mode: "square" }
           transform_param { crop_size: 227 }""",
    ),
    "concat": (
        'name: "cat" type: "concat" concat_dim: 0',
        'name: "cat" type: "Concat" concat_param { axis: 0 }',
    ),
    "blobs": (
        'name: "f" type: "flatten" blobs { num: 1 channels: 1 height: 1 width: 2 data: 1 data: 2 }',
        'name: "f" type: "Flatten" blobs { num: 1 channels: 1 height: 1 width: 2 data: 1 data: 2 }',
    ),
}


@pytest.mark.parametrize("case", LAYERS)
def test_layer(case: str) -> None:
    old, new = LAYERS[case]
    check_upgrade(
        f'name: "net" layers {{ layer {{ {old} }} bottom: "x" top: "y" }}',
        f'name: "net" layer {{ bottom: "x" top: "y" {new} }}',
    )


@pytest.mark.parametrize("kind", V0_TO_V1)
def test_type(kind: str) -> None:
    net = upgraded(f'layers {{ layer {{ name: "a" type: "{kind}" }} }}')
    assert net.get("layer")[0].get("type") == {**V1_TO_V2, **FORK_V1_TO_V2}[V0_TO_V1[kind]]


def test_every_v0_type_is_a_v1_type() -> None:
    kinds = load_schema().message("V1LayerParameter").fields["type"].enum
    assert kinds is not None
    assert set(V0_TO_V1.values()) <= set(kinds.numbers)


def test_inputs_and_flags_of_the_net_stay() -> None:
    check_upgrade(
        """input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 9 force_backward: true
           layers { layer { name: "r" type: "relu" } bottom: "data" top: "data" }""",
        """force_backward: true
           layer { name: "input" type: "Input" top: "data"
             input_param { shape { dim: 1 dim: 3 dim: 8 dim: 9 } } }
           layer { bottom: "data" top: "data" name: "r" type: "ReLU" }""",
    )


PADDED = """layers { layer { name: "data" type: "data" } top: "data" }
layers { layer { name: "pad1" type: "padding" pad: 2 } bottom: "data" top: "pad1" }
layers { layer { name: "c" type: "conv" kernelsize: 5 } bottom: "pad1" top: "c" }
"""


def test_padding_is_folded_into_its_reader() -> None:
    check_upgrade(
        PADDED,
        """layer { top: "data" name: "data" type: "Data" }
           layer { bottom: "data" top: "c" name: "c" type: "Convolution"
             convolution_param { kernel_size: 5 pad: 2 } }""",
    )


def test_padding_replaces_the_readers_own_pad() -> None:
    net = upgraded(PADDED.replace("kernelsize: 5", "kernelsize: 5 pad: 7"))
    assert net.get("layer")[1].get("convolution_param").get("pad") == (2,)


def test_padding_serves_several_readers_and_pooling() -> None:
    pool = 'layers { layer { name: "p" type: "pool" pool: MAX } bottom: "pad1" top: "p" }'
    layers = upgraded(PADDED + pool).get("layer")
    assert [layer.get("name") for layer in layers] == ["data", "c", "p"]
    assert layers[2].get("pooling_param").get("pad") == 2
    assert layers[2].get("bottom") == ("data",)


def test_padding_in_place() -> None:
    layers = upgraded(PADDED.replace('"pad1"', '"data"')).get("layer")
    assert layers[1].get("bottom") == ("data",)
    assert layers[1].get("convolution_param").get("pad") == (2,)


def test_padding_that_nobody_reads_is_left_out_and_told() -> None:
    lines = PADDED.splitlines(keepends=True)
    net, changes = upgrade_net(net_of("".join(lines[:2])))
    assert len(net.get("layer")) == 1
    assert [c.message for c in changes if c.lossy] == [
        "padding layer `pad1`, which no layer reads, was left out"
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'name: "c" type: "conv"',
            'name: "c" type: "relu"',
            "only `conv` and `pool` layers can read padding, and `c` is `relu`",
        ),
        (
            'bottom: "pad1" top',
            'bottom: "data" bottom: "pad1" top',
            "a layer that reads padding has 1 bottom, and `c` has 2",
        ),
        (
            'bottom: "data" top: "pad1"',
            'bottom: "data" bottom: "data" top: "pad1"',
            "a padding layer has 1 bottom and 1 top, and `pad1` has 2 and 1",
        ),
    ],
)
def test_padding_that_cannot_be_folded(old: str, new: str, message: str) -> None:
    text = PADDED.replace(old, new)
    assert text != PADDED
    diagnostic = refusal(text)
    assert (diagnostic.code, diagnostic.message) == ("padding-layer", message)
    assert place(diagnostic)[0] == 3
    assert diagnostic.notes[0].span is not None
    assert diagnostic.notes[0].span.line == 2


def test_parameter_that_the_type_lacks_is_left_out_and_told() -> None:
    text = 'layers { layer { name: "r" type: "relu"\n  kernelsize: 3 } bottom: "x" top: "x" }'
    net, changes = upgrade_net(net_of(text))
    assert set(net.get("layer")[0].entries) == {"bottom", "top", "name", "type"}
    (lost,) = [c for c in changes if c.lossy]
    assert lost.message == "`kernelsize`, which a V0 `relu` layer does not use, was left out"
    assert lost.span is not None
    assert (lost.span.line, lost.span.column) == (2, 3)


def test_unknown_type() -> None:
    diagnostic = refusal('layers {\n  layer { name: "a" type: "inner_produkt" }\n}')
    assert diagnostic.code == "unknown-layer-type"
    assert place(diagnostic) == (2, 27)
    assert diagnostic.help == ("did you mean `inner_product` or `innerproduct`?",)


def test_all_unknown_types_are_told() -> None:
    text = "layers { layer { name: 'a' type: 'p' } } layers { layer { name: 'b' type: 'q' } }"
    with pytest.raises(NetcError) as caught:
        upgrade_net(net_of(text))
    assert [d.code for d in caught.value.diagnostics] == ["unknown-layer-type"] * 2


def test_missing_type() -> None:
    diagnostic = refusal('layers { layer { name: "a" } }')
    assert diagnostic.code == "missing-layer-type"


@pytest.mark.parametrize(
    ("second", "what", "column"),
    [
        ("layers { name: 'r' type: RELU }", "`name`", 10),
        ("layers { bottom: 'a' top: 'b' }", "`layers`", 1),
        ("layers { layer { name: 'r' type: 'relu' } blobs_lr: 1 }", "`blobs_lr`", 43),
    ],
)
def test_v1_among_v0_is_refused(second: str, what: str, column: int) -> None:
    diagnostic = refusal(f"layers {{ layer {{ name: 'a' type: 'relu' }} }}\n{second}")
    assert diagnostic.code == "mixed-layers"
    assert diagnostic.message.startswith(f"{what} here is of the V1 format")
    assert place(diagnostic) == (2, column)
    assert diagnostic.notes[0].span is not None
    assert diagnostic.notes[0].span.line == 1


def test_v2_type_of_fork_values() -> None:
    assert v2_type("IMAGE_SEG_DATA") == "ImageSegData"
    assert v2_type("BN") == "BN"
    assert v2_type("CROP") == "AutoCrop"
    assert v2_type("NONE") == ""
