"""The figures of the reference run, a finished scale that the repository keeps, beside a smaller scale's own.

A scale of minutes trains few of the paper's networks. The rows that it does not run show what the reference
run measured, in columns of that name.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mspn.experiment.config import SynthData
from mspn.experiment.experiment import Experiment
from mspn.experiment.paper import Figure
from mspn.files import read_json
from mspn.report.cells import Book, Entry
from mspn.report.reading import read_metrics

# As ``mspn report bundle --small --scale bench --out results/reference/bench`` writes it.
REFERENCE = Path("results/reference/bench")


@dataclass(frozen=True)
class Reference:
    """A kept run's figures: (run, boxes, protocol, metric) -> the value of each seed, and their files."""

    scale: str
    folder: Path
    stand_in: dict[str, str]
    values: dict[tuple[str, str, str, str], list[float]] = field(default_factory=dict)
    files: dict[tuple[str, str], list[Path]] = field(default_factory=dict)

    def mean(self, figure: Figure, layout: dict[str, Any]) -> tuple[float, tuple[str, str], int] | None:
        """(mean over seeds, (run, boxes), number of seeds) of a figure of the paper; None without one."""
        metric = layout["metrics"].get(figure.column)
        compared = figure.column in layout["detectors"]
        boxes = figure.detector if compared else self.stand_in.get(figure.detector, figure.detector)
        found = self.values.get((figure.run, boxes, layout["protocol"], str(metric)))
        return (sum(found) / len(found), (figure.run, boxes), len(found)) if found else None

    def address(self, book: Book, key: tuple[str, str], protocol: str) -> str:
        """The address of a figure: run, scale, boxes, protocol, and each seed's file."""
        run, boxes = key
        entries = [
            Entry("run", run),
            Entry("scale", f"{self.scale}, the reference run"),
            Entry("boxes", boxes),
            Entry("protocol", protocol),
            *(Entry("metrics", path.parent.parent.name, path) for path in self.files[key]),
        ]
        return book.address(
            f"reference/{run}/{boxes}/{protocol}", f"{run} on {boxes} in the reference run", entries
        )


def load_reference(experiment: Experiment, folder: Path = REFERENCE) -> Reference | None:
    """The kept run for a scale of synthetic persons; None for itself, for real data, and where none is kept.

    Raises UserError for a file that cannot be read.
    """
    if not (folder / "resolved-scale.json").is_file():
        return None
    scale = read_json(folder / "resolved-scale.json", "scale")
    name = str(scale["name"])
    drawn = all(isinstance(data, SynthData) for data in experiment.scale.datasets.values())
    if not drawn or name == experiment.scale.name:
        return None
    reference = Reference(name, folder, dict(scale.get("stand_in", {})))
    for path in sorted((folder / "results" / name / "runs").glob("*/seed-*/*/metrics.json")):
        run, boxes = path.parts[-4], path.parts[-2]
        reference.files.setdefault((run, boxes), []).append(path)
        rows = read_metrics(path, None)[1].dropna(subset="value")
        for protocol, metric, value in zip(rows.protocol, rows.metric, rows.value, strict=True):
            reference.values.setdefault((run, boxes, protocol, metric), []).append(float(value))
    return reference
