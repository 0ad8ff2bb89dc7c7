"""The results that the repository keeps: whole, small, usable, and truly told in the docs and the README."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from mspn.commands.cli import main
from mspn.report.verify import rescore, verify

REFERENCE = Path("results/reference")
BENCH = REFERENCE / "bench"
REPORT = BENCH / "reports" / "bench"
WEIGHTS = sorted((BENCH / "results" / "bench" / "trainings").glob("*/weights.safetensors"))
PAGE = Path("docs/bench-results.md")
MB = 10**6


@pytest.mark.parametrize("folder", [BENCH, REFERENCE / "bench-search"], ids=lambda path: path.name)
def test_a_bundle_is_as_packed_and_its_figures_are_those_of_its_matches(folder):
    findings = {**verify(folder), **rescore(folder)}
    assert findings.pop("files") > 100 and findings.pop("rescored") > 20 and findings.pop("evaluations") > 20
    assert not any(findings.values())


def test_what_is_kept_is_small():
    sizes = {path: path.stat().st_size for path in BENCH.rglob("*") if path.is_file()}
    assert sum(sizes.values()) < 25 * MB and len(WEIGHTS) == 2
    assert sum(sizes[path] for path in WEIGHTS) < 10 * MB


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


def networks() -> list[str]:
    """A line of Markdown for each run: its AP at each budget, the interval, the seeds, the paper's."""
    with (REPORT / "curve.csv").open(encoding="utf-8") as file:
        curve = [row for row in csv.DictReader(file) if row["metric"] == "AP" and row["boxes"] == "det-49.4"]
    found: dict[str, dict[str, dict[str, str]]] = {}
    for row in curve:
        found.setdefault(re.sub(r"-\d+k$", "", row["run"]), {})[row["budget"]] = row
    lines = []
    for run, budgets in sorted(found.items()):
        cells = [f"{float(budgets[b]['value']):.1f}" if b in budgets else "–" for b in ("0.25", "0.5")]
        whole = budgets.get("1.0")
        last = [
            f"{float(whole['value']):.1f} [{float(whole['low']):.1f}, {float(whole['high']):.1f}]",
            whole["seeds"],
            f"{float(whole['value_paper']):.1f}" if whole["value_paper"] else "–",
        ] if whole else ["–"] * 3  # fmt: skip
        lines.append("| " + " | ".join([run, *cells, *last]) + " |")
    return lines


def statements() -> list[str]:
    """A line of Markdown for each statement that was judged by numbers that were measured."""
    lines = []
    for claim in json.loads((REPORT / "claims.json").read_text()):
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
    assert rows_of(PAGE.read_text()) == [*networks(), *statements()]


def test_the_page_says_no_other_number():
    """Each number with a point in the page's sentences is one of its tables', or of the scale's file."""
    text = PAGE.read_text()
    sentences = "\n".join(line for line in text.splitlines() if not line.startswith(("|", "!")))
    known = set(
        re.findall(
            r"\d+\.\d+", "\n".join(rows_of(text)) + Path("workflow/config/scales/bench.yaml").read_text()
        )
    )
    assert set(re.findall(r"(?<![\w./-])\d+\.\d+(?![\w.])", sentences)) <= known


def test_the_readme_tells_its_claims():
    assert [row for row in rows_of(Path("README.md").read_text()) if re.match(r"\| \d+ \| ", row)] == claims()
