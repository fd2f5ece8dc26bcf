"""What netc makes of public prototxt files, counted: ``python -m benchmarks.corpus``.

Where there is no corpus the texts of the golden cases are taken. Every net is checked in both
phases, as ``netc check`` does it. With ``--errors`` each error is shown, with ``--only TEXT`` those
of files whose path holds the text.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from netc.cli.texts import UpgradedText, upgraded_text
from netc.diagnostics import Diagnostic, NetcError, render
from netc.frontend import build
from netc.schema.bind import bind
from netc.schema.guess import guess_message
from netc.schema.load import load_schema
from netc.syntax.parser import parse_document
from netc.syntax.reader import read_source

ROOT = Path(__file__).resolve().parent.parent
PHASES = ("TEST", "TRAIN")


@dataclass(frozen=True)
class Row:
    """A file of the index: which schemas take its text."""

    file: str
    kind: str
    by_bvlc: bool
    by_fork: bool


@dataclass(frozen=True)
class Outcome:
    """What checking a file in a phase came to; ``bound`` is whether every field was known."""

    row: Row
    phase: str
    bound: bool
    diagnostics: tuple[Diagnostic, ...]
    crash: str = ""

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        """The diagnostics that are errors."""
        return tuple(d for d in self.diagnostics if d.severity == "error")

    @property
    def located(self) -> bool:
        """Whether each error says where."""
        return all(d.span is not None for d in self.errors)


def corpus_dir() -> Path:
    """Where the files are; they are not part of the project."""
    return Path(os.environ.get("NETC_CORPUS", ROOT.parent / "shared" / "corpus"))


def rows(corpus: Path) -> list[Row]:
    """The index."""
    with (corpus / "index.tsv").open(encoding="utf-8", newline="") as file:
        return [
            Row(
                row["file"],
                row["kind"],
                row["accepted_by_bvlc"] == "1",
                row["accepted_by"] not in ("-", ""),
            )
            for row in csv.DictReader(file, delimiter="\t")
        ]


def golden_rows() -> list[Row]:
    """The texts that every clone has: those of the golden cases, which Caffe has run."""
    paths = sorted((ROOT / "tests" / "golden").rglob("*.prototxt"))
    return [Row(str(path), "net", True, True) for path in paths]


def outcomes(corpus: Path, row: Row) -> Iterator[Outcome]:
    """A file checked in each phase."""
    bound = False
    try:
        document = parse_document(read_source(corpus / "files" / row.file))
        schema = load_schema()
        bind(document, guess_message(document, schema))
        bound = True
        text = upgraded_text(document, schema)
    except NetcError as error:
        yield from (Outcome(row, phase, bound, error.diagnostics) for phase in PHASES)
    except Exception:  # what no file may cause, and the tests look for
        yield from (Outcome(row, phase, bound, (), traceback.format_exc()) for phase in PHASES)
    else:
        yield from (_built(row, text, phase) for phase in PHASES)


def _built(row: Row, text: UpgradedText, phase: str) -> Outcome:
    if text.kind != "net":
        return Outcome(row, phase, True, ())
    try:
        return Outcome(row, phase, True, build(text.message, phase=phase).diagnostics)
    except Exception:  # a NetcError too, since mistakes are gathered and not raised
        return Outcome(row, phase, True, (), traceback.format_exc())


def all_outcomes(corpus: Path) -> list[Outcome]:
    """Every file of the index in both phases."""
    return [outcome for row in rows(corpus) for outcome in outcomes(corpus, row)]


def refused(path: Path) -> set[tuple[str, str]]:
    """File and phase of the nets whose text is fine and that BVLC Caffe itself stops at."""
    with path.open(encoding="utf-8", newline="") as file:
        return {(row["file"], row["phase"]) for row in csv.DictReader(file, delimiter="\t")}


def main() -> int:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--errors", action="store_true", help="show each error")
    parser.add_argument("--only", default="", metavar="TEXT", help="files whose path holds it")
    args = parser.parse_args()
    corpus = corpus_dir()
    if not corpus.is_dir():
        print(f"no corpus at {corpus} (set NETC_CORPUS): the golden cases instead", file=sys.stderr)
    listed = rows(corpus) if corpus.is_dir() else golden_rows()
    chosen = [row for row in listed if args.only in row.file]
    results = [outcome for row in chosen for outcome in outcomes(corpus, row)]
    known = refused(ROOT / "tests" / "golden" / "refused.tsv")
    if args.errors:
        for outcome in results:
            _show(outcome, (outcome.row.file, outcome.phase) in known)
    _counts(results, known)
    return 0


def _show(outcome: Outcome, known: bool) -> None:
    if outcome.crash or outcome.errors:
        who = "bvlc" if outcome.row.by_bvlc else "fork" if outcome.row.by_fork else "none"
        mark = " (Caffe refuses it too)" if known else ""
        print(f"--- {outcome.row.file} {outcome.phase} [{who}]{mark}")
        print(outcome.crash or "\n".join(map(render, outcome.errors)))


def _counts(results: list[Outcome], known: set[tuple[str, str]]) -> None:
    groups = {
        "taken by BVLC Caffe's schema": [o for o in results if o.row.by_bvlc],
        "taken by a fork's schema alone": [
            o for o in results if o.row.by_fork and not o.row.by_bvlc
        ],
        "taken by none": [o for o in results if not (o.row.by_bvlc or o.row.by_fork)],
    }
    print("a file counts once for each phase\n")
    print(f"{'':34} {'all':>6} {'bound':>6} {'no error':>9} {'refused':>8} {'crash':>6}")
    for name, group in groups.items():
        clean = sum(not o.errors and not o.crash for o in group)
        also = sum(bool(o.errors) and (o.row.file, o.phase) in known for o in group)
        crashes = sum(bool(o.crash) for o in group)
        bound = sum(o.bound for o in group)
        print(f"{name:34} {len(group):6} {bound:6} {clean:9} {also:8} {crashes:6}")
    print("\nrefused: by BVLC Caffe itself, which stops at these although their text is fine")
    unplaced = sum(not o.located for o in results)
    print(f"errors without a place: {unplaced}")
    codes = Counter(d.code for o in results for d in o.errors)
    print("errors: " + ", ".join(f"{code} {number}" for code, number in codes.most_common()))


if __name__ == "__main__":
    raise SystemExit(main())
