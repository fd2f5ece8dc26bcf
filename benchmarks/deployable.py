"""Of how many public training nets ``netc deploy`` writes the net for inference:
``python -m benchmarks.deployable``.

Each training net of the corpus (``NETC_CORPUS``), or of ``--folder``, is deployed without
``--input-shape``, as the command does it: written, asked for a size, or refused. Where a size is
asked for, the command that the message tells is tried. Nets that no Caffe runs
(benchmarks/broken.py) do not count.
"""

from __future__ import annotations

import argparse
import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.broken import BROKEN
from benchmarks.corpus import corpus_dir
from benchmarks.fork_nets import tasks, tasks_below
from netc.cli.arguments import blob_shape
from netc.diagnostics import Diagnostic, NetcError, NetcWarning
from netc.frontend import read_net, runnable
from netc.ir.types import Shape
from netc.schema.message import Message
from netc.surgery.deploy_file import deploy_file

WRITTEN, ANSWERED, ASKED = "written", "asked, with a command that works", "asked, without one"
OPTION = re.compile(r"--input-shape (\S+=\d+(?:,\d+)*)(?= |$)")


@dataclass(frozen=True)
class Outcome:
    """What became of a training net: one of the words above, or an error's code."""

    name: str
    became: str
    diagnostic: Diagnostic | None = None


def deployed(path: Path, name: str) -> Outcome:
    """What ``netc deploy`` makes of a text."""
    try:
        message = read_net(path).message
    except NetcError as error:
        return Outcome(name, f"not read: {error.diagnostics[0].code}", error.diagnostics[0])
    fault = _error(path, message, {})
    if fault is None:
        return Outcome(name, WRITTEN)
    if fault.code != "unknown-input-shape":
        return Outcome(name, f"refused: {fault.code}", fault)
    told = dict(blob_shape(found) for text in fault.help for found in OPTION.findall(text))
    works = told and _error(path, message, told) is None
    return Outcome(name, ANSWERED if works else ASKED, fault)


def _error(path: Path, message: Message, inputs: dict[str, Shape]) -> Diagnostic | None:
    """The first error of deploying a net; None where there is none."""
    try:
        made, _ = deploy_file(path, message, inputs=inputs)
        runnable(made.built)
    except NetcError as error:
        return error.diagnostics[0]
    return None


def outcomes(args: argparse.Namespace) -> Iterator[Outcome]:
    """The outcomes of all training nets whose names hold the text of ``--only``."""
    listed = tasks_below if args.folder else tasks
    for task in listed(args.folder or corpus_dir(), args.only):
        if task.trained and task.name not in BROKEN:
            yield deployed(task.path, task.name)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--folder", type=Path, help="the nets among all texts below it")
    parser.add_argument("--only", default="", metavar="TEXT", help="names that hold it")
    parser.add_argument("--show", action="store_true", help="show each net that is not written")
    args = parser.parse_args()
    warnings.simplefilter("ignore", NetcWarning)
    if not (args.folder or corpus_dir()).is_dir():
        print(f"no corpus at {corpus_dir()}; set NETC_CORPUS", file=sys.stderr)
        return 1
    found = list(outcomes(args))
    for outcome in found if args.show else ():
        if outcome.diagnostic is not None:
            told = " / ".join((outcome.diagnostic.message, *outcome.diagnostic.help))
            print(f"{outcome.name}: {outcome.became}: {told}")
    for became, number in Counter(outcome.became for outcome in found).most_common():
        print(f"{became:48} {number:4}")
    print(f"{'all':48} {len(found):4}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
