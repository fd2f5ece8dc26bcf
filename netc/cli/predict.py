"""``netc predict``: a net on all that a source holds, with answers in a file or a folder."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from netc.backends.registry import on_host
from netc.cli.arguments import (
    add_precision_argument,
    add_shape_argument,
    add_state_arguments,
    add_text_arguments,
    chosen_state,
    reading,
)
from netc.cli.numbers import above_zero, finite, natural, positive
from netc.cli.options import add_backend_argument
from netc.cli.output import print_diagnostics, print_json, report_broken, say
from netc.cli.progress import compiling
from netc.cli.results import read_labels
from netc.cli.run import add_image_arguments, no_weights
from netc.diagnostics import Diagnostic, NetcError, counted, did_you_mean
from netc.predict.formats.catalog import BY_SUFFIX, FORMATS
from netc.predict.job import Done, Job
from netc.predict.local import run_local
from netc.predict.plan import PredictRequest, planned
from netc.predict.predictor import Predictor
from netc.predict.prepare import ImageOptions
from netc.predict.store import Run, Summary

_BATCH = 32
_SECONDS = 30  # between lines of progress where there is no terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Run a net on a folder of images, a list, a database or arrays, and write the best scores, "
        "boxes or any blobs. A run that was stopped goes on where it was; inputs that cannot be "
        "read are listed and left out."
    )
    parser.add_argument("net", metavar="NET", help="prototxt")
    parser.add_argument("-w", "--weights", metavar="FILE", help=".caffemodel, .h5 or .npz")
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a folder of images and of folders of them, a pattern in quotes, a .txt list of "
        "files, an LMDB or LevelDB, an .npz, .h5, .parquet or .tar file, or a folder of such",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        required=True,
        help=f"one file ({', '.join(BY_SUFFIX)}), or a folder of shards",
    )
    parser.add_argument(
        "--format", choices=tuple(FORMATS), help="of a folder's shards (default: jsonl)"
    )
    _add_answer_arguments(parser)
    add_image_arguments(parser)
    _add_run_arguments(parser)
    _add_cluster_arguments(parser)
    parser.add_argument("--fill-missing", action="store_true", help="fill layers without weights")
    add_state_arguments(parser)
    add_shape_argument(parser)
    add_text_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def _add_answer_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("answers")
    group.add_argument("--top", metavar="K", type=natural, help="best scores kept (default: 5)")
    group.add_argument(
        "--labels", metavar="FILE", help="one label a line, or a LabelMap (.prototxt)"
    )
    group.add_argument(
        "--blob",
        metavar="BLOB",
        action="append",
        default=[],
        help="keep this blob's values, and not the net's outputs unless --top is given; repeatable",
    )
    group.add_argument(
        "--threshold", metavar="X", type=finite, default=0.0, help="least score of boxes kept"
    )
    group.add_argument(
        "--augment",
        choices=("none", "flip", "ten-crop"),
        help="the mean of an image and its mirror image, or of ten crops",
    )
    group.add_argument(
        "--ensemble",
        metavar=("NET", "WEIGHTS"),
        nargs=2,
        action="append",
        default=[],
        help="a further net, the mean of whose answers is taken; repeatable",
    )
    group.add_argument(
        "--dense",
        action="store_true",
        help="run the net on whole images of the size of --resize, as a fully convolutional one, "
        "and take the mean over places",
    )


def _add_run_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("running")
    group.add_argument("--column", metavar="NAME", help="of Parquet files, which is the input")
    group.add_argument("--batch", metavar="N", type=positive, default=_BATCH, help="default: 32")
    group.add_argument(
        "--shard-rows",
        metavar="N",
        type=positive,
        help="records of a shard (default: up to 4096)",
    )
    group.add_argument("--strict", action="store_true", help="stop at an input that is broken")
    group.add_argument(
        "--restart", action="store_true", help="begin anew, where there is output of another run"
    )
    add_backend_argument(group)
    add_precision_argument(group)  # type: ignore[arg-type]
    group.add_argument("--threads", type=positive, metavar="N", help="default: the cores")
    group.add_argument(
        "--decoders", type=positive, metavar="N", help="threads that decode (default: the cores)"
    )


def _add_cluster_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("on a cluster")
    group.add_argument("--on", choices=("ray",), help="run on Ray (pip install 'netc[ray]')")
    group.add_argument(
        "--address", metavar="HOST:PORT", help="of a Ray cluster (default: one of this machine)"
    )
    group.add_argument(
        "--workers", type=positive, metavar="N", help="that hold the net (default: one a node)"
    )
    group.add_argument(
        "--cpus-per-worker", type=above_zero, metavar="N", help="and threads of each"
    )
    group.add_argument("--gpus-per-worker", type=above_zero, metavar="N", help="with cuda")


def run(args: argparse.Namespace) -> int:
    """Plan, answer what is missing, tell."""
    request = _request(args)
    start = time.monotonic()
    predictor, engine = _engine(request, args)
    first = predictor.ready[0]
    found = [*first.net.diagnostics, *no_weights(first.net.graph, args.weights)]
    if not args.json:
        print_diagnostics(found)
    job, run = planned(request, predictor.outputs, first.boxes, predictor.batch)
    summary, already = _complete(job, run, args, engine)
    _print_summary(args, job, summary, already, time.monotonic() - start)
    return 0 if summary.rows else 1


def _engine(
    request: PredictRequest, args: argparse.Namespace
) -> tuple[Predictor, Callable[[Job, Done], None]]:
    """The net, compiled where this process is to run it, and what goes through a job.

    Raises:
        NetcError: of the net; bad-argument, for options of a cluster without one.
    """
    arguments = request.arguments()
    if args.on == "ray":
        from netc.predict.ray_data import ray_module, run_on_ray
        from netc.predict.ray_share import Cluster

        ray_module()
        _refuse(args, ("threads", "decoders"), "with `--on ray` follows from `--cpus-per-worker`")
        gpus = args.gpus_per_worker or (0.0 if on_host(args.backend) else 1.0)
        cluster = Cluster(args.address, args.workers, args.cpus_per_worker, gpus)
        plain = {**arguments, "backend": "reference", "precision": "float32"}
        return Predictor(**plain), lambda job, done: run_on_ray(job, cluster, done)
    own = ("address", "workers", "cpus_per_worker", "gpus_per_worker")
    _refuse(args, own, "is an option of `--on ray`")
    with compiling() as progress:
        predictor = Predictor(**arguments, threads=args.threads, progress=progress)
    return predictor, lambda job, done: run_local(job, predictor, done, args.decoders)


def _refuse(args: argparse.Namespace, names: Sequence[str], why: str) -> None:
    """Complain of options that mean nothing here.

    Raises:
        NetcError: bad-argument.
    """
    for name in names:
        if getattr(args, name) is not None:
            option = "--" + name.replace("_", "-")
            raise NetcError(Diagnostic("bad-argument", f"`{option}` {why}"))


def _complete(
    job: Job, run: Run, args: argparse.Namespace, engine: Callable[[Job, Done], None]
) -> tuple[Summary, int]:
    """Answer what is missing; the summary, and how many records were done before."""
    total = len(job.records)
    try:
        summary = job.store.begin(run, restart=args.restart)
        if summary is not None:
            return summary, total
        missing = job.store.missing(total, job.rows)
        left = sum(last - first for first, last in missing)
        with answering(total, total - left) as done:
            if missing:
                engine(job._replace(missing=missing), done)
        return job.store.finish(run, total), total - left
    finally:
        job.store.release()


def _request(args: argparse.Namespace) -> PredictRequest:
    """The arguments as a request.

    Raises:
        NetcError: bad-argument, unknown-suffix.
    """
    one_file, format = _format(args)
    images = ImageOptions.of(args)
    if args.augment is not None:
        crops: Any = {"none": "center", "flip": "flip", "ten-crop": "ten"}[args.augment]
        images = ImageOptions.of(argparse.Namespace(**{**vars(args), "crops": crops}))
    return PredictRequest(
        net=args.net,
        weights=args.weights,
        source=args.source,
        target=Path(args.output),
        format=format,
        one_file=one_file,
        ensemble=[(net, weights) for net, weights in args.ensemble],
        blobs=args.blob,
        top=args.top,
        labels=read_labels(args.labels),
        least=args.threshold,
        images=images,
        dense=args.dense,
        column=args.column,
        shard_rows=args.shard_rows,
        strict=args.strict,
        memory=args.max_memory,
        predictor={
            "batch": args.batch,
            "backend": args.backend,
            "precision": args.precision,
            "inputs": dict(args.input_shape),
            "missing": "fill" if args.fill_missing else "error",
            "allow_outside": args.allow_outside,
            "max_memory": args.max_memory,
            **reading(args),
            **chosen_state(args),
        },
    )


def _format(args: argparse.Namespace) -> tuple[bool, str]:
    """Whether OUT is one file, and its format.

    Raises:
        NetcError: unknown-suffix, for a file of no format; bad-argument.
    """
    if args.output == "-":
        message = "answers go to a file or a folder, and `-` is neither"
        raise NetcError(Diagnostic("bad-argument", message, help=("-o answers.jsonl",)))
    path = Path(args.output)
    folder = args.output.endswith(("/", "\\")) or path.is_dir()
    suffix = path.suffix.lower()
    if folder or (not suffix and not path.is_file()):
        return False, args.format or BY_SUFFIX.get(suffix, "jsonl")
    if suffix not in BY_SUFFIX:
        message = f"`{args.output}` is of no format that answers are written in"
        help = (f"formats of a file are {', '.join(BY_SUFFIX)}", "a folder's name ends with /")
        raise NetcError(
            Diagnostic("unknown-suffix", message, help=did_you_mean(suffix, BY_SUFFIX) or help)
        )
    if args.format not in (None, BY_SUFFIX[suffix]):
        message = f"`{args.output}` is {BY_SUFFIX[suffix]}, and --format says {args.format}"
        raise NetcError(Diagnostic("bad-argument", message))
    return True, BY_SUFFIX[suffix]


def _print_summary(
    args: argparse.Namespace, job: Job, summary: Summary, already: int, seconds: float
) -> None:
    total = len(job.records)
    new = total - already
    rate = new / seconds if seconds > 0 else 0.0
    if args.json:
        print_json(
            {
                "output": args.output,
                "records": total,
                "answers": summary.rows,
                "done_before": already,
                "broken": [entry._asdict() for entry in summary.broken],
                "seconds": seconds,
                "records_per_second": rate,
            }
        )
        return
    report_broken([f"{entry.name}: {entry.fault}" for entry in summary.broken])
    before = f", {already:,} of them done before" if already else ""
    speed = f", {rate:.1f} a second" if new else ""
    say(f"{args.output}: answers of {summary.rows:,} of {counted(total, 'record')}{before}{speed}")


@contextmanager
def answering(total: int, already: int) -> Iterator[Done]:
    """Progress with rate and time left: a bar on a terminal, else a line now and then."""
    if not sys.stderr.isatty():
        yield _lines(total, already)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("answering"),
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    start, new = time.monotonic(), 0

    def report(number: int) -> None:
        nonlocal new
        new += number
        rate = new / (time.monotonic() - start)
        bar.update(task, advance=number, rate=f"{rate:.1f} a second")

    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("answering", total=total, completed=already, rate="")
        yield report


def _lines(total: int, already: int) -> Done:
    start = last = time.monotonic()
    done = already

    def report(number: int) -> None:
        nonlocal done, last
        done += number
        now = time.monotonic()
        if now - last < _SECONDS:
            return
        last = now
        rate = (done - already) / (now - start)
        left = (total - done) / rate if rate else 0.0
        say(
            f"{done:,} of {total:,} records, {rate:.1f} a second, {left / 60:.0f} minutes left",
            stream=sys.stderr,
        )

    return report
