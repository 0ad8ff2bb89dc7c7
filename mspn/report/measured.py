"""Our side of each figure that the paper prints: the number measured for it, or why there is none."""

from dataclasses import dataclass, field
from typing import Any

from mspn.experiment.paper import FLOPS, Figure
from mspn.report.addresses import evaluation_address, file_address
from mspn.report.cells import Book, Entry, Status
from mspn.report.results import Results

FLOPS_DIGITS = 3  # ours is exact; the third digit shows how near the printed one it is


@dataclass(frozen=True)
class Measured:
    """Our side of a cell: values, or the status and reason of their absence."""

    status: Status
    reason: str = ""
    values: dict[str, float] = field(default_factory=dict)  # ours, low, high, difference
    address: str = ""
    digits: int = 1


@dataclass(frozen=True)
class Measures:
    """Looks up what was measured, and registers its addresses in the book."""

    results: Results
    layout: dict[str, Any]  # see ``mspn.report.layout.load_layout``
    book: Book

    def measure(self, figure: Figure) -> Measured:
        """Ours for a figure of the paper.

        FLOPs are always at the paper's full size, hence always subtracted. Accuracy is subtracted at the
        scale ``paper`` only, and never from a hidden test set's figure.
        """
        if figure.column == FLOPS and figure.run:
            return self._flops(figure)
        if "box AP" in figure.unit:
            return self._box_ap(figure)
        if not figure.run:
            return Measured("cited", "a system cited by the paper, not a run of this benchmark")
        return self._accuracy(figure)

    def _flops(self, figure: Figure) -> Measured:
        flops = self.results.flops
        if figure.run not in flops:
            return Measured(
                "not run", f"no FLOPs for {figure.run}: {self.results.flops_file} has no such row"
            )
        row = flops[figure.run]
        ours = float(row["gflops_paper_convention"])
        reason = f"{row.get('verdict') or ''}: {row.get('reason') or ''}".strip(": ")
        address = file_address(
            self.book,
            f"FLOPs of {figure.run} at the paper's input size",
            self.results.flops_file,
            Entry("run", figure.run),
            Entry("convention", "multiply-adds of convolutions, inference path, divided by 2^30"),
            Entry("verdict", reason),
        )
        values = {"ours": ours, "difference": ours - figure.number}
        return Measured("measured", reason, values, address, FLOPS_DIGITS)

    def _box_ap(self, figure: Figure) -> Measured:
        name = ("coco", figure.detector)
        value = self.results.boxes.get(name, {}).get("box_ap")
        if value is None:
            return Measured("not run", f"no boxes of {figure.detector} at this scale")
        path = self.results.experiment.boxes_file(*name).with_suffix(".metrics.json")
        address = file_address(
            self.book, f"Box AP of {figure.detector}", path, Entry("detector", figure.detector)
        )
        return Measured("measured", "", self._subtract({"ours": float(value)}, figure), address)

    def _accuracy(self, figure: Figure) -> Measured:
        experiment, protocol = self.results.experiment, self.layout["protocol"]
        metric, scale = self.layout["metrics"][figure.column], experiment.scale.name
        if figure.run not in experiment.grid:
            return Measured("not run", f"{figure.run} is not among the runs of scale {scale}")
        compared = figure.column in self.layout["detectors"]  # there no detector may stand in for another
        detector = figure.detector if compared else experiment.boxes_for(figure.detector)
        if detector not in experiment.detectors(experiment.grid[figure.run]):
            return Measured("not run", f"scale {scale} does not evaluate on {detector}")
        estimate = self.results.estimate(figure.run, detector, metric, protocol)
        if estimate is None:
            folder = experiment.results / "runs" / figure.run
            return Measured("not run", f"no {metric} under {folder} on {detector}")
        address = evaluation_address(self.book, self.results, figure.run, detector, estimate.seeds, protocol)
        reason = self.layout["hidden"].get(figure.split, "")
        return Measured("measured", reason, self._subtract(estimate.by_quantity, figure), address)

    def _subtract(self, values: dict[str, float], figure: Figure) -> dict[str, float]:
        if self.results.experiment.scale.name != "paper" or figure.split in self.layout["hidden"]:
            return values
        return {**values, "difference": values["ours"] - figure.number}
