"""The evidence bundle: whole, built alike, and any change to it is found."""

import hashlib
import json
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from mspn.commands.cli import main
from mspn.errors import UserError
from mspn.experiment.load import load_experiment
from mspn.files import SEAL, read_json
from mspn.report import pictures
from mspn.report.bundle import CRATE, MANIFEST, SCALE, write_bundle
from mspn.report.verify import rescore, restore, verify
from tests import report_tree


@pytest.fixture
def experiment(monkeypatch):
    monkeypatch.chdir(report_tree.shared_report("madeup", (0, 1)))
    return load_experiment("madeup")


@pytest.fixture
def archive(experiment, tmp_path) -> Path:
    path = tmp_path / "evidence.zip"
    write_bundle(experiment, path)
    return path


def rewrite(source: Path, target: Path, changes: dict[str, bytes | None]) -> Path:
    """The archive with members replaced, removed (None) or added."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = changes.pop(name, old.read(name))
            if data is not None:
                new.writestr(name, data)
        for name, data in changes.items():
            new.writestr(name, data or b"")
    return target


def test_built_twice_it_is_the_same_bytes(experiment, archive, tmp_path):
    files, digest = write_bundle(experiment, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == archive.read_bytes()
    assert digest == hashlib.sha256(archive.read_bytes()).hexdigest()
    with zipfile.ZipFile(archive) as file:
        names = file.namelist()
    assert files == len(names) and names[:-1] == sorted(names[:-1]) and names[-1] == MANIFEST


def test_it_holds_the_evidence_and_no_pictures(experiment, archive):
    with zipfile.ZipFile(archive) as file:
        names = set(file.namelist())
    folder = experiment.evaluation_folder(experiment.grid["mspn-2"], 0, "gt")
    training = experiment.training_folder(experiment.grid["mspn-2"], 0)
    for path in (
        folder / "metrics.json", folder / "matches.npz", training / "config.json", training / "log.jsonl",
        training / "environment.json", experiment.reports / "index.html", experiment.reports / "cells.csv",
        Path("reports/paper/figures.tsv"), Path("workflow/config/grid.tsv"), Path(SCALE), Path(CRATE),
    ):  # fmt: skip
        assert path.as_posix() in names, path
    for part in ("/data/", "/crops/", "/checkpoints/", "/replicates/", "stages.npz", ".jpg", ".safetensors"):
        assert not [name for name in names if part in name], part


def links_of(page: Path) -> set[str]:
    """The page's links to files, those of its numbers' addresses among them."""
    text = page.read_text()
    return {*re.findall(r'href="([^"#][^":]*)"', text), *report_tree.links(text)}


def test_the_pages_links_resolve_inside_it(experiment, archive, tmp_path):
    with zipfile.ZipFile(archive) as file:
        file.extractall(tmp_path / "unpacked")
    page = tmp_path / "unpacked" / experiment.reports / "index.html"
    links = links_of(page)
    assert len(links) > 100
    assert [link for link in links if not (page.parent / link).is_file()] == []
    assert verify(tmp_path / "unpacked") == {
        "changed": [],
        "missing": [],
        "extra": [],
        "damaged": [],
        "files": len(links) and verify(archive)["files"],
    }


def test_a_small_one_is_a_folder_that_a_repository_can_keep(experiment, tmp_path):
    folder = tmp_path / "reference"
    files, digest = write_bundle(experiment, folder, small=True)
    assert digest == hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    findings = verify(folder)
    assert findings.pop("files") == files - 1 and not any(findings.values())
    names = {path.name for path in folder.rglob("*")}
    assert {"metrics.json", "config.json", "environment.json", "cells.csv", "flops.csv"} <= names
    assert not names & {"predictions.json", "timing.jsonl", "workflow", "logs"}
    log = experiment.training_folder(experiment.grid["mspn-2"], 0) / "log.jsonl"
    steps = [json.loads(line)["step"] for line in (folder / log).read_text().splitlines()]
    assert steps == [0, 10, 20, 30, 40, 50, 60, 70, 79]
    kept, whole = (
        (path / experiment.reports / "runs.csv").read_text().splitlines() for path in (folder, Path())
    )
    assert kept == [whole[0], *(line for line in whole if ",paper," in line)] and 1 < len(kept) < len(whole)
    page = folder / experiment.reports / "index.html"
    links = links_of(page)
    assert len(links) > 100 and [link for link in links if not (page.parent / link).is_file()] == []
    assert "predictions.json" in page.read_text()
    assert write_bundle(experiment, folder, small=True) == (files, digest)  # in place of the former one
    (folder / MANIFEST).unlink()
    with pytest.raises(UserError, match="not a former bundle"):
        write_bundle(experiment, folder, small=True)
    assert (folder / CRATE).is_file()


def test_weights_that_are_asked_for_go_with_it(experiment, tmp_path):
    run = experiment.grid["mspn-2"]
    weights = experiment.weights_file(run, 1)  # of the second seed: the first has none
    metrics = read_json(experiment.evaluation_folder(run, 1, "gt") / "metrics.json", "metrics")
    header = {"tensor_hash": metrics["address"]["tensor_hash"]}
    save_file({"w": np.zeros(1)}, weights, metadata={"mspn": json.dumps(header)})
    try:
        write_bundle(experiment, tmp_path / "kept", small=True, runs=["mspn-2"])
        with pytest.raises(UserError, match="train mspn-1 first"):
            write_bundle(experiment, tmp_path / "kept", small=True, runs=["mspn-2", "mspn-1"])
    finally:
        weights.unlink()
    assert [path.relative_to(tmp_path / "kept") for path in (tmp_path / "kept").rglob("*.safetensors")] == [
        weights
    ]
    findings = verify(tmp_path / "kept")
    assert findings.pop("files") > 20 and not any(findings.values())
    back = tmp_path / "back"  # where Snakemake makes nothing again whose input is newer
    restore(tmp_path / "kept", back)
    made = back / experiment.evaluation_folder(run, 1, "gt") / "metrics.json"
    assert (back / weights).stat().st_mtime_ns <= made.stat().st_mtime_ns


def test_its_results_are_put_back(experiment, archive, tmp_path):
    folder = experiment.evaluation_folder(experiment.grid["mspn-2"], 0, "gt")
    assert restore(archive, tmp_path / "elsewhere") > 20
    for name in ("metrics.json", "matches.npz"):
        assert (tmp_path / "elsewhere" / folder / name).read_bytes() == (folder / name).read_bytes()
    assert not (tmp_path / "elsewhere" / experiment.reports).exists()
    assert restore(archive, tmp_path / "elsewhere") == 0
    (tmp_path / "elsewhere" / folder / "metrics.json").write_text("{}")
    (tmp_path / "elsewhere" / folder / "matches.npz").unlink()
    with pytest.raises(UserError, match=r"metrics\.json: is there with other content"):
        restore(archive, tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere" / folder / "matches.npz").exists()


def test_its_description_is_an_ro_crate(archive):
    with zipfile.ZipFile(archive) as file:
        crate = json.loads(file.read(CRATE))
        names = set(file.namelist())
    entities = {entity["@id"]: entity for entity in crate["@graph"]}
    assert crate["@context"] == "https://w3id.org/ro/crate/1.1/context"
    assert len(entities) == len(crate["@graph"])
    assert entities[CRATE]["about"] == {"@id": "./"} and entities[CRATE]["@type"] == "CreativeWork"
    assert entities[CRATE]["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    root = entities["./"]
    assert root["@type"] == "Dataset" and root["datePublished"] == "2024-05-06"
    assert {"name", "description", "license"} <= set(root)
    parts = {part["@id"] for part in root["hasPart"]}
    assert parts == names - {CRATE, MANIFEST} and all(entities[part]["@type"] == "File" for part in parts)


def test_any_change_is_found(experiment, archive, tmp_path, capsys):
    name = (experiment.reports / "cells.csv").as_posix()
    assert main(["report", "verify", str(archive)]) == 0
    for changes, kind, found in (
        ({name: b"other"}, "changed", name),
        ({name: None}, "missing", name),
        ({"results/more.json": b"{}"}, "extra", "results/more.json"),
        ({"../escape.json": b"{}"}, "damaged", "../escape.json"),
    ):
        other = rewrite(archive, tmp_path / f"{kind}.zip", dict(changes))
        findings = verify(other)
        assert findings[kind] == [found]
        assert sum(len(findings[k]) for k in ("changed", "missing", "extra", "damaged")) == 1
        assert main(["report", "verify", str(other)]) == 1
        assert f"{kind}: {found}" in capsys.readouterr().out


def test_a_flipped_byte_is_found(archive, tmp_path):
    data = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as file:
        info = max(file.infolist(), key=lambda i: i.compress_size)
    data[info.header_offset + 200 + len(info.filename)] ^= 0xFF
    (tmp_path / "flipped.zip").write_bytes(data)
    findings = verify(tmp_path / "flipped.zip")
    assert findings["damaged"] + findings["changed"] == [info.filename]


def test_a_folder_with_a_changed_file(archive, tmp_path, experiment):
    folder = tmp_path / "unpacked"
    shutil.unpack_archive(archive, folder)
    (folder / SCALE).write_text("{}")
    (folder / "stray.txt").write_text("")
    findings = verify(folder)
    assert findings["changed"] == [SCALE] and findings["extra"] == ["stray.txt"] and not findings["missing"]


def test_what_is_no_bundle_is_refused(tmp_path):
    (tmp_path / "text.zip").write_text("text")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    for name, words in (
        ("text.zip", "not a zip"),
        ("empty.zip", "no readable manifest"),
        ("none.zip", "no such file"),
    ):
        with pytest.raises(UserError, match=words):
            verify(tmp_path / name)


def test_photographs_are_not_passed_on(monkeypatch, tmp_path):
    """Nor where the report is of a version that did not say whether it shows some."""
    monkeypatch.chdir(report_tree.make_root(tmp_path, "madeup", (0,), more="runs: [mspn-1]\n"))
    experiment = load_experiment("madeup")
    monkeypatch.setattr(pictures, "is_photographed", lambda *_: True)
    make, description = ["report", "make", "--scale", "madeup"], experiment.reports / "report.json"
    assert main(make) == 0
    with pytest.raises(UserError, match=r"make it without \(.* --scale madeup --no-photographs\)"):
        write_bundle(experiment, tmp_path / "x.zip")
    assert main([*make, "--no-photographs"]) == 0
    write_bundle(experiment, tmp_path / "x.zip")
    description.write_text('{"format": 1, "scale": "madeup", "cells": 1}')
    with pytest.raises(UserError, match="shows photographs"):
        write_bundle(experiment, tmp_path / "y.zip")


def test_without_a_report_nothing_is_packed(monkeypatch, tmp_path):
    monkeypatch.chdir(report_tree.make_root(tmp_path, "madeup", (0,)))
    with pytest.raises(UserError, match="make the report first"):
        write_bundle(load_experiment("madeup"), tmp_path / "x.zip")


def test_figures_are_computed_again_from_the_matches(experiment, archive, tmp_path, capsys):
    whole = rescore(archive)
    assert whole["rescored"] == whole["evaluations"] > 50 and not whole["wrong"]
    folder = tmp_path / "small"
    write_bundle(experiment, folder, small=True)
    assert rescore(folder) == whole, "the main protocol's matches are enough for its figures"
    place = folder / experiment.evaluation_folder(experiment.grid["mspn-2"], 0, "gt")
    content = json.loads((place / "metrics.json").read_text())
    content.pop(SEAL, None)
    row = next(r for r in content["rows"] if (r["protocol"], r["metric"]) == ("paper", "AP"))
    row["value"] += 1
    (place / "metrics.json").write_text(json.dumps(content))
    assert main(["report", "verify", str(folder)]) == 1
    printed = capsys.readouterr().out
    assert "wrong: results/madeup/runs/mspn-2/seed-0/gt/metrics.json: AP under paper is" in printed
    assert "2 not as packed" in printed  # its hash as well


def test_no_name_in_an_archive_becomes_a_path(tmp_path):
    with zipfile.ZipFile(tmp_path / "hostile.zip", "w") as file:
        for place in ("../..", "/", "a", "a/b", "x" * 300):
            for name in ("metrics.json", "matches.npz"):
                file.writestr(f"{place}/{name}", "{}")
    before = sorted(tmp_path.parent.rglob("*"))
    findings = rescore(tmp_path / "hostile.zip")
    assert findings["rescored"] == 0 and len(findings["wrong"]) == findings["evaluations"] == 5
    assert sorted(tmp_path.parent.rglob("*")) == before
