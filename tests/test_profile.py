"""Profiles: the committed ones are what Snakemake reads; a site's fits what the cluster says of itself."""

import os
from pathlib import Path

import pytest
import yaml

from mspn.cluster import profiles
from mspn.cluster.costs import RULES
from mspn.cluster.doctor import read_site
from mspn.commands.cli import main
from mspn.errors import UserError

PROFILES = Path("workflow/profiles")

CONFIG = """Configuration data as of 2026-01-01T00:00:00
AccountingStorageType   = {accounting}
MinJobAge               = {age} sec
SelectType              = select/{select}
"""
NODES = """gpu|gpu:a100:8(S:0-1)|512000|64|2-00:00:00
gpu|(null)|128000|32|2-00:00:00
cpu|(null)|64000+|16|infinite
"""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A cluster that answers from files: ``fake(accounting=..., select=..., age=...)``."""

    def make(accounting="accounting_storage/slurmdbd", select="cons_tres", age=300, sacct=0, nodes=NODES):
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "config").write_text(CONFIG.format(accounting=accounting, select=select, age=age))
        (folder / "nodes").write_text(nodes)
        for name, text in {
            "scontrol": f"cat {folder}/config",
            "sinfo": f"cat {folder}/nodes",
            "sacct": f"exit {sacct}",
        }.items():
            script = folder / name
            script.write_text(f"#!/bin/sh\n{text}\n")
            script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    return make


@pytest.mark.parametrize("name", ["local", "slurm"])
def test_committed_profiles_name_only_rules_that_there_are(name):
    profile = yaml.safe_load((PROFILES / name / "config.yaml").read_text())
    assert set(profile["set-resources"]) | set(profile["set-threads"]) <= set(RULES)
    assert set(profile.get("groups", ())) <= set(RULES)
    assert "retries" not in profile  # of all rules: an error that comes again would be submitted again
    assert profile["set-resources"]["train"]["gpu"] >= 1
    assert profile["rerun-incomplete"] is True


def written(folder: Path) -> dict:
    return yaml.safe_load((folder / "config.yaml").read_text())


def test_a_cluster_with_accounting_and_gpus(fake, tmp_path):
    fake()
    arguments = [
        "profile",
        "--partition",
        "gpu",
        "--account",
        "me",
        "--gpus",
        "4",
        "--out",
        str(tmp_path / "site"),
    ]
    assert main(arguments) == 0
    profile = written(tmp_path / "site")
    assert profile["slurm-status-command"] == "sacct"
    assert "slurm-no-account" not in profile
    assert profile["default-resources"]["slurm_partition"] == "gpu"
    assert profile["default-resources"]["slurm_account"] == "me"
    train = profile["set-resources"]["train"]
    assert (train["gpu"], train["runtime"]) == (4, 1440)
    assert train["mem_mb"] == f"min({512000 * 9 // 20} * attempt, {512000 * 9 // 10})"
    assert profile["set-resources"]["latency"]["slurm_extra"] == "'--exclusive'"
    assert "retries" not in profile
    assert train["slurm_extra"] == "'--signal=USR1@120'"
    assert profile["set-threads"]["train"] == 32


def test_jobs_without_a_gpu_go_to_a_cpu_partition_and_the_plan_says_what_each_takes(fake, tmp_path):
    fake()
    arguments = ["--partition", "gpu", "--cpu-partition", "cpu", "--gpus", "8", "--scale", "smoke"]
    assert main(["profile", *arguments, "--out", str(tmp_path / "site")]) == 0
    profile = written(tmp_path / "site")
    assert profile["default-resources"]["slurm_partition"] == "cpu"
    rules = profile["set-resources"]
    assert set(rules) == set(RULES)
    for rule, resources in rules.items():
        assert {"mem_mb", "runtime", "disk_mb"} <= set(resources)
        assert resources.get("slurm_partition") == ("gpu" if "gpu" in resources else None), rule
    assert {rule for rule in rules if "gpu" in rules[rule]} == {"train", "trunk", "evaluate", "latency"}
    assert rules["crops"]["mem_mb"] == 2000  # synthetic data
    assert profile["groups"] == {"flops": "costs", "trained_flops": "costs", "ceiling": "costs"}
    assert profile["group-components"] == {"costs": 3}
    assert read_site(tmp_path / "site").memory_mb() == 512000 * 9 // 10


def test_small_jobs_are_not_one_where_a_node_has_no_room_for_all(fake, tmp_path):
    fake()
    for name, node in (("memory", "cpu|(null)|20000|16|infinite"), ("time", "cpu|(null)|64000|16|2:00:00")):
        (tmp_path / "bin/nodes").write_text(node)
        assert main(["profile", "--partition", "cpu", "--out", str(tmp_path / name)]) == 0
        assert "groups" not in written(tmp_path / name)


@pytest.mark.parametrize("found", [{"accounting": "accounting_storage/none"}, {"sacct": 1}])
def test_without_accounting_the_status_command_is_squeue(fake, tmp_path, found):
    fake(**found)
    assert main(["profile", "--partition", "cpu", "--out", str(tmp_path / "site")]) == 0
    profile = written(tmp_path / "site")
    assert profile["slurm-status-command"] == "squeue"
    assert profile["slurm-no-account"] is True
    assert "gpu" not in profile["set-resources"]["train"]
    assert profile["default-resources"]["mem_mb"] == 8000


def test_a_cluster_that_does_not_know_gpus_is_asked_by_gres(fake, tmp_path):
    fake(select="cons_res")
    main(["profile", "--partition", "gpu", "--gpus", "2", "--out", str(tmp_path / "site")])
    train = written(tmp_path / "site")["set-resources"]["train"]
    assert train["gres"] == "gpu:2"
    assert "gpu" not in train


def test_a_short_memory_of_the_controller_is_remarked(fake, tmp_path, capsys):
    fake(accounting="accounting_storage/none", age=60)
    main(["profile", "--partition", "cpu", "--out", str(tmp_path / "site")])
    assert "MinJobAge = 60 s" in capsys.readouterr().out
    assert written(tmp_path / "site")["slurm-init-seconds-before-status-checks"] == 15


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--partition", "gpu", "--gpus", "9"], "a node of partition gpu has 8 GPUs"),
        (["--partition", "cpu", "--gpus", "1"], "has no GPUs; choose another partition, or --gpus 0"),
        (["--partition", "big"], "no such partition; there are: cpu, gpu"),
    ],
)
def test_what_the_cluster_cannot_give_is_refused(fake, tmp_path, capsys, arguments, expected):
    fake()
    assert main(["profile", *arguments, "--out", str(tmp_path / "site")]) == 2
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "site").exists()


def test_an_account_on_a_cluster_without_accounting_is_refused(fake, tmp_path, capsys):
    fake(accounting="accounting_storage/none")
    assert main(["profile", "--partition", "cpu", "--account", "me", "--out", str(tmp_path / "site")]) == 2
    assert "keeps no accounting" in capsys.readouterr().err


def test_where_there_is_no_slurm_it_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["profile", "--partition", "gpu", "--out", str(tmp_path / "site")]) == 2
    assert "scontrol: no such command; run this where jobs are submitted" in capsys.readouterr().err


def test_another_profile_is_not_overwritten(tmp_path):
    profiles.write_profile(tmp_path, "a")
    profiles.write_profile(tmp_path, "a")
    with pytest.raises(UserError, match="differs"):
        profiles.write_profile(tmp_path, "b")


def test_a_machines_profile_leases_each_gpu_once(tmp_path):
    assert main(["profile", "--local", "--gpus", "2", "--out", str(tmp_path)]) == 0
    profile = written(tmp_path)
    assert profile["resources"] == {"gpu": 2}
    assert profile["set-resources"]["train"] == {"gpu": 1, "gpu_share": 1}


@pytest.mark.parametrize(
    ("gres", "expected"),
    [
        ("(null)", {}),
        ("gpu:8", {"": 8}),
        ("gpu", {"": 1}),
        ("gpu:a100:4(S:0-1),nic:2", {"a100": 4}),
        ("gpu:a100:4(S:0),gpu:v100:2(S:1)", {"a100": 4, "v100": 2}),
        ("gpu:nvidia_h100_80gb_hbm3:8", {"nvidia_h100_80gb_hbm3": 8}),
    ],
)
def test_gpus_in_the_words_of_sinfo(gres, expected):
    assert profiles.parse_gpus(gres) == expected


@pytest.mark.parametrize(
    ("limit", "minutes"),
    [("infinite", None), ("30:00", 30), ("4:00:00", 240), ("1-00:00:00", 1440), ("2-12:30:00", 3630)],
)
def test_time_limits_in_the_words_of_sinfo(limit, minutes):
    assert profiles.parse_minutes(limit) == minutes


def test_a_machine_without_gpus_is_told_so(tmp_path, capsys):
    assert main(["profile", "--local", "--gpus", "0", "--out", str(tmp_path)]) == 0
    assert "everything runs on the CPU" in capsys.readouterr().out
