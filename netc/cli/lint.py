"""``netc lint``: reports what is valid in a net but probably a mistake."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field

from netc.analysis.lint import CODES, folded, lint
from netc.cli.arguments import add_shape_argument, add_state_arguments, add_text_arguments
from netc.cli.check import closing
from netc.cli.nets import net_message
from netc.cli.output import print_diagnostics, print_json, say
from netc.diagnostics import Diagnostic, NetcError, did_you_mean
from netc.frontend import build
from netc.schema.message import Message


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("files", nargs="*", metavar="FILE", help="prototxt; - is standard input")
    add_state_arguments(parser)
    parser.set_defaults(phase=None)
    add_lint_arguments(parser)
    parser.add_argument("--all", action="store_true", help="each note, also of many alike")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if there is any note")
    parser.add_argument("--list", action="store_true", help="tell all codes")
    add_shape_argument(parser)
    add_text_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def add_lint_arguments(parser: argparse.ArgumentParser) -> None:
    """``--only`` and ``--no-lint``: which lints."""
    parser.add_argument(
        "--only", metavar="CODE", type=code, action="append", default=[], help="repeatable"
    )
    parser.add_argument(
        "--no-lint", metavar="CODE", type=code, action="append", default=[], help="repeatable"
    )


def code(text: str) -> str:
    """A lint's code."""
    if text not in CODES:
        near = did_you_mean(text, CODES)
        hint = near[0] if near else "netc lint --list tells all codes"
        raise argparse.ArgumentTypeError(f"there is no lint `{text}`; {hint}")
    return text


@dataclass
class LintReport:
    """What was found in one file."""

    path: str
    diagnostics: list[Diagnostic] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing found is an error."""
        return not any(d.severity == "error" for d in self.diagnostics)

    @property
    def notes(self) -> int:
        """How many lints there are."""
        return sum(d.code in CODES for d in self.diagnostics)


def run(args: argparse.Namespace) -> int:
    """Lint each file; 1 if any has an error, or a note where none is wanted."""
    if args.list:
        _print_codes(args)
        return 0
    if not args.files:
        say("netc lint: error: the following arguments are required: FILE", stream=sys.stderr)
        return 2
    reports = [_report(path, args) for path in args.files]
    if args.json:
        files = [
            {"file": r.path, "ok": r.ok, "diagnostics": [d.to_json() for d in r.diagnostics]}
            for r in reports
        ]
        print_json({"ok": all(r.ok for r in reports), "files": files})
    else:
        for report in reports:
            found = report.diagnostics
            print_diagnostics(found if args.all else folded(found))
        say(closing([report.diagnostics for report in reports], always=("error", "note")))
    clean = all(report.ok and not (args.strict and report.notes) for report in reports)
    return 0 if clean else 1


def _print_codes(args: argparse.Namespace) -> None:
    if args.json:
        print_json(dict(CODES))
        return
    width = max(map(len, CODES))
    for name, summary in CODES.items():
        say(f"{name:{width}}  {summary}")


def _report(path: str, args: argparse.Namespace) -> LintReport:
    report = LintReport(path)
    try:
        message = net_message(path, args)
        for phase in [args.phase] if args.phase else ["TEST", "TRAIN"]:
            _lint_phase(message, phase, args, report)
    except NetcError as error:
        report.diagnostics += error.diagnostics
    return report


def _lint_phase(message: Message, phase: str, args: argparse.Namespace, report: LintReport) -> None:
    """Notes of one phase that another did not tell already, and errors."""
    given = dict(args.input_shape)
    built = build(message, phase=phase, level=args.level, stages=args.stage, inputs=given)
    errors = [d for d in built.diagnostics if d.severity == "error"]
    notes = lint(built.graph, built.messages, only=args.only, without=args.no_lint)
    reported = {(d.code, d.span) for d in report.diagnostics}
    report.diagnostics += [d for d in (*errors, *notes) if (d.code, d.span) not in reported]
