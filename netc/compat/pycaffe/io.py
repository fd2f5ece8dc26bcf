"""``caffe.io``: images, means and records as pycaffe's io.py has them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike

import numpy as np

import netc.compat.pycaffe.proto.caffe_pb2 as caffe_pb2
from netc import image_files
from netc.boundary import reason, strangers_bytes
from netc.compat.pycaffe.errors import also, raising
from netc.compat.pycaffe.resizing import resize_image
from netc.compat.pycaffe.transformer import Transformer
from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Array
from netc.ops.array import AnyArray
from netc.schema.protobuf import ProtobufMessage

__all__ = [
    "Transformer",
    "array_to_blobproto",
    "array_to_datum",
    "arraylist_to_blobprotovector_str",
    "blobproto_to_array",
    "blobprotovector_str_to_arraylist",
    "caffe_pb2",
    "datum_to_array",
    "load_image",
    "oversample",
    "resize_image",
]

_LUMINANCE = np.array([0.2125, 0.7154, 0.0721])  # scikit-image's weights, ITU-R BT.709


def load_image(filename: str | PathLike[str], color: bool = True) -> Array:
    """An image file as float32 (height, width, channels) from 0 to 1; RGB, or grey.

    A camera's note on which side is up is left out, as scikit-image does.

    Raises:
        NetcError: the file cannot be opened or is no image.
    """
    with raising(FileNotFoundError, ("missing-file",)):
        planes = image_files.load_image(filename, 3, upright=False)
    image = np.ascontiguousarray(planes.transpose(1, 2, 0))
    if color:
        return image
    return np.asarray((image @ _LUMINANCE)[:, :, np.newaxis], dtype=np.float32)


def oversample(images: AnyArray, crop_dims: AnyArray) -> Array:
    """Ten crops of each image: four corners, the centre, and these mirrored.

    Args:
        images: of one size, each (height, width, channels).
        crop_dims: height and width of the crops.

    Returns:
        float32 (10 * len(images), *crop_dims, channels).

    Raises:
        NetcError: image-too-small.
    """
    batch = stacked([np.asarray(image, dtype=np.float32) for image in images])
    height, width = (int(size) for size in crop_dims)
    down, right = batch.shape[1] - height, batch.shape[2] - width
    check_crop(batch.shape[1:3], (height, width))
    places = [(0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)]
    crops = np.stack([batch[:, y : y + height, x : x + width] for y, x in places], axis=1)
    ten = np.concatenate([crops, crops[:, :, :, ::-1]], axis=1)
    return ten.reshape(-1, *ten.shape[2:])


def stacked(images: Sequence[AnyArray]) -> Array:
    """Images as one array.

    Raises:
        NetcError: bad-argument, for none or such as have different shapes.
    """
    shapes = sorted({image.shape for image in images})
    if len(shapes) != 1 or len(shapes[0]) != 3:
        message = f"images are (height, width, channels), all of one shape, not {shapes or 'none'}"
        raise NetcError(Diagnostic("bad-argument", message))
    return np.stack(images)


def check_crop(size: Sequence[int], crop: Sequence[int]) -> None:
    """Refuse a crop that is larger than the image.

    Raises:
        NetcError: image-too-small.
    """
    if crop[0] > size[0] or crop[1] > size[1]:
        message = f"a crop of {crop[0]} by {crop[1]} does not fit in an image of {size[0]} by "
        raise also(NetcError(Diagnostic("image-too-small", f"{message}{size[1]}")), ValueError)


def blobproto_to_array(blob: ProtobufMessage, return_diff: bool = False) -> AnyArray:
    """The elements of a BlobProto, in its shape, old or new.

    Raises:
        NetcError: bad-blob, for another number of elements than the shape has.
    """
    data = np.array(blob.diff if return_diff else blob.data)
    if any(blob.HasField(name) for name in ("num", "channels", "height", "width")):
        shape: tuple[int, ...] = (blob.num, blob.channels, blob.height, blob.width)
    else:
        shape = tuple(blob.shape.dim)
    return _shaped(data, shape, "the blob")


def array_to_blobproto(arr: object, diff: object = None) -> ProtobufMessage:
    """A BlobProto with these elements, and these gradients where they are given."""
    array = np.asarray(arr)
    blob: ProtobufMessage = caffe_pb2.BlobProto()
    blob.shape.dim.extend(array.shape)
    blob.data.extend(array.astype(float).flat)
    if diff is not None:
        blob.diff.extend(np.asarray(diff).astype(float).flat)
    return blob


def arraylist_to_blobprotovector_str(arraylist: Iterable[object]) -> bytes:
    """Arrays as the bytes of a BlobProtoVector."""
    vector = caffe_pb2.BlobProtoVector()
    vector.blobs.extend([array_to_blobproto(array) for array in arraylist])
    return bytes(vector.SerializeToString())


def _no_vector(error: Exception) -> NetcError:
    message = f"the bytes are no BlobProtoVector: {reason(error)}"
    return also(NetcError(Diagnostic("bad-blob", message)), ValueError)


arraylist_to_blobprotovecor_str = arraylist_to_blobprotovector_str  # as pycaffe spells it


def blobprotovector_str_to_arraylist(str: bytes) -> list[AnyArray]:
    """The arrays in the bytes of a BlobProtoVector.

    Raises:
        NetcError: bad-blob, for bytes that are none, or for another number of elements.
    """
    vector = caffe_pb2.BlobProtoVector()
    with strangers_bytes(_no_vector):
        vector.ParseFromString(str)
    return [blobproto_to_array(blob) for blob in vector.blobs]


def array_to_datum(arr: object, label: int | None = None) -> ProtobufMessage:
    """A Datum with these elements: as bytes where they are uint8, else as floats.

    Raises:
        NetcError: bad-shape, for another number of axes than three.
    """
    array = np.asarray(arr)
    if array.ndim != 3:
        message = f"a datum has the axes (channels, height, width), the array has {array.shape}"
        raise also(NetcError(Diagnostic("bad-shape", message)), ValueError)
    datum: ProtobufMessage = caffe_pb2.Datum()
    datum.channels, datum.height, datum.width = array.shape
    if array.dtype == np.uint8:
        datum.data = array.tobytes()
    else:
        datum.float_data.extend(array.astype(float).flat)
    if label is not None:
        datum.label = label
    return datum


def datum_to_array(datum: ProtobufMessage) -> AnyArray:
    """The elements of a Datum, (channels, height, width): uint8, or float64 where it has floats.

    Raises:
        NetcError: bad-blob, for another number of elements, or for an encoded image.
    """
    if datum.encoded:
        help = "open datum.data with Pillow: Image.open(io.BytesIO(datum.data))"
        message = "the datum holds an encoded image, a .jpg or .png file's bytes"
        raise also(NetcError(Diagnostic("bad-blob", message, help=(help,))), ValueError)
    shape = (datum.channels, datum.height, datum.width)
    if len(datum.data):
        return _shaped(np.frombuffer(datum.data, dtype=np.uint8).copy(), shape, "the datum")
    return _shaped(np.array(datum.float_data, dtype=float), shape, "the datum")


def _shaped(data: AnyArray, shape: tuple[int, ...], what: str) -> AnyArray:
    try:
        return data.reshape(shape)
    except ValueError:
        message = f"{what} has {data.size} elements, and its shape is {shape}"
        raise also(NetcError(Diagnostic("bad-blob", message)), ValueError) from None
