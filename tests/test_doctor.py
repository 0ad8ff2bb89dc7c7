"""The doctor: one thing broken at a time, found, named and with a remedy; nothing where all is well."""

import json
import os
import subprocess
import sys
from base64 import urlsafe_b64encode
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mspn.cluster import doctor, jobs, preflight
from mspn.cluster.doctor import Site
from mspn.cluster.findings import Check
from mspn.cluster.profiles import Cluster
from mspn.commands.cli import main
from mspn.experiment.experiment import Experiment
from mspn.experiment.load import load_experiment
from mspn.report.first_screen import warnings
from mspn.report.results import collect
from tests import report_tree

JOINTS = [v for k in range(17) for v in (20 + k, 15 + 2 * k, 2)]
SCALE = """
extends: smoke
name: tiny
datasets: {{coco: {{kind: coco, root: {root}/coco, train: train, val: val}}}}
detectors: {{file: {{kind: file, path: {root}/boxes.json, box_ap: 100.0}}}}
evaluate_on: [file]
runs: [mspn-1]
width: 1
pretrained: {root}/imagenet
"""


@pytest.fixture
def site(tmp_path) -> Path:
    """A tiny data set in COCO's layout with detections, and a scale that uses it."""
    for split in ("train", "val"):
        (tmp_path / "coco" / split).mkdir(parents=True)
        images, annotations = [], []
        for i in (1, 2):
            cv2.imwrite(str(tmp_path / "coco" / split / f"{i}.jpg"), np.full((60, 80, 3), 90, np.uint8))
            images.append({"id": i, "file_name": f"{i}.jpg", "width": 80, "height": 60})
            person = {"id": i, "image_id": i, "category_id": 1, "iscrowd": 0, "num_keypoints": 17}
            annotations.append({**person, "bbox": [10, 5, 40, 50], "area": 1500.0, "keypoints": JOINTS})
        value = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}
        write(tmp_path / f"coco/annotations/person_keypoints_{split}.json", value)
    boxes = [{"image_id": i, "category_id": 1, "bbox": [10, 5, 40, 50], "score": 0.9} for i in (1, 2)]
    write(tmp_path / "boxes.json", boxes)
    (tmp_path / "tiny.yaml").write_text(SCALE.format(root=tmp_path))
    return tmp_path


def write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def experiment(site: Path) -> Experiment:
    return load_experiment(str(site / "tiny.yaml"))


def the_problem(check: Check) -> str:
    """The one thing found, which must have a remedy."""
    (finding,) = check.findings
    assert finding.remedy
    return finding.problem


def test_nothing_is_found_where_all_is_well(site):
    for check in (preflight.check_data, preflight.check_truth, preflight.check_detections):
        outcome = check(experiment(site))
        assert outcome.findings == []
        assert outcome.facts
    assert "coco train: 2 pictures, 2 persons" in preflight.check_data(experiment(site)).facts
    assert "box AP 100.0" in preflight.check_detections(experiment(site)).facts[0]


def test_missing_annotations(site):
    (site / "coco/annotations/person_keypoints_train.json").unlink()
    assert "person_keypoints_train.json" in the_problem(preflight.check_data(experiment(site)))


def test_absent_annotations_are_one_finding(site):
    (site / "coco/annotations/person_keypoints_val.json").unlink()
    checks = (preflight.check_data, preflight.check_truth, preflight.check_detections)
    found = [finding for check in checks for finding in check(experiment(site)).findings]
    assert ["person_keypoints_val.json" in finding.problem for finding in found] == [True]


def test_damaged_annotations_are_one_finding(site):
    (site / "coco/annotations/person_keypoints_val.json").write_text("{")
    checks = (preflight.check_data, preflight.check_truth, preflight.check_detections)
    found = [finding for check in checks for finding in check(experiment(site)).findings]
    assert ["person_keypoints_val.json" in finding.problem for finding in found] == [True]


def test_what_has_not_changed_is_not_read_again(site, monkeypatch, caplog):
    monkeypatch.chdir(site)
    path = site / "coco/annotations/person_keypoints_train.json"
    value = json.loads(path.read_text())
    value["annotations"][0]["iscrowd"] = 1
    write(path, value)
    for path in site.rglob("*"):
        os.utime(path, (1e9, 1e9))
    checks = (preflight.check_data, preflight.check_truth, preflight.check_detections)
    first, said = [check(experiment(site)) for check in checks], caplog.messages[:]
    assert "1 crowds not used" in said[0]
    with monkeypatch.context() as patch:
        patch.setattr("mspn.data.load.load_split", None)
        assert [check(experiment(site)) for check in checks] == first
        assert caplog.messages == 2 * said
    (site / "coco/val/2.jpg").unlink()
    assert "2.jpg" in the_problem(preflight.check_data(experiment(site)))


def test_a_missing_picture(site):
    (site / "coco/val/2.jpg").unlink()
    assert "2.jpg" in the_problem(preflight.check_data(experiment(site)))


def test_a_split_that_is_not_whole_by_the_counts_that_the_scale_states(site):
    path = site / "tiny.yaml"
    path.write_text(path.read_text().replace("train: train,", "train: train, counts: {train: [118287, 2]},"))
    check = preflight.check_data(experiment(site))
    assert "coco train: 2 pictures, not 118287" in the_problem(check)
    assert check.failed
    path.write_text(path.read_text().replace("118287, 2]", "null, 7]"))
    check = preflight.check_data(experiment(site))
    assert "coco train: 2 persons, not 7" in the_problem(check)
    assert not check.failed


def test_ground_truth_that_does_not_score_one(site):
    """A person that the reader cannot use, but the metric counts, is missed."""
    path = site / "coco/annotations/person_keypoints_val.json"
    value = json.loads(path.read_text())
    value["annotations"][0]["bbox"] = [10, 5, 0, 0]
    write(path, value)
    assert "instead of 1" in the_problem(preflight.check_truth(experiment(site)))


def test_missing_detections(site):
    (site / "boxes.json").unlink()
    assert "boxes.json is not there" in the_problem(preflight.check_detections(experiment(site)))


def test_detections_of_another_quality(site):
    boxes = json.loads((site / "boxes.json").read_text())
    write(site / "boxes.json", boxes[:1])
    problem = the_problem(preflight.check_detections(experiment(site)))
    assert "box AP 50." in problem
    assert "100.0 expected" in problem


def test_damaged_detections(site):
    write(site / "boxes.json", [{"image_id": 1}])
    assert "entry 0" in the_problem(preflight.check_detections(experiment(site)))


def test_missing_weights(site):
    assert "imagenet: no resnet50.pth" in the_problem(preflight.check_weights(experiment(site)))
    (site / "imagenet").mkdir()
    assert "no resnet50.pth" in the_problem(preflight.check_weights(experiment(site)))


def test_weights_of_another_network(site):
    (site / "imagenet").mkdir()
    torch.save({"conv1.weight": torch.zeros(3)}, site / "imagenet/resnet50.pth")
    assert "resnet50.pth" in the_problem(preflight.check_weights(experiment(site)))


def test_weights_that_are_not_what_their_name_says(site):
    (site / "imagenet").mkdir()
    torch.save({}, site / "imagenet/resnet18-f37072fd.pth")
    problems = [finding.problem for finding in preflight.check_weights(experiment(site)).findings]
    assert any("does not begin with f37072fd" in problem for problem in problems)


def test_a_package_at_another_version_or_missing(tmp_path):
    (tmp_path / "lock").write_text("numpy==1.0\nno-such-package==2.0\n")
    check = doctor.check_versions(tmp_path / "lock")
    assert [finding.problem.split(",")[1] for finding in check.findings] == [" pinned 1.0", " pinned 2.0"]
    assert "no-such-package: not installed" in check.findings[1].problem
    assert doctor.check_versions().findings == []


def test_a_disk_that_is_too_small(site):
    check = doctor.check_disk(experiment(site), {"data sets": 1e15, "crop stores": 2e9}, free=10**9)
    assert "1.0 GB are free" in the_problem(check)
    assert not doctor.check_disk(
        experiment(site), {"data sets": 1e15, "crop stores": 2e9}, free=10**10
    ).failed


def test_too_little_memory(site):
    big = Site({"set-resources": {"train": {"mem_mb": 9000}}}, None)
    assert "this machine has 8000 MB; a job asks for 9000 MB" in the_problem(
        doctor.check_memory(experiment(site), big, machine_mb=8000)
    )
    assert doctor.check_memory(experiment(site), big, machine_mb=10000).findings == []


def test_missing_gpus_here_and_on_a_cluster(site):
    two = {"set-resources": {"train": {"gpu": 2}}}
    check = doctor.check_gpus(experiment(site), Site(two, None), devices=["GPU-a"])
    assert "asks for 2 GPUs; 1 are visible" in the_problem(check)
    cluster = Cluster("main", True, 300, "cons_tres", {"a100": 1}, 1000, 4, None)
    assert "partition main has 1" in the_problem(doctor.check_gpus(experiment(site), Site(two, cluster)))
    plenty = replace(cluster, gpus={"a100": 4})
    assert doctor.check_gpus(experiment(site), Site(two, plenty)).findings == []


def test_full_size_networks_without_a_gpu(site):
    assert "no GPU is asked for" in the_problem(
        doctor.check_gpus(experiment(site), Site({}, None), devices=[])
    )
    assert doctor.check_gpus(load_experiment("smoke"), Site({}, None), devices=[]).findings == []


def test_gpus_that_torch_cannot_use(site, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    one = Site({"set-resources": {"train": {"gpu": 1}}}, None)
    assert "torch cannot use" in the_problem(doctor.check_gpus(experiment(site), one, devices=["GPU-a"]))


def test_a_graph_that_does_not_build(site):
    (site / "coco/annotations/person_keypoints_val.json").unlink()
    assert "person_keypoints_val.json" in the_problem(
        doctor.check_graph(doctor.build_graph(str(site / "tiny.yaml")))
    )


def test_absent_files_are_not_named_again_by_the_graph(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = Check("data sets")
    named.wrong("data/coco: no such annotation file", "download it")
    built = doctor.build_graph("paper")
    assert doctor.check_graph(built).failed
    assert not doctor.check_graph(built, [named]).failed


def test_stale_locks_and_unfinished_outputs(tmp_path):
    (tmp_path / ".snakemake/locks").mkdir(parents=True)
    (tmp_path / ".snakemake/locks/0.output.lock").write_text("a\n")
    mark = urlsafe_b64encode(b"results/x/weights.safetensors").decode()
    (tmp_path / ".snakemake/incomplete" / f"@{mark[:8]}").mkdir(parents=True)
    (tmp_path / ".snakemake/incomplete" / f"@{mark[:8]}" / mark[8:]).write_text("{}")
    check = doctor.check_workflow(tmp_path / "logs", tmp_path / ".snakemake")
    assert ["no Snakemake runs here" in check.findings[0].problem, check.findings[0].level] == [True, "error"]
    assert "such as results/x/weights.safetensors" in check.findings[1].problem
    assert "--rerun-incomplete" in check.findings[1].remedy


def test_a_lock_of_a_snakemake_that_runs_is_no_error(tmp_path):
    (tmp_path / ".snakemake/locks").mkdir(parents=True)
    (tmp_path / ".snakemake/locks/0.output.lock").write_text("a\n")
    script = tmp_path / "snakemake"
    script.write_text("import time\nprint('up', flush=True)\ntime.sleep(60)\n")
    child = subprocess.Popen([sys.executable, str(script)], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None and child.stdout.readline() == "up\n"
        check = doctor.check_workflow(tmp_path / "logs", tmp_path / ".snakemake")
    finally:
        child.kill()
        child.wait()
    assert f"[{child.pid}]" in the_problem(check)
    assert not check.failed


def test_running_jobs_of_this_folder_alone(tmp_path, monkeypatch):
    rows = [f"7|RUNNING|rule_train_wildcards_x|{tmp_path}", "8|PENDING|other|/elsewhere"]
    script = tmp_path / "squeue"
    script.write_text("#!/bin/sh\ncat <<'END'\n" + "\n".join(rows) + "\nEND\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert jobs.slurm_jobs(tmp_path) == {"7": ("RUNNING", "rule_train_wildcards_x")}


def test_a_failed_jobs_cause_is_repeated(tmp_path):
    log = tmp_path / ".snakemake/slurm_logs/rule_train/x/3.log"
    log.parent.mkdir(parents=True)
    log.write_text("slurmstepd: error: Exceeded job memory limit")
    problem = the_problem(doctor.check_workflow(tmp_path / "logs", tmp_path / ".snakemake"))
    assert "train: the job used more memory than it asked for" in problem


def test_a_configuration_that_does_not_load_is_the_first_finding(tmp_path, capsys):
    (tmp_path / "bad.yaml").write_text("extends: smoke\nwidht: 1\n")
    assert main(["doctor", "--scale", str(tmp_path / "bad.yaml")]) == 1
    assert "widht: unknown key" in capsys.readouterr().out


def test_json_and_exit_code(site, capsys):
    assert main(["doctor", "--scale", str(site / "tiny.yaml"), "--json"]) == 1
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)}
    wrong = {name for name, check in checks.items() if any(f["level"] == "error" for f in check["findings"])}
    assert {"pretrained weights", "GPUs"} <= wrong
    assert not wrong & {"configuration", "versions", "data sets", "detections", "ground truth scores 1.0"}
    assert all(finding["remedy"] for check in checks.values() for finding in check["findings"])


def test_trainings_of_the_former_naming_are_named_and_left_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(report_tree.make_root(tmp_path, "madeup", (0,)))
    former = tmp_path / "results/madeup/trainings/mspn-2-s0-0123456789"
    write(former / "config.json", {"identity": {"code": "ab" * 32, "seed": 0}})
    write(former / "environment.json", {"code": "ab" * 32})
    experiment = load_experiment("madeup")
    check = doctor.check_results(experiment)
    (finding,) = check.findings
    assert "1 trainings are named after the text of the code" in finding.problem
    assert str(former.relative_to(tmp_path)) in finding.problem and "trained anew" in finding.remedy
    assert any("mspn-2-s0-0123456789" in words for words in warnings(collect(experiment)))
    assert (former / "config.json").is_file(), "nothing is deleted"
