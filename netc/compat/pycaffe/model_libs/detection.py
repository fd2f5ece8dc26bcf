"""The data layer of a detector, and the layers that predict its boxes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from netc.compat.pycaffe.model_libs.blocks import ConvBNLayer, Fields, NormFields, T, bad
from netc.compat.pycaffe.net_spec import Made, NetSpec, Top, layers, params
from netc.compat.pycaffe.proto import caffe_pb2

if TYPE_CHECKING:
    from typing_extensions import Unpack


def CreateAnnotatedDataLayer(
    source: str, batch_size: int = 32, backend: int = params.Data.LMDB, output_label: bool = True,
    train: bool = True, label_map_file: str = "", anno_type: int | None = None,
    transform_param: Mapping[str, object] | None = None,
    batch_sampler: Sequence[Mapping[str, object]] = ({},),
) -> Made:  # fmt: skip
    """An AnnotatedData layer: its blob of pictures, or that and its labels.

    Args:
        source: the database's path.
        batch_size: pictures in a batch.
        backend: LMDB or LEVELDB of DataParameter.
        output_label: whether there are labels.
        train: whether the layer is of the phase TRAIN, or of TEST.
        label_map_file: the names of the classes.
        anno_type: of AnnotatedDatum, where it is not the database's.
        transform_param: the fields of TransformationParameter.
        batch_sampler: the fields of each BatchSampler.
    """
    annotated: Fields = {
        "label_map_file": label_map_file,
        "batch_sampler": [*batch_sampler],
    }
    if anno_type is not None:
        annotated["anno_type"] = anno_type
    return layers.AnnotatedData(
        name="data",
        annotated_data_param=annotated,
        data_param={"batch_size": batch_size, "backend": backend, "source": source},
        ntop=2 if output_label else 1,
        include={"phase": caffe_pb2.Phase.Value("TRAIN" if train else "TEST")},
        transform_param=dict(transform_param or {}),
    )


class _Priors(NamedTuple):
    """What the prior boxes of one layer are made from."""

    min_sizes: list[object]
    max_sizes: list[object]
    aspect_ratios: list[object]
    step: object

    def at_a_place(self, flip: bool) -> int:
        """Their number at each place of the map."""
        squares = 2 if self.max_sizes else 1
        return len(self.min_sizes) * (squares + len(self.aspect_ratios) * (2 if flip else 1))


class _Head(NamedTuple):
    """What the predictions of all layers have in common."""

    net: NetSpec
    use_batchnorm: bool
    lr_mult: float
    kernel_size: int
    pad: int
    bn_param: NormFields

    def conv(
        self, bottom: str, name: str, num_output: int, use_relu: bool, size: int, pad: int
    ) -> None:
        """A convolution of stride 1."""
        ConvBNLayer(
            self.net, bottom, name, self.use_batchnorm, use_relu, num_output, size, pad, 1,
            lr_mult=self.lr_mult, **self.bn_param,
        )  # fmt: skip

    def rows(self, bottom: str, name: str, num_output: int) -> Top:
        """Predictions as rows, one for each picture: the channels of each place side by side."""
        self.conv(bottom, name, num_output, False, self.kernel_size, self.pad)
        net = self.net
        net[f"{name}_perm"] = layers.Permute(net[name], order=[0, 2, 3, 1])
        net[f"{name}_flat"] = layers.Flatten(net[f"{name}_perm"], axis=1)
        made: Top = net[f"{name}_flat"]
        return made


def CreateMultiBoxHead(
    net: NetSpec, data_layer: str = "data", num_classes: int = 0, from_layers: Sequence[str] = (),
    use_objectness: bool = False, normalizations: Sequence[float] = (), use_batchnorm: bool = True,
    lr_mult: float = 1, use_scale: bool = True, min_sizes: Sequence[object] = (),
    max_sizes: Sequence[object] = (), prior_variance: Sequence[float] = (0.1,),
    aspect_ratios: Sequence[object] = (), steps: Sequence[object] = (), img_height: int = 0,
    img_width: int = 0, share_location: bool = True, flip: bool = True, clip: bool = True,
    offset: float = 0.5, inter_layer_depth: Sequence[int] = (), kernel_size: int = 1, pad: int = 0,
    conf_postfix: str = "", loc_postfix: str = "", **bn_param: Unpack[NormFields],
) -> list[Top]:  # fmt: skip
    """Add SSD's predictions from some layers: blobs of locations, confidences and prior boxes.

    They are named mbox_loc, mbox_conf and mbox_priorbox (and mbox_objectness); each joins those
    of all layers.

    Args:
        net: the net that they are added to.
        data_layer: the blob of the picture, whose size the prior boxes need.
        num_classes: classes, the background's included.
        from_layers: the blobs that are predicted from; the lists below have one item for each.
        use_objectness: whether there are predictions of any object, too.
        normalizations: the first factor of a Normalize in front; -1 for none.
        use_batchnorm, lr_mult, bn_param: for :func:`ConvBNLayer`.
        use_scale: without a meaning, as in the fork.
        min_sizes, max_sizes, aspect_ratios, steps: of PriorBox, each a number or a list.
        prior_variance, flip, clip, offset: of PriorBox.
        img_height, img_width: the picture's size, where it is not the blob's.
        share_location: whether all classes have one box.
        inter_layer_depth: outputs of a 3x3 convolution in between; 0 for none.
        kernel_size, pad: of the predicting convolutions.
        conf_postfix, loc_postfix: what the names of two predictions end with.

    Raises:
        NetcError: bad-argument, for no classes, lists of different lengths, an unknown blob.
    """
    _check(net, data_layer, num_classes, from_layers, {
        "normalizations": normalizations, "min_sizes": min_sizes, "max_sizes": max_sizes,
        "aspect_ratios": aspect_ratios, "steps": steps, "inter_layer_depth": inter_layer_depth,
    })  # fmt: skip
    head = _Head(net, use_batchnorm, lr_mult, kernel_size, pad, bn_param)
    picture = _picture_size(img_height, img_width)
    common = {"clip": clip, "variance": [*prior_variance], "offset": offset, **picture}
    kinds: dict[str, list[Top]] = {"loc": [], "conf": [], "priorbox": [], "objectness": []}
    for index, blob in enumerate(from_layers):
        blob = _in_front(head, blob, _at(normalizations, index), _at(inter_layer_depth, index))
        given = [_at(sizes, index) for sizes in (min_sizes, max_sizes, aspect_ratios)]
        smallest, largest, ratios = map(_listed, given)
        priors = _Priors(smallest, largest, ratios, _at(steps, index) or [])
        places = priors.at_a_place(flip)
        boxes = places * 4 * (1 if share_location else num_classes)
        kinds["loc"].append(head.rows(blob, f"{blob}_mbox_loc{loc_postfix}", boxes))
        conf = f"{blob}_mbox_conf{conf_postfix}"
        kinds["conf"].append(head.rows(blob, conf, places * num_classes))
        kinds["priorbox"].append(_prior_boxes(net, blob, data_layer, priors, flip, common))
        if use_objectness:
            made = head.rows(blob, f"{blob}_mbox_objectness", places * 2)
            kinds["objectness"].append(made)
    return list(_joined(net, kinds))


def _joined(net: NetSpec, kinds: Mapping[str, list[Top]]) -> Iterator[Top]:
    for kind, tops in kinds.items():
        if tops:
            axis = 2 if kind == "priorbox" else 1
            net[f"mbox_{kind}"] = layers.Concat(*tops, axis=axis)
            yield net[f"mbox_{kind}"]


def _check(
    net: NetSpec,
    data_layer: str,
    num_classes: int,
    from_layers: Sequence[str],
    lists: Mapping[str, Sequence[object]],
) -> None:
    if not isinstance(num_classes, int) or num_classes <= 0:
        raise bad(f"`num_classes` is a positive number, not {num_classes!r}")
    for name, values in lists.items():
        if (values or name == "min_sizes") and len(values) != len(from_layers):
            counts = f"{len(values)} and {len(from_layers)}"
            raise bad(f"`{name}` and `from_layers` have the same length, not {counts}")
    if data_layer not in net.keys():
        raise bad(f"the net has no blob `{data_layer}` yet")


def _at(values: Sequence[T], index: int) -> T | None:
    return values[index] if values else None


def _listed(value: object) -> list[object]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _picture_size(high: int, wide: int) -> dict[str, int]:
    if high == 0 or wide == 0:
        return {}
    return {"img_size": high} if high == wide else {"img_h": high, "img_w": wide}


def _in_front(head: _Head, blob: str, factor: float | None, depth: int | None) -> str:
    """Normalize, and a convolution in between, where they are asked for; what comes out."""
    net = head.net
    if factor is not None and factor != -1:
        net[f"{blob}_norm"] = layers.Normalize(
            net[blob], scale_filler={"type": "constant", "value": factor},
            across_spatial=False, channel_shared=False,
        )  # fmt: skip
        blob = f"{blob}_norm"
    if depth:
        head.conv(blob, f"{blob}_inter", depth, True, 3, 1)
        blob = f"{blob}_inter"
    return blob


def _prior_boxes(
    net: NetSpec, blob: str, data: str, priors: _Priors, flip: bool, common: Fields
) -> Top:
    if priors.max_sizes and len(priors.max_sizes) != len(priors.min_sizes):
        counts = f"{len(priors.max_sizes)} and {len(priors.min_sizes)}"
        raise bad(f"`max_sizes` and `min_sizes` of `{blob}` have the same length, not {counts}")
    fields = dict(common)
    if priors.max_sizes:
        fields["max_size"] = priors.max_sizes
    if priors.aspect_ratios:
        fields |= {"aspect_ratio": priors.aspect_ratios, "flip": flip}
    if priors.step:
        fields["step"] = priors.step
    name = f"{blob}_mbox_priorbox"
    net[name] = layers.PriorBox(net[blob], net[data], min_size=priors.min_sizes, **fields)
    made: Top = net[name]
    return made
