"""Texts of .proto files -> linked tables. Apart from load.py, so that a start from the cache does
not import Lark."""

from __future__ import annotations

from collections.abc import Sequence

from netc.diagnostics import Collector, Source
from netc.schema.declarations import ProtoFile
from netc.schema.link import link
from netc.schema.proto_file import parse_proto
from netc.schema.tables import SchemaTables


def link_texts(own: Sequence[Source], extra: Sequence[Source]) -> SchemaTables:
    """Parse and link .proto texts; see :func:`netc.schema.link.link`.

    Raises:
        NetcError: with the mistakes in all files.
    """
    collector = Collector()
    files: dict[str, list[ProtoFile]] = {"own": [], "extra": []}
    for kind, sources in (("own", own), ("extra", extra)):
        for source in sources:
            with collector.catching():
                files[kind].append(parse_proto(source))
    collector.check()
    return link(files["own"], files["extra"])
