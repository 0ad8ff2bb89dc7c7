"""The table of PCK by kind of joint, for joint sets that name lengths to measure it by."""

from mspn.data.skeletons import skeleton
from mspn.report.addresses import evaluation_address
from mspn.report.cells import Book
from mspn.report.results import Results
from mspn.report.views import Slot, View, view


def pck_view(results: Results, book: Book) -> View | None:
    """Every evaluation's PCK under the protocol ``paper``; None where no data set's joints have a length."""
    m = results.metrics[results.metrics.protocol == "paper"]
    known = m[m.value.notna()].to_dict("records")
    figures = {(r["run"], r["detector"], r["seed"], r["metric"]): r for r in known}
    names = {
        one.name: None
        for run in results.experiment.grid.values()
        for one in skeleton(run.joint_set).pck
        if skeleton(run.joint_set).sigmas is not None
    }
    columns = [name for name in m.metric.unique() if name.split(" ")[0] in names]
    if not columns:
        return None
    rows: list[list[Slot]] = []
    without: dict[str, dict[str, int]] = {}
    for run, detector, seed in results.evaluations:
        address = evaluation_address(book, results, run, detector, [seed], "paper")
        without |= results.evaluations[run, detector, seed].address.get("pck", {})
        slots = [Slot(run), Slot(detector), Slot(str(seed))]
        for metric in columns:
            row = figures.get((run, detector, seed, metric))
            if row is None:
                slots.append(Slot("–"))
                continue
            place = ("PCK", f"{run} on {detector}, seed {seed}", metric)
            values = {"ours": row["value"], "low": row["low"], "high": row["high"]}
            cells = {
                key: book.add(*place, key, float(value), f"{value:.1f}", unit="%", address=address)
                for key, value in values.items()
            }
            slots.append(Slot(cells=cells))
        rows.append(slots)
    notes = [
        f"{name}: {counts['without_length']} of {counts['persons']} persons lack the length and do not count."
        for name, counts in without.items()
    ]
    return view(
        "pck", "PCK by kind of joint, protocol “paper”", ("Run", "Boxes", "Seed", *columns), rows, *notes
    )
