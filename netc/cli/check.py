"""``netc check``: reports the mistakes in texts."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from netc.cli.arguments import (
    add_shape_argument,
    add_state_arguments,
    add_text_arguments,
    chosen_state,
)
from netc.cli.output import print_diagnostics, print_json, say
from netc.cli.texts import STDIN, UpgradedText, left_out, read_text
from netc.diagnostics import Diagnostic, NetcError, Severity, counted
from netc.ir.graph import Graph
from netc.migrate.change import Change
from netc.schema.message import Message
from netc.syntax.parser import collection_paused


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="prototxt; - is standard input")
    add_state_arguments(parser)
    add_shape_argument(parser)
    add_text_arguments(parser)
    parser.add_argument(
        "--lint", action="store_true", help="tell also what is legal and likely not meant"
    )
    parser.add_argument(
        "--no-lint",
        metavar="CODE",
        action="append",
        default=[],
        help="leave a lint out (netc lint --list tells the codes); repeatable",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


@dataclass
class CheckReport:
    """What is known of one file when it has been checked."""

    path: str
    kind: str = ""
    changes: tuple[Change, ...] = ()
    layers: tuple[Message, ...] = ()
    graph: Graph | None = None
    diagnostics: list[Diagnostic] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing found is an error."""
        return not any(d.severity == "error" for d in self.diagnostics)


def run(args: argparse.Namespace) -> int:
    """Check each file; 1 if any has an error."""
    reports = []
    for path in args.files:
        report = check(path, args)
        reports.append(report)
        if not args.json:
            print_diagnostics(_reported(report, args))
            _print_summary(report, args)
    if args.json:
        print_json({"ok": all(r.ok for r in reports), "files": [_as_json(r) for r in reports]})
    else:
        say(closing([report.diagnostics for report in reports]))
    return 0 if all(report.ok for report in reports) else 1


def check(path: str, args: argparse.Namespace) -> CheckReport:
    """Read, bind and upgrade a text; of a net infer the shapes in the state that is asked for."""
    report = CheckReport(_shown(path))
    try:
        with collection_paused():
            text = read_text(path, args)
            report.kind, report.changes = text.kind, text.changes
            report.diagnostics += left_out(text.changes)
            if text.kind == "net":
                _check_net(text, args, report)
    except NetcError as error:
        report.diagnostics += error.diagnostics
    return report


def _check_net(text: UpgradedText, args: argparse.Namespace, report: CheckReport) -> None:
    # Layers and their shape rules are not needed to check a solver, and take a while to import.
    from netc.analysis.given_back import nothing_back
    from netc.frontend import build

    built = build(text.message, **chosen_state(args), inputs=dict(args.input_shape))
    report.layers, report.graph = built.layers, built.graph
    report.diagnostics += built.diagnostics
    if report.ok:
        report.diagnostics += nothing_back(built.graph)
    if args.lint:
        from netc.analysis.lint import lint

        report.diagnostics += lint(built.graph, built.messages, without=args.no_lint)


def _reported(report: CheckReport, args: argparse.Namespace) -> list[Diagnostic]:
    if not args.lint:
        return report.diagnostics
    from netc.analysis.lint import folded

    return folded(report.diagnostics)


def _shown(path: str) -> str:
    return "<stdin>" if path == STDIN else path


def _print_summary(report: CheckReport, args: argparse.Namespace) -> None:
    """What a file is, in a line, for a person; a program has the closing line."""
    if not report.ok or not sys.stdout.isatty():
        return
    what = f"a {report.kind}"
    if report.kind == "net":
        what = f"{counted(len(report.layers), 'layer')} in phase {args.phase}"
    old = ", of an older format" if report.changes else ""
    say(f"{report.path}: ok: {what}{old}")


def closing(files: Sequence[Sequence[Diagnostic]], always: Sequence[str] = ("error",)) -> str:
    """How many files there were and what was found in them, as in ``3 files: no errors``.

    Args:
        files: of each what was found.
        always: severities that are told where there is none of them.
    """
    found = Counter(d.severity for diagnostics in files for d in diagnostics)
    severities: tuple[Severity, ...] = ("error", "warning", "note")
    reported = [
        counted(found[kind], kind) if found[kind] else f"no {kind}s"
        for kind in severities
        if found[kind] or kind in always
    ]
    return f"{counted(len(files), 'file')}: {', '.join(reported)}"


def _as_json(report: CheckReport) -> dict[str, object]:
    out: dict[str, object] = {"file": report.path, "ok": report.ok, "kind": report.kind}
    if report.graph is not None:
        graph = report.graph
        out["phase"] = graph.phase
        out["layers"] = [
            {"name": layer.get("name"), "type": layer.get("type")} for layer in report.layers
        ]
        out["inputs"] = {blob: _shape(graph, name) for blob, name in graph.input_blobs.items()}
        out["outputs"] = {name: _shape(graph, name) for name in graph.outputs}
    out["changes"] = [change_json(change) for change in report.changes]
    out["diagnostics"] = [d.to_json() for d in report.diagnostics]
    return out


def _shape(graph: Graph, name: str) -> list[int] | None:
    shape = graph.values[name].shape
    return None if shape is None else list(shape)


def change_json(change: Change) -> dict[str, object]:
    """A change as plain values."""
    out: dict[str, object] = {"step": change.step, "message": change.message}
    if change.span is not None:
        out |= {"line": change.span.line, "column": change.span.column}
    return out | ({"left_out": True} if change.lossy else {})
