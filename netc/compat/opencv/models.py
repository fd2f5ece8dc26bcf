"""OpenCV's model classes: a net with preprocessing of pictures and postprocessing of outputs.

modules/dnn/src/model.cpp of OpenCV 4: ``Model``, ``ClassificationModel``, ``DetectionModel``,
``SegmentationModel`` and ``KeypointsModel``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netc.compat.opencv.images import blobFromImage
from netc.compat.opencv.net import Net
from netc.compat.opencv.reading import readNet
from netc.diagnostics import Diagnostic, NetcError
from netc.ops.array import AnyArray
from netc.ops.detection.detection_output import DetectionOutputParams

_Model = TypeVar("_Model", bound="Model")
_IMAGE_INFO, _IMAGE_SCALE = "im_info", 1.6  # what OpenCV tells a net of the R-CNN family
_SMALLEST_IN_PIXELS = 2  # boxes that are no wider are taken for parts of the image


class Model:
    """A net with preprocessing.

    Args:
        model: a :class:`Net`, or the path of the weights or of the text.
        config: the other of the two paths.

    Raises:
        NetcError: as :func:`readNet`.
    """

    def __init__(self, model: Any, config: Any = "") -> None:
        self._net = model if isinstance(model, Net) else readNet(model, config)
        self._scale = 1.0
        self._mean: object = ()
        self._swap, self._crop = False, False
        self._outputs: tuple[str, ...] = self._net.getUnconnectedOutLayersNames()
        self._size = self._own_size()

    def _own_size(self) -> tuple[int, int]:
        shapes = [self._net._graph.values[name].shape for name in self._net._inputs]
        first = shapes[0] if shapes else None
        return (first[3], first[2]) if first is not None and len(first) == 4 else (0, 0)

    def setInputSize(self: _Model, *size: int | Sequence[int]) -> _Model:
        """Width and height of the input, as a pair or as two numbers."""
        width, height = np.asarray(size).reshape(-1)
        self._size = int(width), int(height)
        return self

    def setInputMean(self: _Model, mean: object) -> _Model:
        """Set what is subtracted from the channels: one number, or one for each."""
        self._mean = mean
        return self

    def setInputScale(self: _Model, scale: ArrayLike) -> _Model:
        """Set the factor applied after the mean is subtracted."""
        self._scale = float(np.asarray(scale, np.float64).reshape(-1)[0])
        return self

    def setInputCrop(self: _Model, crop: bool) -> _Model:
        """Set whether a picture keeps its aspect ratio and is cropped at its centre."""
        self._crop = bool(crop)
        return self

    def setInputSwapRB(self: _Model, swapRB: bool) -> _Model:
        """Set whether the first and the third channel are swapped."""
        self._swap = bool(swapRB)
        return self

    def setInputParams(
        self,
        scale: float = 1.0,
        size: Sequence[int] = (0, 0),
        mean: object = (),
        swapRB: bool = False,
        crop: bool = False,
    ) -> None:
        """Set scale, size, mean, swapRB and crop at once."""
        self.setInputSize(size).setInputMean(mean).setInputScale(scale)
        self.setInputSwapRB(swapRB).setInputCrop(crop)

    def setOutputNames(self: _Model, outNames: Sequence[str]) -> _Model:
        """The layers whose outputs are asked for."""
        self._outputs = tuple(outNames)
        return self

    def setPreferableBackend(self: _Model, backendId: int) -> _Model:
        """See :meth:`Net.setPreferableBackend`."""
        self._net.setPreferableBackend(backendId)
        return self

    def setPreferableTarget(self: _Model, targetId: int) -> _Model:
        """See :meth:`Net.setPreferableTarget`."""
        self._net.setPreferableTarget(targetId)
        return self

    def enableWinograd(self: _Model, useWinograd: bool) -> _Model:
        """Has no effect: netc chooses its algorithms."""
        return self

    def getNetwork_(self) -> Net:
        """The net (OpenCV's Python has this name for it)."""
        return self._net

    def predict(self, frame: ArrayLike) -> tuple[AnyArray, ...]:
        """The outputs for a picture.

        Raises:
            NetcError: bad-argument, where the input's size is not known.
        """
        if min(self._size) < 1:
            text = "the size of the model's input is not known; setInputSize says it"
            raise NetcError(Diagnostic("bad-argument", text))
        blob = blobFromImage(frame, self._scale, self._size, self._mean, self._swap, self._crop)
        others = [name for name in self._net._inputs if name == _IMAGE_INFO]
        if others:
            data = next(name for name in self._net._inputs if name != _IMAGE_INFO)
            self._net.setInput(blob, data)
            info = [[self._size[1], self._size[0], _IMAGE_SCALE]]
            self._net.setInput(np.array(info, np.float32), _IMAGE_INFO)
        else:
            self._net.setInput(blob)
        return tuple(self._net.forward(self._outputs))

    def _only(self, frame: ArrayLike) -> AnyArray:
        found = self.predict(frame)
        if len(found) != 1:
            text = f"one output is wanted, and the net has {len(found)}; setOutputNames chooses"
            raise NetcError(Diagnostic("bad-argument", text))
        return found[0]


class ClassificationModel(Model):
    """Classifies pictures."""

    _softmax = False

    def setEnableSoftmaxPostProcessing(self, enable: bool) -> ClassificationModel:
        """Set whether a softmax is applied to the output scores."""
        self._softmax = bool(enable)
        return self

    def getEnableSoftmaxPostProcessing(self) -> bool:
        """Whether a softmax is applied to the output scores."""
        return self._softmax

    def classify(self, frame: ArrayLike) -> tuple[int, float]:
        """The class with the highest confidence (the first of equal ones), and its confidence."""
        scores = self._only(frame).reshape(-1)
        if self._softmax:
            scores = np.exp(scores - scores.max())
            scores = scores / scores.sum()
        best = int(scores.argmax())
        return best, float(scores[best])


class SegmentationModel(Model):
    """Finds the class of each pixel."""

    def segment(self, frame: ArrayLike) -> NDArray[np.uint8]:
        """The channel with the highest score at each position: uint8 (rows, columns)."""
        mask: NDArray[np.uint8] = self._only(frame)[0].argmax(axis=0).astype(np.uint8)
        return mask


class KeypointsModel(Model):
    """Finds keypoints, such as joints."""

    def estimate(self, frame: ArrayLike, thresh: float = 0.5) -> NDArray[np.float32]:
        """x and y of each keypoint in the picture's pixels: float32 (points, 2).

        For an output of heat maps it is the position of a map's maximum, or -1 where that is not
        above ``thresh``; the last map is the background. Any other output has coordinates already.
        """
        output = self._only(frame)
        if output.ndim != 4:
            return np.ascontiguousarray(output.reshape(output.shape[1], -1)[:, :2], np.float32)
        maps = output[0, :-1]
        rows, columns = maps.shape[1:]
        flat = maps.reshape(len(maps), -1)
        places = flat.argmax(axis=1)
        points = np.stack([places % columns, places // columns], axis=1).astype(np.float32)
        height, width = np.asarray(frame).shape[:2]
        points *= np.array([width / np.float32(columns), height / np.float32(rows)], np.float32)
        points[~(flat.max(axis=1) > thresh)] = -1
        return points


# Classes, confidences and boxes; empty tuples where there are none.
Detected = tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]
Nothing = tuple[tuple[()], tuple[()], tuple[()]]


class DetectionModel(Model):
    """Boxes of a net that ends with DetectionOutput."""

    _across = False

    def setNmsAcrossClasses(self, value: bool) -> DetectionModel:
        """Stored, but without effect for nets that end with DetectionOutput."""
        self._across = bool(value)
        return self

    def getNmsAcrossClasses(self) -> bool:
        """The value set by ``setNmsAcrossClasses``."""
        return self._across

    def detect(
        self, frame: ArrayLike, confThreshold: float = 0.5, nmsThreshold: float = 0.0
    ) -> Detected | Nothing:
        """Classes, confidences and boxes (x, y, width, height) in the picture's pixels.

        Args:
            frame: the picture.
            confThreshold: the smallest confidence.
            nmsThreshold: ignored, as in OpenCV for such a net: DetectionOutput has applied
                non-maximum suppression already.

        Returns:
            int32 (n,), float32 (n,) and int32 (n, 4); three empty tuples where nothing is found.

        Raises:
            NetcError: bad-argument, for a net that ends otherwise.
        """
        found = self.predict(frame)
        last = self._net._graph.nodes[-1]
        if not isinstance(last.params, DetectionOutputParams):
            text = f"the net's last layer is {last.op}, and DetectionModel reads DetectionOutput's"
            raise NetcError(Diagnostic("bad-argument", text))
        height, width = np.asarray(frame).shape[:2]
        if _IMAGE_INFO in self._net._inputs:
            width, height = self._size
        rows = np.concatenate([blob.reshape(-1, 7) for blob in found])
        rows = rows[(rows[:, 2] >= np.float32(confThreshold)) & (rows[:, 0] >= 0)]
        boxes = _pixel_boxes(rows[:, 3:], width, height)
        labels, scores = rows[:, 1].astype(np.int32), rows[:, 2].astype(np.float32)
        return (labels, scores, boxes) if len(labels) else ((), (), ())


def _pixel_boxes(corners: AnyArray, width: int, height: int) -> NDArray[np.int32]:
    """Left, top, width and height within the image; corners may be parts of the image."""
    size = np.array([width, height])
    boxes = []
    for row in corners:
        whole = np.trunc(row).astype(np.int64)
        if (whole[2:] - whole[:2] + 1 <= _SMALLEST_IN_PIXELS).any():
            whole = np.trunc(row * np.tile(size, 2).astype(np.float32)).astype(np.int64)
        sides = whole[2:] - whole[:2] + 1
        low = np.clip(whole[:2], 0, size - 1)
        boxes.append(np.concatenate([low, np.maximum(1, np.minimum(sides, size - low))]))
    return np.array(boxes, np.int32).reshape(-1, 4)
