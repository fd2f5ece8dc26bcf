"""The text cases of passes: tests/cases/<pass>.txt, several a file.

    === title
    --- net | graph
    a prototxt, or a graph's text
    --- options          (may be left out)
    phase TRAIN
    first drop-dead fuse-epilogues
    outputs conv1
    raises index-out-of-range    (what running it raises, before and after)
    variables                    (all parameters may change between runs)
    train SGD                    (the graph of an iteration of training by this rule)
    clip 0.5                     (with clip_gradients)
    --- arrays           (may be left out)
    scale/0 = 1 1 1
    --- after
    the graph's text after the pass, or `same`
    --- log              (may be left out where there is none)
    + layer, layer: what was done (saves 12 multiply-adds)
    - layer: why it was not

Lines that begin with `#` before the first case are about the file. A parameter that has no line
under `arrays` is drawn at random. A line gives all of its elements, or one for all of them.

After a change of a pass, NETC_WRITE_CASES=1 writes `after` and `log` as they come out; read the
difference before you keep it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from netc.diagnostics import Source
from netc.frontend import build, read_net, runnable, with_outputs
from netc.ir.edit import with_variables
from netc.ir.graph import Graph
from netc.ir.text import parse_graph
from netc.ops.params_from_text import load_params
from netc.ops.update_rules import UpdateRule
from netc.passes.base import Applied, run_passes
from netc.passes.pipeline import BY_NAME
from netc.train.step import Updating, step_graphs
from tests.passes.weights import with_random_arrays

FOLDER = Path(__file__).resolve().parent.parent / "cases"
SECTIONS = ("net", "graph", "options", "arrays", "after", "log")


@dataclass
class Case:
    """One case; ``sections`` holds each section's text by its name."""

    title: str
    sections: dict[str, str]

    def options(self) -> Mapping[str, list[str]]:
        lines = [line.split() for line in self.sections.get("options", "").splitlines()]
        return {words[0]: words[1:] for words in lines}

    def graph(self) -> Graph:
        """The graph with arrays, after the passes that are to run first."""
        options = self.options()
        known = {"phase", "first", "outputs", "raises", "variables", "train", "clip"}
        assert set(options) <= known, f"{self.title}: {options}"
        if "graph" in self.sections:
            graph = parse_graph(self.sections["graph"], load_params)
        else:
            source = Source(f"{self.title}.prototxt", self.sections["net"])
            phase = options.get("phase", ["TEST"])[0]
            graph = runnable(build(read_net(source).message, phase=phase))
        graph = with_outputs(graph, options.get("outputs", []))
        graph = with_random_arrays(graph, self._arrays(graph))
        graph = with_variables(graph) if "variables" in options else graph
        if "train" in options:
            limit = float(options.get("clip", ["-1"])[0])
            how = Updating(UpdateRule(options["train"][0], momentum=0.9), clip_gradients=limit)
            graph = step_graphs(graph, how).first
        return run_passes(graph, [BY_NAME[name] for name in options.get("first", [])])[0]

    def _arrays(self, graph: Graph) -> dict[str, Any]:
        found = {}
        for line in self.sections.get("arrays", "").splitlines():
            name, _, numbers = line.partition(" = ")
            shape = graph.parameters[name].shape
            assert shape is not None
            values = np.array([float(number) for number in numbers.split()], np.float32)
            found[name] = values.reshape(shape) if values.size > 1 else np.full(shape, values[0])
        return found

    def text(self) -> str:
        parts = [f"=== {self.title}\n"]
        parts += [f"--- {k}\n{self.sections[k]}" for k in SECTIONS if self.sections.get(k)]
        return "".join(parts)


def read_cases(path: Path) -> tuple[str, list[Case]]:
    """What a file says before its cases, and the cases."""
    head, *rest = path.read_text(encoding="utf-8").split("\n=== ")
    return head + "\n", [_case(text) for text in rest]


def _case(text: str) -> Case:
    title, _, body = text.partition("\n")
    sections = dict(_sections(body))
    assert set(sections) <= set(SECTIONS), f"{title}: sections {list(sections)}"
    assert ("net" in sections) != ("graph" in sections), f"{title}: a net or a graph"
    return Case(title, sections)


def _sections(body: str) -> Iterator[tuple[str, str]]:
    for part in ("\n" + body).split("\n--- ")[1:]:
        name, _, text = part.partition("\n")
        yield name, text.rstrip("\n") + "\n"


def log_text(applied: Applied) -> str:
    """Remarks as a case's lines."""
    lines = []
    for remark in applied.remarks:
        saved = f" (saves {remark.saved:,} multiply-adds)" if remark.saved else ""
        mark = "-" if remark.missed else "+"
        lines.append(f"{mark} {', '.join(remark.layers)}: {remark.message}{saved}\n")
    return "".join(lines)
