"""Migrates a project's folder to a folder of upgraded files, models, certificates and a report.

Nothing outside the result's folder is written. A file that cannot be processed is reported and does
not stop the others.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from netc.diagnostics import Diagnostic, NetcError, counted
from netc.files import replacing
from netc.ir.types import Shape
from netc.project.exported import export
from netc.project.found import MAX_FILES, ProjectFile, ProjectFiles, find
from netc.project.report import MigrationReport
from netc.project.scripts import ScriptCall, script_calls
from netc.project.shell import shell_calls
from netc.project.texts import (
    ProjectNet,
    asked_option,
    failure,
    needs_size,
    read_but_for_fields,
    read_text,
)
from netc.project.weights import Fit, fits, note_weights, sizes_for
from netc.schema.load import load_schema
from netc.surgery.deploy_file import deploy_file
from netc.surgery.printing import printed
from netc.weights import load_weights, upgrade_weights
from netc.weights.model import Weights

Step = Callable[[int, int, str], None]

_MODELS = 3  # ONNX models made of one weights file at most
_SHELL_BYTES = 1 << 20


def migrate(
    folder: Path,
    out: Path,
    *,
    onnx: bool = True,
    sizes: Mapping[str, Shape] | None = None,
    schema: Sequence[Path] = (),
    progress: Step | None = None,
) -> MigrationReport:
    """Migrate a project.

    Args:
        folder: the project's folder, which is only read.
        out: the result's folder; it must be empty or not exist.
        onnx: whether nets with weights are exported to ONNX and verified.
        sizes: input blob -> shape, for nets whose texts give none.
        schema: .proto files with a fork's own messages.
        progress: called as (done, total, name) for each file.

    Raises:
        NetcError: bad-argument, where the folders are the same or unusable.
    """
    _check_folders(folder, out)
    found = find(folder, out)
    return _Migration(found, out, schema, onnx, sizes or {}, progress).run()


def _check_folders(folder: Path, out: Path) -> None:
    if not folder.is_dir():
        raise NetcError(Diagnostic("missing-file", f"there is no folder `{folder}`"))
    if folder.resolve() == out.resolve() or folder.resolve().is_relative_to(out.resolve()):
        message = f"the result cannot go to `{out}`, which holds the project itself"
        raise NetcError(Diagnostic("bad-argument", message))


class _Migration:
    """One run over a project's files."""

    def __init__(
        self,
        found: ProjectFiles,
        out: Path,
        schema: Sequence[Path],
        onnx: bool,
        sizes: Mapping[str, Shape],
        progress: Step | None,
    ) -> None:
        self.found, self.out, self.onnx = found, out, onnx
        self.own, self.schema = schema, load_schema(schema)
        self.sizes, self.progress = sizes, progress
        # The option that a size is asked for with -> training nets whose texts do not tell it.
        self.unsized: dict[str, list[str]] = {}
        self.done = 0
        self.nets: list[ProjectNet] = []
        self.texts: dict[str, Path] = {}  # name of a net's file -> the text in the result
        self.calls: dict[str, tuple[ScriptCall, ...]] = {}
        self.deployed: set[str] = set()
        self.notes: list[str] = []

    def run(self) -> MigrationReport:
        """Go over all files, kind by kind."""
        if self.found.cut:
            self.notes.append(f"the folder has more than {MAX_FILES:,} files; the rest was left")
        for item in list(self.found.of("text")):
            with self._at(item):
                self._text(item)
        for item in self.found.of("weights"):
            with self._at(item):
                self._weights(item)
        for net in self.nets:
            if net.trains and net.item.name not in self.deployed:
                self._deploy_alone(net)
        for item in self.found.of("script", "shell"):
            with self._at(item):
                self._script(item)
        for item in self.found.of("mean", "state"):
            self._step(item)
            item.told.append(_TOLD[item.kind])
        if not any(self.found.of("weights")):
            self.notes.append("there are no weights in the folder: no net could be run or exported")
        self.notes += [_unsized(option, names) for option, names in self.unsized.items()]
        self._drop_idle_scripts()
        return MigrationReport(
            self.found.folder.resolve().name, self.found.items, self.calls, self.notes
        )

    def _drop_idle_scripts(self) -> None:
        """Scripts that use neither Caffe nor cv2.dnn are no news."""
        self.found.items = [
            item
            for item in self.found.items
            if item.kind not in ("script", "shell") or item.left or self.calls.get(item.name)
        ]

    def _step(self, item: ProjectFile) -> None:
        self.done += 1
        if self.progress:
            self.progress(self.done, len(self.found.items), item.name)

    @contextmanager
    def _at(self, item: ProjectFile) -> Iterator[None]:
        """Deal with one file; whatever goes wrong is told of it and ends there."""
        self._step(item)
        try:
            yield
        except Exception as error:
            item.failed = True
            item.left += [text.removeprefix(f"{item.path}: ") for text in failure(error)]

    @contextmanager
    def _quietly(self, item: ProjectFile) -> Iterator[None]:
        """A further step of a file that has been read."""
        try:
            yield
        except Exception as error:
            item.left += failure(error)

    # What is written

    def _place(self, item: ProjectFile, name: str) -> Path:
        """A path in the result; the item tells of it."""
        target = self.out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.parent.resolve().is_relative_to(self.out.resolve()):
            message = f"`{target.parent}` leads out of the result's folder"
            raise NetcError(Diagnostic("not-a-file", message))
        item.written.append(name)
        return target

    def _write(self, item: ProjectFile, name: str, text: str) -> Path:
        target = self._place(item, name)
        with replacing(target) as temporary:
            temporary.write_bytes(text.encode("utf-8", "surrogateescape"))
        return target

    # Texts

    def _text(self, item: ProjectFile) -> None:
        names = [each.name for each in self.found.items]
        try:
            net, text = read_text(item, self.schema, names, self.own)
        except NetcError as error:
            if {d.code for d in error.diagnostics} != {"unknown-field"}:
                raise
            net, text = read_but_for_fields(item, self.own), ""
            item.left += failure(error)
        if text:
            target = self._write(item, item.name, text)
        else:
            target = self._place(item, item.name)
            with replacing(target) as temporary:
                shutil.copyfile(item.path, temporary)
        if net is not None:
            self.nets.append(net)
            self.texts[item.name] = target

    def _deploy_alone(self, net: ProjectNet) -> None:
        """Derive the deploy net of a training net that no weights came with."""
        try:
            self._deploy(net, None)
        except Exception as error:
            if needs_size(error):
                self.unsized.setdefault(asked_option(error), []).append(net.item.name)
                net.item.told.append("its deploy net needs the size of its images")
            elif not net.item.left:
                net.item.left += failure(error)

    def _deploy(self, net: ProjectNet, weights: Weights | None) -> Path:
        """Write the deploy net of a training net, once."""
        item = net.item
        stem = item.name.rpartition(".")[0]
        name = f"{stem}.deploy.prototxt"
        if item.name in self.deployed:
            return self.out / name
        sizes = sizes_for(net.message, self.sizes)
        made, beside = deploy_file(item.path, net.message, weights=weights, inputs=sizes)
        target = self._write(item, name, printed(net.message, made.message))
        self.deployed.add(item.name)
        item.told.append("its deploy net was derived")
        item.told += [f"the deploy net: {d.message}" for d in beside]
        item.left += [f"the deploy net: {d.message}" for d in made.diagnostics]
        return target

    # Weights

    def _weights(self, item: ProjectFile) -> None:
        weights = load_weights(item.path)
        note_weights(item, weights)
        file = self._place(item, item.name)
        if weights.generation in ("V0", "V1"):
            upgrade_weights(item.path, file)
            item.told.append("rewritten in the current format")
        else:
            with replacing(file) as temporary:
                shutil.copyfile(item.path, temporary)
        number = 0
        for fit in fits(item, weights, self.nets, self.sizes):
            if number >= _MODELS or (fit.derived and number):
                break
            number += 1
            item.told.append(f"fits {fit.item.name}")
            with self._quietly(item):
                self._fitting(item, fit, weights, file)
        if not number:
            near = [text for text in item.told if text.startswith(("has the names", "does not"))]
            why = f": it {near[0]}" if near else ""
            item.left.append(f"no text in the folder fits these weights{why}")

    def _fitting(self, item: ProjectFile, fit: Fit, weights: Weights, file: Path) -> None:
        net = next(net for net in self.nets if net.item is fit.item)
        text = self._deploy(net, weights) if fit.derived else self.texts[fit.item.name]
        if not self.onnx:
            return
        base = item.name
        for suffix in (".h5", ".hdf5", ".caffemodel"):
            base = base.removesuffix(suffix)
        stem = Path(fit.item.name).stem
        target = self.out / (base if stem in base else f"{base}.{stem}")
        target = target.with_name(target.name + ".onnx")
        files, found = export(fit.message, weights, fit.graph, text, file, target)
        item.written += [path.relative_to(self.out).as_posix() for path in files]
        departed = found.departed
        if departed is None:
            worst = max(error.relative for error in found.errors)
            blobs = counted(len(found.errors), "blob")
            item.told.append(f"ONNX model verified: {blobs} equal within {worst:.1g}")
        else:
            item.left.append(
                f"the ONNX model departs at blob `{departed.blob}` by {departed.relative:.2g}"
            )

    # Scripts

    def _script(self, item: ProjectFile) -> None:
        if item.kind == "shell":
            text = item.path.read_bytes()[:_SHELL_BYTES].decode("utf-8", "replace")
            calls = tuple(shell_calls(text))
        else:
            script = script_calls(item.path)
            calls = script.calls
            if script.problem and (calls or item.path.suffix == ".ipynb"):
                item.left.append(script.problem)
        if calls:
            self.calls[item.name] = calls
            works = sum(call.works for call in calls)
            item.told.append(f"{counted(len(calls), 'call')}, {works} of which work in netc")


def _unsized(option: str, names: list[str]) -> str:
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return (
        f"the size of images is told by no text of {shown}: run again with "
        f"`--input-shape {option}` for their deploy nets"
    )


_TOLD = {
    "mean": "a mean image: `--mean FILE` of `netc run` reads it as it is",
    "state": "a solver's state: `--snapshot FILE` of `netc train` goes on from it",
}
