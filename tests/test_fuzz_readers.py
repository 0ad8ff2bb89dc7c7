"""Files of other people, mutated: each is taken and sane, or refused by a UserError; none hangs or floods.

One value of a sound file is replaced, removed, doubled or wrapped, or its bytes are changed; the same cases
in every run.
"""

import copy
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mspn.cluster.site import read_site
from mspn.data.coco import read_annotations, read_coco
from mspn.data.detectors import box_ap, read_detections
from mspn.data.mpii import read_mpii
from mspn.data.pictures import read_upright
from mspn.data.skeletons import skeleton
from mspn.evaluation.confidence import compare
from mspn.evaluation.metrics import coco
from mspn.evaluation.metrics.matches import load_matches, save_matches
from mspn.evaluation.rescoring import rescored
from mspn.experiment.grid import load_grid
from mspn.experiment.joint_sets import load_joint_set
from mspn.experiment.load import load_experiment
from mspn.experiment.paper import load_figures
from mspn.files import write_sealed
from mspn.report.diff import load_tolerances
from mspn.report.layout import load_layout
from mspn.report.page import load_ledger
from mspn.report.reading import read_box_metrics, read_metrics, read_table
from mspn.report.rules import load_rules
from mspn.report.verify import verify
from tests import report_tree
from tests.data_cases import coco_annotation, write_coco, write_picture
from tests.test_fuzz_weights import fuzz, outcome
from tests.test_mpii import json_person, write_json_split

HOSTILE: list[Any] = [
    None, True, -1, 0, 1e308, float("nan"), float("inf"), 10**400, -(2**63), 2**64, 0.5, "", "x",
    "../../evil", "a\nb", "\ud800", "x" * 3000, [], {}, [[]], [None], [1, 2, 3], {"a": 1}, [1e999] * 51,
    "1", [0] * 51,
]  # fmt: skip


def places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside of a plain value."""
    keys = range(len(value)) if isinstance(value, list) else value if isinstance(value, dict) else ()
    return [path for key in keys for path in [(*above, key), *places(value[key], (*above, key))]]


def mutated(data: st.DataObject, value: Any) -> Any:
    """A copy with one or two changes."""
    value = copy.deepcopy(value)
    for _ in range(data.draw(st.integers(1, 2))):
        found = places(value)
        if not found:
            return data.draw(st.sampled_from(HOSTILE))
        *above, key = data.draw(st.sampled_from(found))
        parent: Any = value
        for step in above:
            parent = parent[step]
        how = data.draw(st.sampled_from(["replace", "replace", "remove", "double", "wrap"]))
        if how == "remove":
            del parent[key]
        elif how == "double" and isinstance(parent, list):
            parent.append(copy.deepcopy(parent[key]))
        elif how == "wrap":
            parent[key] = [parent[key]]
        else:
            parent[key] = copy.deepcopy(data.draw(st.sampled_from(HOSTILE)))
    return value


def garbled(data: st.DataObject, raw: bytes) -> bytes:
    """Bytes cut, flipped, overwritten or repeated."""
    place = data.draw(st.integers(0, len(raw)))
    patch = data.draw(
        st.sampled_from([b"", b"\x00" * 50, b"\xff", b"9" * 5000, b"[" * 20_000, b"\xc3\x28", b"\t"])
    )
    kept = data.draw(st.sampled_from([0, 1, len(patch), 10**9]))
    return raw[:place] + patch + raw[place + kept :]


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound file of every kind."""
    root = tmp_path_factory.mktemp("sound")
    people = [coco_annotation(1, 5), coco_annotation(2, 5, bbox=[3, 4, 20, 30]), coco_annotation(3, 6)]
    write_coco(root, "val", people)
    write_json_split(root, "valid", [json_person(), json_person("b.png")])
    boxes = [{"image_id": i, "category_id": 1, "bbox": [10, 20, 30, 40], "score": 0.9} for i in (5, 6)]
    write_json(root / "boxes.json", boxes)
    results = [{"image_id": 5, "category_id": 1, "keypoints": people[0]["keypoints"], "score": 0.5}]
    write_json(root / "results.json", results)
    write_sealed(root / "boxes.metrics.json", {"kind": "truth", "box_ap": 99.0, "detections": 2})
    shutil.copy("workflow/config/grid.tsv", root / "grid.tsv")
    shutil.copy("reports/paper/figures.tsv", root / "figures.tsv")
    (root / "flops.csv").write_text("run,gflops\na,1.5\nb,\n")
    write_picture(root / "picture.jpg", 80, 100, 1)
    write_picture(root / "picture.png", 80, 100, 1)
    matches = {"paper": report_tree.fake_matches(70, 0, "a")}
    save_matches(root / "matches.npz", matches)
    rows = [
        {"protocol": "paper", "metric": metric, "value": value, "low": None, "high": value}
        for (_, metric), value in rescored(matches, skeleton("coco")).items()
    ]
    write_json(root / "metrics.json", {"address": {"run": "a"}, "rows": rows})
    with zipfile.ZipFile(root / "bundle.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.txt", "a" * 100)
        file.writestr("manifest-sha256.txt", "0" * 64 + "  a.txt\n")
    scale = {
        "extends": "demo",
        "seeds": [0],
        "inputs": {"256x192": "96x72"},
        "width": 0.125,
        "budgets": [0.5],
        "recipes": {"coco": {"lr": 0.01}},
        "evaluate_on": ["gt"],
        "detectors": {"gt": {"kind": "truth"}, "own": {"kind": "simulated", "box_ap": 50.0}},
        "datasets": {"coco": {"kind": "coco", "root": "data", "val": "val"}},
    }
    (root / "own.yaml").write_text(yaml.safe_dump(scale))
    joints = {
        "joints": ["head", "left_hand", "right_hand", "tail"],
        "upper_body": ["head"],
        "sigmas": {"head": 0.1, "left_hand": 0.1, "right_hand": 0.1, "tail": 0.2},
        "pck": {"PCK": {"ends": ["head", "tail"], "share": 0.2}},
        "limbs": [["head", "tail"]],
    }
    (root / "set.yaml").write_text(yaml.safe_dump(joints))
    for name in ("tables", "claims", "ledger", "tolerance"):
        shutil.copy(f"workflow/config/{name}.yaml", root)
    shutil.copy("workflow/profiles/slurm/config.yaml", root / "profile.yaml")
    return root


def read_scored(root: Path) -> None:
    """Annotations as an evaluation reads them."""
    persons = read_coco(root, "val")
    assert np.isfinite(persons.boxes).all() and np.isfinite(persons.joints).all()
    annotations = read_annotations(root, "val")
    coco.evaluate(coco.index(annotations), [])
    box_ap(annotations, [{"image_id": 5, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 1.0}])


def read_boxes(root: Path) -> None:
    persons = read_detections(root / "boxes.json", read_coco(root, "val"))
    assert len(persons) and (persons.boxes[:, 2:] > 0).all() and np.isfinite(persons.scores).all()


def read_people(root: Path) -> None:
    persons = read_mpii(root, "valid")
    assert np.isfinite(persons.boxes).all() and (persons.boxes[:, 2:] > 0).all()


def site_of(profile: Path) -> None:
    """A profile as doctor reads it, without its cluster."""
    text = profile.read_bytes().replace(b"executor: slurm", b"executor: local")
    profile.write_bytes(text)
    site = read_site(profile)
    assert isinstance(site.gpus(), int) and site.memory_mb() >= 0 and site.training_options()


# A file -> who reads it.
READERS: dict[str, Callable[[Path], Any]] = {
    "annotations/person_keypoints_val.json": read_scored,
    "annotations/valid.json": read_people,
    "boxes.json": read_boxes,
    "results.json": lambda root: compare(
        root / "annotations/person_keypoints_val.json", [root / "results.json"], 3
    ),
    "boxes.metrics.json": lambda root: read_box_metrics(root / "boxes.json"),
    "metrics.json": lambda root: read_metrics(root / "metrics.json", "coco"),
    "own.yaml": lambda root: load_experiment(str(root / "own.yaml")),
    "set.yaml": lambda root: load_joint_set(str(root / "set.yaml")),
    "tables.yaml": lambda root: load_layout(root / "tables.yaml"),
    "claims.yaml": lambda root: load_rules(root / "claims.yaml"),
    "ledger.yaml": lambda root: load_ledger(root / "ledger.yaml"),
    "tolerance.yaml": lambda root: load_tolerances(root / "tolerance.yaml"),
    "profile.yaml": lambda root: site_of(root / "profile.yaml"),
    "grid.tsv": lambda root: load_grid(root / "grid.tsv"),
    "figures.tsv": lambda root: load_figures(root / "figures.tsv"),
    "flops.csv": lambda root: read_table(root / "flops.csv"),
    "matches.npz": lambda root: rescored(load_matches(root / "matches.npz"), skeleton("coco")),
    "bundle.zip": lambda root: verify(root / "bundle.zip"),
    "picture.jpg": lambda root: read_upright(root / "picture.jpg"),
    "picture.png": lambda root: read_upright(root / "picture.png"),
}


def case(data: st.DataObject, sound: Path, name: str) -> None:
    """One mutation of a file, read; the file is sound again afterwards."""
    path = sound / name
    raw = path.read_bytes()
    if path.suffix in (".json", ".yaml") and data.draw(st.integers(0, 4)):
        value = mutated(data, (json.loads if path.suffix == ".json" else yaml.safe_load)(raw))
        if path.suffix == ".json":
            write_json(path, value)
        else:
            path.write_text(yaml.safe_dump(value), errors="replace")
    else:
        path.write_bytes(garbled(data, raw))
    try:
        with outcome():
            READERS[name](sound)
    finally:
        path.write_bytes(raw)


def test_sound_files_are_read(sound: Path) -> None:
    for read in READERS.values():
        read(sound)


def test_a_zip_bomb_is_damaged_and_never_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.txt", bytes(40 << 20))
        file.writestr("manifest-sha256.txt", "0" * 64 + "  a.txt\n")
    assert verify(tmp_path / "bomb.zip")["damaged"] == ["a.txt"]


@pytest.mark.parametrize("name", READERS)
@fuzz(14)
@given(st.data())
def test_files(sound: Path, name: str, data: st.DataObject) -> None:
    case(data, sound, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
@fuzz(200)
@given(st.data())
def test_more_files(sound: Path, name: str, data: st.DataObject) -> None:
    case(data, sound, name)
