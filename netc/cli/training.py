"""What training takes of memory, as lines and as JSON."""

from __future__ import annotations

from netc.report.figures import size
from netc.report.training import TrainingMemory


def training_json(used: TrainingMemory | None) -> dict[str, object]:
    """The part of ``netc summary --json``."""
    if used is None:
        return {}
    figures = {
        "parameter_bytes": used.parameters,
        "history_bytes": used.history,
        "sum_bytes": used.sums,
        "planned_bytes": used.planned,
        "planned_floor_bytes": used.floor,
        "total_bytes": used.total,
        "caffe_bytes": used.caffe,
        "caffe_data_bytes": used.caffe_data,
    }
    return {"training": figures}


def training_lines(used: TrainingMemory | None) -> list[str]:
    """The part of ``netc summary``."""
    if used is None:
        return []
    planned = total = "cannot be planned: sizes follow from what is fed"
    if used.planned is not None and used.floor is not None and used.total is not None:
        planned = f"{size(used.planned)} at once: blobs, gradients, scratch memory"
        planned += f"\n                   (the least for its steps: {size(used.floor)})"
        total = size(used.total)
    sums = [f"  sums over passes {size(used.sums)}: `iter_size`"] if used.sums else []
    lines = [
        "",
        "memory of an iteration of training",
        f"  planned by netc  {planned}",
        f"  parameters       {size(used.parameters)}",
        f"  history          {size(used.history)}",
        *sums,
        f"  in all           {total}",
        f"  Caffe            {size(used.caffe)}: data and gradients of tops (it prints "
        f"{used.caffe_data})",
        "                   and of parameters, and the history",
    ]
    return [part for line in lines for part in line.split("\n")]
