"""``netc migrate``: an old project in one go."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from netc.cli.arguments import add_schema_argument, add_shape_argument
from netc.cli.files import write_text
from netc.cli.output import print_json, say
from netc.cli.progress import bar
from netc.diagnostics import Diagnostic, NetcError, counted
from netc.project.migrate import migrate
from netc.project.report import MigrationReport

_SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Find the texts, solvers, weights and scripts of a project; upgrade texts and weights, "
        "derive deploy nets, export nets with weights as ONNX models with certificates, list what "
        "each call of Caffe and cv2.dnn becomes, and write a report with what is left for a "
        "person. The project is only read; all that is made goes to OUT."
    )
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="the project's folder")
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        type=Path,
        required=True,
        help="a folder that is empty or not there yet",
    )
    add_shape_argument(parser)
    add_schema_argument(parser)
    parser.add_argument("--no-onnx", action="store_true", help="export no models")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(args: argparse.Namespace) -> int:
    """Migrate, write the report, tell the main of it."""
    out: Path = args.output
    if out.exists() and (not out.is_dir() or any(out.iterdir())) and not args.force:
        message = f"`{out}` exists and is not an empty folder"
        help = "name another, or give --force to write into it"
        raise NetcError(Diagnostic("file-exists", message, help=(help,)))
    with bar("migrating") as progress:
        report = migrate(
            args.folder, out, onnx=not args.no_onnx, sizes=dict(args.input_shape), progress=progress
        )
    out.mkdir(parents=True, exist_ok=True)
    files = [out / f"report.{suffix}" for suffix in ("md", "html", "json")]
    texts = (report.markdown(), report.page(), json.dumps(report.facts(), indent=1) + "\n")
    for path, text in zip(files, texts, strict=True):
        write_text(path, text)
    if args.json:
        print_json(report.facts())
    else:
        _print_report(report, out)
    return 0


def _print_report(report: MigrationReport, out: Path) -> None:
    say(*report.summary())
    left = report.left
    for file, what in left[:_SHOWN]:
        say(f"left: {file}: {what}" if file else f"left: {what}")
    if len(left) > _SHOWN:
        say(f"... and {len(left) - _SHOWN} more in {out / 'report.md'}")
    say(f"wrote {out}: report.md, report.html; {counted(len(left), 'thing')} left for a person")
