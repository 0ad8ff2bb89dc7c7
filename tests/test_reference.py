"""The results that the repository keeps: whole, small, usable, and truly told in the docs and the README."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from mspn.commands.cli import main
from mspn.report.verify import rescore, verify
from tests.report_tree import pictures_in

REFERENCE = Path("results/reference")
BENCH, LSP, LONG, SEARCH = (REFERENCE / name for name in ("bench", "lsp", "lsp-long", "lsp-search"))
REPORT, LSP_REPORT, LONG_REPORT = (one / "reports" / one.name for one in (BENCH, LSP, LONG))
WEIGHTS = sorted((BENCH / "results" / "bench" / "trainings").glob("*/weights.safetensors"))
PAGE, LSP_PAGE = Path("docs/bench-results.md"), Path("docs/lsp-results.md")
MB = 10**6


@pytest.mark.parametrize(
    ("name", "files", "least"),
    [
        ("bench", 100, 21),
        ("bench-search", 100, 21),
        ("lsp", 100, 36),
        ("lsp-long", 100, 2),
        ("lsp-search", 40, 8),
    ],
)
def test_a_bundle_is_as_packed_and_its_figures_are_those_of_its_matches(name, files, least):
    findings = {**verify(REFERENCE / name), **rescore(REFERENCE / name)}
    assert findings.pop("files") > files
    assert findings.pop("rescored") >= least and findings.pop("evaluations") >= least
    assert not any(findings.values())


def test_what_is_kept_is_small():
    sizes = {path: path.stat().st_size for path in BENCH.rglob("*") if path.is_file()}
    assert sum(sizes.values()) < 25 * MB and len(WEIGHTS) == 2
    assert sum(sizes[path] for path in WEIGHTS) < 10 * MB


def test_of_photographs_only_what_was_measured_is_kept():
    """No picture of a person, and weights of one MSPN below 10 MB. What the figures hold is of one colour, or
    heat on black, which has no bright greys.
    """
    kept = [path for folder in (LSP, LONG, SEARCH) for path in folder.rglob("*") if path.is_file()]
    weights = [path for path in kept if path.suffix == ".safetensors"]
    assert not [path for path in kept if path.suffix.lower() in (".jpg", ".jpeg", ".bin")]
    for report in (LSP_REPORT, LONG_REPORT):
        assert json.loads((report / "report.json").read_text())["photographs"] is False
    found = pictures_in("".join(path.read_text() for path in kept if path.suffix in (".svg", ".html")))
    assert len(found) > 20
    for picture in found:
        grey = (np.ptp(picture, axis=-1) < 12) & (picture.mean(axis=-1) > 40)
        assert not np.ptp(picture, axis=(0, 1)).any() or grey.mean() < 0.01
    assert len(weights) == 1 and weights[0].stat().st_size < 10 * MB
    assert sum(path.stat().st_size for path in kept) < 25 * MB


@pytest.mark.parametrize("weights", WEIGHTS, ids=lambda path: path.parent.name)
def test_its_weights_find_persons_without_any_training(weights, tmp_path):
    """On persons that they have not seen, most joints lie within a tenth of the box's longer side."""
    how = ["--difficulty", "bench", "--seed", "7", "--train-images", "1", "--val-images", "6", "--quiet"]
    assert main(["synth", "--out", str(tmp_path / "persons"), *how]) == 0
    truth = tmp_path / "persons" / "annotations" / "person_keypoints_val.json"
    pictures, out = str(tmp_path / "persons" / "val"), tmp_path / "found"
    given = ["--images", pictures, "--boxes", str(truth), "--out", str(out)]
    assert main(["predict", "--checkpoint", str(weights), *given]) == 0
    found = json.loads((out / "predictions.json").read_text())
    wanted = {tuple(np.round(p["bbox"], 3)): p for p in json.loads(truth.read_text())["annotations"]}
    near = []
    for person in found:
        real = np.reshape(wanted[tuple(np.round(person["bbox"], 3))]["keypoints"], (17, 3))
        off = np.hypot(*(np.reshape(person["keypoints"], (17, 3)) - real)[:, :2].T)
        near += (off[real[:, 2] > 0] < 0.1 * max(person["bbox"][2:])).tolist()
    assert len(near) > 50 and np.mean(near) > 0.8


def rows_of(text: str) -> list[str]:
    """The lines of a page's tables but their heads."""
    lines = text.splitlines()
    return [a for a, b in zip(lines, [*lines[1:], ""], strict=True) if a.startswith("| ")
            and "---" not in a and "---" not in b]  # fmt: skip


def figure(row: dict[str, str], ends: bool = False) -> str:
    """A row's value, with the ends of its interval or without."""
    interval = f" [{float(row['low']):.1f}, {float(row['high']):.1f}]" if ends else ""
    return f"{float(row['value']):.1f}{interval}"


def networks() -> list[str]:
    """A line of Markdown for each run: its AP at each budget, the interval, the seeds, the paper's."""
    with (REPORT / "curve.csv").open(encoding="utf-8") as file:
        curve = [row for row in csv.DictReader(file) if row["metric"] == "AP" and row["boxes"] == "det-49.4"]
    found: dict[str, dict[str, dict[str, str]]] = {}
    for row in curve:
        found.setdefault(re.sub(r"-\d+k$", "", row["run"]), {})[row["budget"]] = row
    lines = []
    for run, budgets in sorted(found.items()):
        cells = [figure(budgets[b]) if b in budgets else "–" for b in ("0.25", "0.5")]
        whole = budgets.get("1.0")
        last = [
            figure(whole, True),
            whole["seeds"],
            f"{float(whole['value_paper']):.1f}" if whole["value_paper"] else "–",
        ] if whole else ["–"] * 3  # fmt: skip
        lines.append("| " + " | ".join([run, *cells, *last]) + " |")
    return lines


def photographs() -> list[str]:
    """A line of Markdown for each run on LSP: PCK@0.2 at each budget, then of the whole PCKh@0.5 and AP; and
    one for each joint.
    """
    with (LSP_REPORT / "curve.csv").open(encoding="utf-8") as file:
        curve = [row for row in csv.DictReader(file) if row["boxes"] == "gt"]
    found = {
        (re.sub(r"-\d+k$", "", row["run"]), f"{float(row['budget']):.2g}", row["metric"]): row
        for row in curve
    }
    runs = sorted({run for run, _, _ in found})

    def cell(run: str, budget: str, metric: str, ends: bool = False) -> str:
        row = found.get((run, budget, metric))
        return "–" if row is None else figure(row, ends)

    lines = []
    for run in runs:
        parts = [cell(run, budget, "PCK@0.2") for budget in ("0.25", "0.5")]
        seeds = found.get((run, "1", "PCK@0.2"), {"seeds": "–"})["seeds"]
        whole = [
            cell(run, "1", "PCK@0.2", True),
            cell(run, "1", "PCKh@0.5"),
            cell(run, "1", "AP"),
            seeds,
        ]
        lines.append(f"| {' | '.join([run, *parts, *whole])} |")
    joints = dict.fromkeys(metric for _, _, metric in found if re.match(r"PCK@0\.2 (?!AUC)", metric))
    for metric in joints:
        name = metric.removeprefix("PCK@0.2 ").replace("_", " ")
        lines.append(f"| {' | '.join([name, *(cell(run, '1', metric) for run in runs)])} |")
    return lines


def longer() -> list[str]:
    """A line of Markdown for each budget of the longer training: its samples, PCK@0.2, PCKh@0.5 and AP."""
    with (LONG_REPORT / "curve.csv").open(encoding="utf-8") as file:
        rows = {(int(row["samples"]), row["metric"]): row for row in csv.DictReader(file)}
    lines = []
    for samples in sorted({samples for samples, _ in rows}):
        pck, pckh, ap = (rows[samples, metric] for metric in ("PCK@0.2", "PCKh@0.5", "AP"))
        lines.append(f"| {samples // 1000}k | {figure(pck, True)} | {figure(pckh)} | {figure(ap)} |")
    return lines


def searched() -> list[str]:
    """A line of Markdown for each learning rate of the search on photographs: the AP of its networks."""
    with (SEARCH / "results" / SEARCH.name / "search.csv").open(encoding="utf-8") as file:
        found = {(float(row["lr"]), row["row"]): f"{float(row['AP']):.1f}" for row in csv.DictReader(file)}
    rates, runs = (sorted(set(keys)) for keys in zip(*found, strict=True))
    return [f"| {' | '.join([f'{rate:g}', *(found[rate, run] for run in runs)])} |" for rate in rates]


def statements(report: Path) -> list[str]:
    """A line of Markdown for each statement that was judged by numbers that were measured."""
    lines = []
    for claim in json.loads((report / "claims.json").read_text()):
        for one in claim["statements"]:
            if one["ours"] is not None and one["unit"] == "AP":
                trend = " → ".join(f"{value:.1f}" for _, value in one["trend"])
                ours = f"{one['ours']:.1f} [{one['low']:.1f}, {one['high']:.1f}]"
                cells = [one["statement"], one["words"], ours, trend, f"{one['paper']:.1f}", one["verdict"]]
                lines.append(f"| {' | '.join(cells)} |")
    return lines


def claims() -> list[str]:
    """A line of Markdown for each claim and what became of its statements."""
    found = json.loads((REPORT / "claims.json").read_text())
    return [f"| {claim['claim']} | {claim['words']} | {claim['summary']} |" for claim in found]


def test_the_page_tells_what_was_measured():
    """Each network's AP and each statement's verdict, as the report has them, and no other."""
    assert rows_of(PAGE.read_text()) == [*networks(), *statements(REPORT)]


def test_the_page_of_photographs_tells_what_was_measured():
    assert rows_of(LSP_PAGE.read_text()) == [
        *photographs(),
        *longer(),
        *statements(LSP_REPORT),
        *searched(),
    ]


@pytest.mark.parametrize(("page", "scale"), [(PAGE, "bench"), (LSP_PAGE, "lsp")], ids=["bench", "lsp"])
def test_a_page_says_no_other_number(page, scale):
    """Each number with a point in a page's sentences is one of its tables', or of the scale's file."""
    text = page.read_text()
    sentences = "\n".join(line for line in text.splitlines() if not line.startswith(("|", "!")))
    known = set(
        re.findall(
            r"\d+\.\d+", "\n".join(rows_of(text)) + Path(f"workflow/config/scales/{scale}.yaml").read_text()
        )
    )
    assert set(re.findall(r"(?<![\w./-])\d+\.\d+(?![\w.])", sentences)) <= known


def test_the_readme_tells_its_claims():
    assert [row for row in rows_of(Path("README.md").read_text()) if re.match(r"\| \d+ \| ", row)] == claims()
