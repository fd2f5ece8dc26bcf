"""``caffe.Classifier``: images to probabilities, over one crop or ten (pycaffe's classifier.py)."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np

import netc.compat.pycaffe.io as io
from netc.compat.pycaffe.errors import also
from netc.compat.pycaffe.mode import TEST
from netc.compat.pycaffe.net import Net
from netc.compat.pycaffe.resizing import resize_image
from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Array


def transformer_for(
    net: Net,
    mean: object,
    input_scale: float | None,
    raw_scale: float | None,
    channel_swap: Sequence[int] | None,
) -> io.Transformer:
    """How pictures, each (height, width, channels), become a net's first input."""
    in_ = net.inputs[0]
    made = io.Transformer({in_: net.blobs[in_].shape})
    made.set_transpose(in_, (2, 0, 1))
    if mean is not None:
        made.set_mean(in_, mean)
    if input_scale is not None:
        made.set_input_scale(in_, input_scale)
    if raw_scale is not None:
        made.set_raw_scale(in_, raw_scale)
    if channel_swap is not None:
        made.set_channel_swap(in_, channel_swap)
    return made


class Classifier(Net):
    """A net with its preprocessing.

    Args:
        model_file: path of a prototxt.
        pretrained_file: path of the weights.
        image_dims: height and width that images are brought to before they are cropped; None for
            the size of the net's input.
        mean: as :meth:`Transformer.set_mean` takes it.
        input_scale: multiplied at last.
        raw_scale: multiplied before the mean is subtracted.
        channel_swap: order of channels; (2, 1, 0) for nets that take BGR.
    """

    def __init__(
        self,
        model_file: str | PathLike[str],
        pretrained_file: str | PathLike[str],
        image_dims: Sequence[int] | None = None,
        mean: object = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
    ) -> None:
        super().__init__(model_file, TEST, weights=pretrained_file)
        self.transformer = transformer_for(self, mean, input_scale, raw_scale, channel_swap)
        in_ = self.inputs[0]
        self.crop_dims = np.array(self.blobs[in_].shape[2:])
        self.image_dims = self.crop_dims if image_dims is None else image_dims

    def predict(self, inputs: Sequence[object], oversample: bool = True) -> Array:
        """Probabilities of each image.

        Args:
            inputs: images, each (height, width, channels), as ``caffe.io.load_image`` gives them.
            oversample: whether to average over ten crops; else the centre's alone.

        Returns:
            float32 (images, classes).

        Raises:
            NetcError: image-too-small, bad-argument for images that do not fit together, and what
                ``forward`` raises.
        """
        if not len(inputs):
            error = NetcError(Diagnostic("bad-argument", "there are no images to predict"))
            raise also(error, IndexError)
        resized = io.stacked([resize_image(image, self.image_dims) for image in inputs])
        crops = io.oversample(resized, self.crop_dims) if oversample else self._centre(resized)
        in_ = self.inputs[0]
        fed: Any = np.stack([self.transformer.preprocess(in_, crop) for crop in crops])
        predictions = self.forward_all(None, **{in_: fed})[self.outputs[0]]
        if not oversample:
            return predictions
        return np.asarray(predictions.reshape(len(predictions) // 10, 10, -1).mean(1))

    def _centre(self, batch: Array) -> Array:
        height, width = (int(size) for size in self.crop_dims)
        io.check_crop(batch.shape[1:3], (height, width))
        y, x = (batch.shape[1] - height) // 2, (batch.shape[2] - width) // 2
        return batch[:, y : y + height, x : x + width]
