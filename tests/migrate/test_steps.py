"""Data transforms, inputs, BatchNorm, axes."""

from __future__ import annotations

import pytest

from netc.migrate.upgrade import upgrade_net
from tests.migrate.texts import check_upgrade, net_of, place, plain, refusal, upgraded


@pytest.mark.parametrize(
    ("kind", "param", "type"),
    [
        ("DATA", "data_param", "Data"),
        ("IMAGE_DATA", "image_data_param", "ImageData"),
        ("WINDOW_DATA", "window_data_param", "WindowData"),
    ],
)
def test_data_transforms_move(kind: str, param: str, type: str) -> None:
    check_upgrade(
        f"""layers {{ type: {kind} {param} {{ source: "s" scale: 0.5 mean_file: "m" crop_size: 9
              mirror: true batch_size: 4 }} }}""",
        f"""layer {{ type: "{type}" {param} {{ source: "s" batch_size: 4 }}
              transform_param {{ scale: 0.5 mean_file: "m" crop_size: 9 mirror: true }} }}""",
    )


def test_data_transforms_replace_those_of_transform_param() -> None:
    check_upgrade(
        """layers { type: DATA transform_param { mirror: true scale: 2 }
             data_param { scale: 3 source: "s" } }""",
        """layer { type: "Data" transform_param { mirror: true scale: 3 }
             data_param { source: "s" } }""",
    )


def test_data_transforms_of_another_type_stay() -> None:
    check_upgrade(
        "layers { type: DATA image_data_param { scale: 3 } }",
        'layer { type: "Data" image_data_param { scale: 3 } }',
    )


def test_data_transforms_of_current_layers_stay() -> None:
    net = net_of('layer { type: "Data" data_param { scale: 3 } }')
    assert upgrade_net(net) == (net, ())


def test_input_dims() -> None:
    check_upgrade(
        """input: "a" input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 4
           input: "b" input_dim: 5 input_dim: 6 input_dim: 7 input_dim: 8
           layer { name: "s" type: "Silence" bottom: "a" bottom: "b" }""",
        """layer { name: "input" type: "Input" top: "a" top: "b"
             input_param { shape { dim: 1 dim: 2 dim: 3 dim: 4 }
                           shape { dim: 5 dim: 6 dim: 7 dim: 8 } } }
           layer { name: "s" type: "Silence" bottom: "a" bottom: "b" }""",
    )


def test_input_shapes() -> None:
    check_upgrade(
        'input: "a" input_shape { dim: 5 dim: 6 } input: "b" input_shape { dim: 7 }',
        """layer { name: "input" type: "Input" top: "a" top: "b"
             input_param { shape { dim: 5 dim: 6 } shape { dim: 7 } } }""",
    )


def test_input_without_shape() -> None:
    check_upgrade(
        'input: "a" layers { name: "r" type: RELU bottom: "a" top: "b" }',
        """layer { name: "input" type: "Input" top: "a" }
           layer { name: "r" type: "ReLU" bottom: "a" top: "b" }""",
    )


def test_shape_without_input_is_left_out_and_told() -> None:
    net, changes = upgrade_net(net_of('name: "n"\ninput_dim: 1 input_dim: 3'))
    assert plain(net) == {"name": ["n"]}
    assert [(c.message, c.lossy) for c in changes] == [
        ("`input_dim`, which belongs to no `input`, was left out", True)
    ]


@pytest.mark.parametrize(
    ("text", "code", "message", "at"),
    [
        (
            'input: "a"\ninput_dim: 1\ninput_dim: 3',
            "value-count",
            "1 `input` need 4 `input_dim`, and there are 2",
            (2, 1),
        ),
        (
            'input: "a"\ninput_dim: [1, 2, 3, 4,\n 5]',
            "value-count",
            "1 `input` need 4 `input_dim`, and there are 5",
            (2, 1),
        ),
        (
            'input: "a" input: "b"\ninput_shape { dim: 1 }',
            "value-count",
            "2 `input` need 2 `input_shape`, and there are 1",
            (2, 1),
        ),
        (
            'input: "a"\ninput_shape { dim: 1 } input_shape { dim: 1 }',
            "value-count",
            "1 `input` need 1 `input_shape`, and there are 2",
            (2, 24),
        ),
        (
            'input: "a" input_dim: 1\ninput_shape { dim: 1 }',
            "conflicting-fields",
            "the net gives its inputs 1 `input_dim` and 1 `input_shape`, and takes only one of "
            "the two",
            (1, 12),
        ),
    ],
)
def test_inputs_that_do_not_fit(text: str, code: str, message: str, at: tuple[int, int]) -> None:
    diagnostic = refusal(text)
    assert (diagnostic.code, diagnostic.message) == (code, message)
    assert place(diagnostic) == at


def test_batch_norm_of_nvidias_first_releases() -> None:
    own = 'param { name: "s" lr_mult: 2 } param { lr_mult: 3 decay_mult: 0 }'
    statistics = "param { lr_mult: 0 decay_mult: 0 }"
    fields = "batch_norm_param { scale_filler { value: 1 } }"
    layer = 'layer { type: "BatchNorm" %s }'
    wanted = layer % f"{statistics * 3} {own} {fields}"
    check_upgrade(layer % f"{own} {statistics * 2} {fields}", wanted)
    check_upgrade(layer % f"{own} {fields}", wanted)
    one = layer % f"param {{ lr_mult: 1 }} {fields}"
    check_upgrade(one, layer % f"{statistics * 3} param {{ lr_mult: 1 }} {fields}")


@pytest.mark.parametrize(
    "text",
    [
        "param { lr_mult: 1 } param { lr_mult: 1 } batch_norm_param { eps: 1 }",
        "param { lr_mult: 0 } batch_norm_param { scale_filler { } }",
        "param { } param { } param { lr_mult: 1 } param { } batch_norm_param { scale_filler { } }",
    ],
)
def test_other_batch_norms_keep_their_order(text: str) -> None:
    net = net_of(f'layer {{ type: "BatchNorm" {text} }}')
    assert upgrade_net(net) == (net, ())


def test_batch_norm_with_three_params() -> None:
    check_upgrade(
        """layer { type: "BatchNorm" param { lr_mult: 1 name: "m" } param { decay_mult: 2 }
             param { share_mode: PERMISSIVE } }""",
        """layer { type: "BatchNorm" param { lr_mult: 0 name: "m" decay_mult: 0 }
             param { decay_mult: 0 lr_mult: 0 }
             param { share_mode: PERMISSIVE lr_mult: 0 decay_mult: 0 } }""",
    )


@pytest.mark.parametrize(
    "text",
    [
        'layer { type: "BatchNorm" param { lr_mult: 1 } param { lr_mult: 1 } }',
        'layer { type: "BN" param { } param { } param { } }',
    ],
)
def test_other_params_stay(text: str) -> None:
    net = net_of(text)
    assert upgrade_net(net) == (net, ())


def test_axes() -> None:
    check_upgrade(
        """layer { type: "Concat" concat_param { concat_dim: 2 } }
           layer { type: "Slice" slice_param { slice_dim: 0 slice_point: 3 } }""",
        """layer { type: "Concat" concat_param { axis: 2 } }
           layer { type: "Slice" slice_param { axis: 0 slice_point: 3 } }""",
    )


def test_axis_twice() -> None:
    diagnostic = refusal('layer { type: "Slice"\n slice_param { axis: 1\n slice_dim: 2 } }')
    assert diagnostic.code == "conflicting-fields"
    assert place(diagnostic) == (3, 2)
    assert diagnostic.notes[0].span is not None
    assert diagnostic.notes[0].span.line == 2


def test_axis_that_is_none() -> None:
    diagnostic = refusal('layer { type: "Concat" concat_param { concat_dim: 4294967295 } }')
    assert diagnostic.code == "out-of-range"


def test_axes_of_other_types_stay() -> None:
    net = upgraded('layer { type: "ReLU" concat_param { concat_dim: 1 axis: 1 } }')
    assert net.get("layer")[0].get("concat_param").has("concat_dim")
