"""``caffe_pb2``: Caffe's messages and the fields its forks added, for google.protobuf.

``caffe_pb2.NetParameter()`` and the rest work with ``google.protobuf.text_format``. The classes are
made from netc's schemas when they are first asked for.
"""

from __future__ import annotations

from typing import Any

import netc.compat.pycaffe.proto.descriptors as descriptors


def __getattr__(name: str) -> Any:
    """A message class, an enum, or a value of an enum that stands in no message.

    Descriptors too: ``DESCRIPTOR`` of the file, and ``_NETPARAMETER`` and the like of messages.
    """
    if name == "DESCRIPTOR":
        return descriptors.file()
    if name.startswith("_") and name.isupper():
        message = {own.upper(): own for own in descriptors.names()}.get(name[1:])
        return __getattr__(message or "__none").DESCRIPTOR
    found = None if name.startswith("__") else descriptors.find(name)
    if found is None:
        raise AttributeError(f"caffe_pb2 has no `{name}`")
    return found


def __dir__() -> list[str]:
    """The messages there are."""
    return descriptors.names()
