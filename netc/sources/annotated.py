"""AnnotatedData: pictures with boxes from a database, augmented as SSD's Caffe does it.

weiliu89/caffe@ssd src/caffe/layers/annotated_data_layer.cpp. A picture is distorted in colour,
expanded by a border, cropped by one of the samplers' crops, and then transformed as others are; its
boxes follow. That Caffe keeps pictures as JPEG between these steps, which loses a little each time;
here they stay as they were decoded. Pictures that are stored as bytes are treated alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from netc.ir.graph import Array
from netc.memory import on_behalf
from netc.sources.base import DataLayer, draws, stacked
from netc.sources.batches import check_room
from netc.sources.boxes import Annotation, Box
from netc.sources.database import DatabaseSource
from netc.sources.detection_augment import (
    FIELDS,
    read_distortion,
    read_emission,
    read_expansion,
)
from netc.sources.records import AnnotatedDatum, annotated_datum, record_of
from netc.sources.resize_policy import ResizePolicy, read_resize
from netc.sources.samplers import read_samplers
from netc.sources.transform import CroppedPicture, Pixels, Transform, read_transform

_NUMBERS = 8  # of a box in the label blob
_STEADY = 64  # boxes that the label blob is filled up to a multiple of
_PASSES = 10  # that go by before another resize policy is drawn
_NOTHING = -1.0  # every number of a row that is no box


class AnnotatedPicture(NamedTuple):
    """A picture, (channels, height, width), with its boxes."""

    pixels: Pixels
    boxes: Sequence[Annotation]


class Item(NamedTuple):
    """A picture as the net sees it, its boxes or its label, and its name."""

    values: Array
    boxes: Sequence[Annotation]
    label: int
    name: str


class AnnotatedSource(DatabaseSource):
    """An AnnotatedData layer of boxes; of labels, where the records have no boxes.

    The second top is (1, 1, boxes, 8): number of the picture in the batch, class, instance, xmin,
    ymin, xmax, ymax and difficult; where a batch has no box, one row of -1.
    """

    def __init__(self, source: DataLayer) -> None:
        super().__init__(source)
        self._distortion = read_distortion(source)
        self._expansion = read_expansion(source)
        self._samplers = read_samplers(source)
        self._emit = read_emission(source)
        self._policies = read_resize(source, several=True)
        own = source.layer.get("annotated_data_param").has("anno_type")
        self._of_boxes = own or self._datum(self._keys[0]).HasField("type")

    def _read_transform(self) -> Transform:
        return read_transform(self.layer, (*FIELDS, "resize_param"))

    def batch(self, position: int) -> Mapping[str, Array]:
        """The pictures and boxes of a pass; see :class:`netc.sources.base.DataSource`."""

        def read(record: int, place: int) -> Item:
            item = self._item(self._keys[record], position, place)
            if not place:
                check_room(self.layer, "data_param", self._size, item.values.nbytes)
            return item

        items = self._epochs.whole(position, self._size, self.layer, read)
        pictures = stacked([i.values for i in items], self.layer, [i.name for i in items])
        labels = np.array([item.label for item in items], np.float32)
        made = (pictures, _rows(items) if self._of_boxes else labels)
        return dict(zip(self.layer.tops, made, strict=False))

    def steady(self, batch: Mapping[str, Array]) -> Mapping[str, Array]:
        """The batch with rows of -1 behind its boxes, up to a multiple of 64."""
        _, *labels = self.layer.tops
        if not self._of_boxes or not labels:
            return batch
        rows = batch[labels[0]]
        filled = np.full((1, 1, -rows.shape[2] % _STEADY, _NUMBERS), _NOTHING, np.float32)
        return {**batch, labels[0]: np.concatenate([rows, filled], 2)}

    def _item(self, key: bytes, position: int, place: int) -> Item:
        what = self._name(key)
        with on_behalf(f"layer `{self.layer.name}`: {what}", self.layer.layer.span):
            datum = self._datum(key)
            record = record_of(datum.datum, what, self._transform)
            generator = draws(self.layer.seed, self.layer.name, position, place)
            picture = AnnotatedPicture(record.pixels, self._boxes(datum, what))
            picture = self._augmented(picture, what, generator)
            resize = self._policy(position)
            placed = replace(self._transform, resize=resize).placed(picture.pixels, what, generator)
        boxes = self._moved(picture, placed, resize)
        return Item(placed.values, boxes, record.label, what)

    def _policy(self, position: int) -> ResizePolicy | None:
        """How the pictures of a pass are resized.

        Of several policies one is drawn for each ten passes (eric612/MobileNet-YOLO,
        annotated_data_layer.cpp:223), so that nets see pictures of several sizes.
        """
        if len(self._policies) < 2:
            return self._policies[0] if self._policies else None
        weights = np.array([policy.weight for policy in self._policies])
        generator = draws(self.layer.seed, self.layer.name, position // _PASSES)
        drawn = generator.random() * weights.sum()
        return self._policies[int(np.searchsorted(np.cumsum(weights)[:-1], drawn, side="right"))]

    def _datum(self, key: bytes) -> AnnotatedDatum:
        datum = annotated_datum(self._database.value(key))
        if datum is None:
            message = f"{self._name(key)} is no AnnotatedDatum message"
            raise self.layer.fault("bad-record", message)
        return datum

    def _boxes(self, datum: AnnotatedDatum, what: str) -> list[Annotation]:
        if not self._of_boxes:
            return []
        own = self.layer.layer.get("annotated_data_param").has("anno_type")
        if not datum.HasField("type") and not own:
            raise self.layer.fault("bad-record", f"{what} has no type of annotation, as others do")
        found = []
        for group in datum.annotation_group:
            for one in group.annotation:
                sides = (one.bbox.xmin, one.bbox.ymin, one.bbox.xmax, one.bbox.ymax)
                if not np.isfinite(sides).all():
                    raise self.layer.fault("bad-record", f"{what} has a box of {sides}")
                box = Box(*map(np.float32, sides))
                hard = one.bbox.difficult
                found.append(Annotation(group.group_label, one.instance_id, box, hard))
        return found

    def _augmented(
        self, picture: AnnotatedPicture, what: str, generator: np.random.Generator
    ) -> AnnotatedPicture:
        """The picture distorted, expanded and cropped."""
        if self._distortion is None and self._expansion is None and not self._samplers:
            return picture
        pixels = self._transform.picture(picture.pixels, what)
        if self._distortion is not None:
            if len(pixels) != 3:
                message = f"{what} has {len(pixels)} channel, and `distort_param` needs 3"
                raise self.layer.fault("bad-record", message)
            pixels = self._distortion.apply(pixels, generator)
        picture = AnnotatedPicture(pixels, picture.boxes)
        if self._expansion is not None:
            picture = self._expanded(picture, what, generator)
        things = [one.box for one in picture.boxes]
        crops = [crop for one in self._samplers for crop in one.crops(things, generator)]
        if not crops:
            return picture
        return self._cropped(picture, crops[int(generator.integers(len(crops)))])

    def _expanded(
        self, picture: AnnotatedPicture, what: str, generator: np.random.Generator
    ) -> AnnotatedPicture:
        """The picture somewhere on a larger one of the mean's colour."""
        assert self._expansion is not None
        pixels = self._transform.picture(picture.pixels, what)
        made = self._expansion.apply(pixels, what, self._transform.values, generator)
        if made is None:
            return picture
        return AnnotatedPicture(made.pixels, self._on(picture.boxes, made.frame))

    def _cropped(self, picture: AnnotatedPicture, crop: Box) -> AnnotatedPicture:
        """The part of the picture within a crop, in whole pixels (CropImage)."""
        _, rows, columns = picture.pixels.shape
        crop = crop.clipped()
        xmin, xmax = crop.xmin * np.float32(columns), crop.xmax * np.float32(columns)
        ymin, ymax = crop.ymin * np.float32(rows), crop.ymax * np.float32(rows)
        left, top = min(int(xmin), columns - 1), min(int(ymin), rows - 1)
        wide, high = max(1, int(xmax - xmin)), max(1, int(ymax - ymin))
        part = picture.pixels[:, top : top + high, left : left + wide]
        return AnnotatedPicture(part, self._on(picture.boxes, crop))

    def _moved(
        self, picture: AnnotatedPicture, placed: CroppedPicture, resize: ResizePolicy | None
    ) -> list[Annotation]:
        """The boxes where the transformation has brought them (TransformAnnotation)."""
        _, rows, columns = picture.pixels.shape
        boxes = list(picture.boxes)
        if resize is not None:
            boxes = [one._replace(box=resize.box(one.box, rows, columns)) for one in boxes]
        (top, left), (high, wide) = placed.place, placed.size
        ends = (left, top, left + placed.values.shape[2], top + placed.values.shape[1])
        crop = Box(
            *(np.float32(e) / np.float32(s) for e, s in zip(ends, (wide, high) * 2, strict=True))
        )
        found = []
        for one in self._on(boxes, crop):
            box = one.box.mirrored if placed.mirrored else one.box
            if resize is not None:
                box = resize.extrapolated(box, rows, columns, crop)
            found.append(one._replace(box=box))
        return found

    def _on(self, boxes: Sequence[Annotation], crop: Box) -> list[Annotation]:
        """The boxes in parts of a crop, without those of which nothing, or too little, is left."""
        found = []
        for one in boxes:
            kept = self._emit is None or self._emit.keeps(one.box, crop)
            box = one.box.onto(crop) if kept else None
            if box is not None:
                found.append(one._replace(box=box))
        return found


def _rows(items: Sequence[Item]) -> Array:
    rows = [(place, *one.row) for place, item in enumerate(items) for one in item.boxes]
    found = np.array(rows or [(_NOTHING,) * _NUMBERS], np.float32)
    return found.reshape(1, 1, -1, _NUMBERS)
