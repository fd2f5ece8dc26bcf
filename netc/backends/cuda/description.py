"""What ``netc devices`` tells of the GPUs, or of what is in the way of using one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from netc.backends.base import Description
from netc.backends.cuda.device import Facts
from netc.backends.cuda.devices import Missing, compiler_version, library_versions, listed


def describe() -> Description:
    """The GPUs, or the reason for which there is none, and what to do."""
    found = listed()
    if isinstance(found, Missing):
        return _missing((), found, ("cuda", f"none: {found.message}"))
    version = compiler_version()
    if isinstance(version, Missing):
        return _missing(found, version, ("", f"unusable: {version.message}"))
    versions = {"nvrtc": ".".join(map(str, version)), **library_versions()}
    listing = ", ".join(f"{name} {number}" for name, number in versions.items())
    return Description(
        {"devices": _facts(found), "versions": versions}, (*_lines(found), ("", listing))
    )


def _missing(found: Sequence[Facts], why: Missing, line: tuple[str, str]) -> Description:
    facts = {"devices": _facts(found), "missing": why.message, "help": list(why.help)}
    return Description(facts, (*_lines(found), line, *(("", text) for text in why.help)))


def _facts(found: Sequence[Facts]) -> list[dict[str, object]]:
    return [{"number": number, **asdict(facts)} for number, facts in enumerate(found)]


def _lines(found: Sequence[Facts]) -> tuple[tuple[str, str], ...]:
    return tuple((f"cuda:{number}", _line(facts)) for number, facts in enumerate(found))


def _line(facts: Facts) -> str:
    capability = ".".join(map(str, facts.capability))
    return (
        f"{facts.name}, compute capability {capability}, {facts.processors} multiprocessors, "
        f"{facts.memory / 2**30:.1f} GiB"
    )
