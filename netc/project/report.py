"""The report of a migration, as Markdown, as an HTML page, and as plain values."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterator, Mapping, Sequence

from netc.diagnostics import counted
from netc.printable import printable
from netc.project.found import ProjectFile
from netc.project.scripts import ScriptCall
from netc.version import __version__

_SECTIONS = (
    ("Nets", ("net",)),
    ("Solvers", ("solver",)),
    ("Weights", ("weights",)),
    ("Other files", ("label map", "other", "mean", "state", "text")),
    ("Scripts", ("script", "shell")),
)
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #1c2330; background: #fff; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; vertical-align: top;
  padding: .25rem .6rem; border-bottom: 1px solid #dde2ea; overflow-wrap: anywhere; }
td { min-width: 8rem; } td table td { min-width: 3rem; }
td > ul { padding-left: 1.1rem; margin: 0; }
code { font-size: .92em; } li { margin: .2rem 0; } .left { color: #b3261e; }
@media (prefers-color-scheme: dark) { body { color: #e5e9f0; background: #14181f; }
  th, td { border-color: #2c3340; } .left { color: #ff9b92; } }
"""


class MigrationReport:
    """What a migration found and did.

    Args:
        name: the project folder's name.
        items: the project's files.
        calls: script's name -> its calls of Caffe and OpenCV.
        notes: remarks about the whole project.
    """

    def __init__(
        self,
        name: str,
        items: Sequence[ProjectFile],
        calls: Mapping[str, Sequence[ScriptCall]],
        notes: Sequence[str],
    ) -> None:
        self.name, self.items, self.calls, self.notes = name, list(items), calls, list(notes)

    @property
    def left(self) -> list[tuple[str, str]]:
        """What the user still has to do: pairs of file and task."""
        found = [("", note) for note in self.notes]
        found += [(item.name, text) for item in self.items for text in item.left]
        for name, calls in self.calls.items():
            lacking = dict.fromkeys(call.written for call in calls if not call.works)
            found += [
                (name, f"{', '.join(f'`{c}`' for c in lacking)}: write it in another way")
            ] * bool(lacking)
        return found

    def facts(self) -> dict[str, object]:
        """The whole report as plain values."""
        return {
            "project": self.name,
            "netc": __version__,
            "files": [
                {
                    "file": item.name,
                    "kind": item.kind,
                    "readable": not item.failed,
                    "found": item.told,
                    "written": item.written,
                    "left": item.left,
                }
                for item in self.items
            ],
            "calls": {
                name: [call._asdict() for call in calls] for name, calls in self.calls.items()
            },
            "left": [{"file": file, "what": what} for file, what in self.left],
        }

    def summary(self) -> list[str]:
        """A summary of a few lines: how many files, and what became of them."""
        kinds = {
            kind: [i for i in self.items if i.kind == kind] for _, ks in _SECTIONS for kind in ks
        }
        calls = [call for each in self.calls.values() for call in each]
        models = [w for item in self.items for w in item.written if w.endswith(".onnx")]
        broken = [item for item in self.items if item.failed]
        lines = [
            f"{counted(len(kinds['net']), 'net')}, {counted(len(kinds['solver']), 'solver')}, "
            f"{counted(len(kinds['weights']), 'weights file')}, "
            f"{counted(len(kinds['script']) + len(kinds['shell']), 'script')} read",
            f"{counted(len(models), 'ONNX model')} with certificates",
            f"{counted(len(calls), 'call')} of Caffe and cv2.dnn, of which "
            f"{sum(call.works for call in calls)} work in netc",
        ]
        if broken:
            lines.append(f"{counted(len(broken), 'file')} could not be read")
        return lines

    def markdown(self) -> str:
        """The report as Markdown; file names and contents are escaped."""
        lines = [f"# {_md(self.name)}: out of Caffe", ""]
        lines += [f"* {line}" for line in self.summary()]
        lines += ["", "## Left for a person", ""]
        lines += [f"* {_place(f)}{_md(what)}" for f, what in self.left] or ["Nothing."]
        for title, kinds in _SECTIONS:
            lines += self._section(title, [item for item in self.items if item.kind in kinds])
        return "\n".join(lines) + f"\n\nMade by netc {__version__}.\n"

    def _section(self, title: str, items: Sequence[ProjectFile]) -> Iterator[str]:
        if not items:
            return
        yield from ("", f"## {title}", "")
        for item in items:
            yield f"* **{_md(item.name)}**: {_md('; '.join(item.told) or 'could not be read')}"
            yield from (f"  * wrote {_md(path)}" for path in item.written)
            yield from (f"  * left: {_md(text)}" for text in item.left)
            calls = self.calls.get(item.name, ())
            if calls:
                yield from ("", "  | line | written | becomes |", "  |---|---|---|")
                yield from (
                    f"  | {c.line} | {_cell(c.written)} | {_cell(c.becomes)} |" for c in calls
                )
                yield ""

    def page(self) -> str:
        """The report as a self-contained HTML page, without scripts or requests."""
        digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode("ascii")
        policy = f"default-src 'none'; style-src 'sha256-{digest}'"
        body = [f"<h1>{_text(self.name)}: out of Caffe</h1>", _items(self.summary())]
        body.append("<h2>Left for a person</h2>")
        left = [f"{f}: {what}" if f else what for f, what in self.left]
        body.append(_items(left, "left") if left else "<p>Nothing.</p>")
        for title, kinds in _SECTIONS:
            body += self._html(title, [item for item in self.items if item.kind in kinds])
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{_text(self.name)} - netc migrate</title>\n<style>{_STYLE}</style></head>\n"
            "<body>"
            + "\n".join(body)
            + f"\n<p>Made by netc {_text(__version__)}.</p></body></html>\n"
        )

    def _html(self, title: str, items: Sequence[ProjectFile]) -> Iterator[str]:
        if not items:
            return
        yield f"<h2>{title}</h2>\n<table><tr><th>file</th><th>found</th><th>written</th></tr>"
        for item in items:
            told = _items(item.told) + (_items(item.left, "left") if item.left else "")
            calls = self.calls.get(item.name, ())
            if calls:
                rows = "".join(
                    f"<tr><td>{c.line}</td><td><code>{_text(c.written)}</code></td>"
                    f"<td{'' if c.works else ' class=left'}>{_text(c.becomes)}</td></tr>"
                    for c in calls
                )
                told += (
                    f"<table><tr><th>line</th><th>written</th><th>becomes</th></tr>{rows}</table>"
                )
            written = _items(item.written)
            yield f"<tr><td>{_text(item.name)}</td><td>{told}</td><td>{written}</td></tr>"
        yield "</table>"


def _items(texts: Sequence[str], kind: str = "") -> str:
    if not texts:
        return ""
    label = f' class="{kind}"' if kind else ""
    return f"<ul{label}>" + "".join(f"<li>{_text(text)}</li>" for text in texts) + "</ul>"


def _text(value: object) -> str:
    return html.escape(printable(str(value)))


def _place(name: str) -> str:
    return f"{_md(name)}: " if name else ""


def _md(text: str) -> str:
    """A text whose angle brackets, stars and links are no markup; code in backticks stays."""
    parts = printable(text).split("`")
    plain = [
        part if at % 2 and at < len(parts) - 1 else _escaped(part) for at, part in enumerate(parts)
    ]
    return "`".join(plain)


def _escaped(text: str) -> str:
    for char in "\\*[]<>|":
        text = text.replace(char, f"\\{char}")
    return text


def _cell(text: str) -> str:
    code = printable(text).replace("`", "'").replace("|", "\\|")
    return f"`{code}`"
