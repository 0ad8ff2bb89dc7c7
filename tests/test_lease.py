"""GPUs are leased: never two holders unasked, freed however the holder ends, as many as promised."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mspn.cluster import lease
from mspn.cluster.launch import check_single, command, promised
from mspn.errors import UserError

TWO = ["GPU-aaaa", "GPU-bbbb"]


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "FOLDER", tmp_path / "leases")


def test_two_leases_never_hold_one_device_and_a_third_waits():
    first, second = lease.lease(1, TWO), lease.lease(1, TWO)
    assert {*first.devices, *second.devices} == set(TWO)
    with pytest.raises(UserError, match="no 1 of 2 GPUs are free"):
        lease.lease(1, TWO, wait_s=0)
    first.release()
    assert lease.lease(1, TWO, wait_s=0).devices == first.devices
    second.release()


def test_a_lease_of_several_is_all_or_nothing():
    one = lease.lease(1, TWO)
    with pytest.raises(UserError):
        lease.lease(2, TWO, wait_s=0)
    other = lease.lease(1, TWO, wait_s=0)  # the failed lease of two kept nothing
    one.release()
    other.release()
    assert sorted(lease.lease(2, TWO, wait_s=0).devices) == TWO


def test_sharing_is_spread_counted_and_never_with_one_that_did_not_ask():
    shared = [lease.lease(1, TWO, share=2, wait_s=0) for _ in range(4)]
    assert sorted(device for held in shared for device in held.devices) == sorted(TWO * 2)
    assert shared[0].devices != shared[1].devices  # an idle device comes before a second holder
    for share in (1, 2):
        with pytest.raises(UserError, match="free"):
            lease.lease(1, TWO, share=share, wait_s=0)
    for held in shared:
        held.release()
    alone = lease.lease(1, TWO[:1], wait_s=0)
    with pytest.raises(UserError, match="free"):
        lease.lease(1, TWO[:1], share=2, wait_s=0)
    alone.release()


def test_fewer_devices_than_promised_is_an_error_that_says_so():
    with pytest.raises(UserError, match=r"promised 2 GPUs but sees 1 \(GPU-aaaa\); check gpu"):
        lease.lease(2, TWO[:1])


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (None, TWO),
        ("", []),
        ("1", ["GPU-bbbb"]),
        ("1,0", TWO[::-1]),
        ("GPU-b", ["GPU-bbbb"]),
        ("0,7,1", ["GPU-aaaa"]),
        ("-1", []),
    ],
)
def test_visible_devices_follow_the_environment(chosen, expected):
    environment = {} if chosen is None else {"CUDA_VISIBLE_DEVICES": chosen}
    assert lease.visible_devices(environment, TWO) == expected


def fake_nvidia_smi(folder: Path, lines: str) -> dict[str, str]:
    folder.mkdir(exist_ok=True)
    script = folder / "nvidia-smi"
    script.write_text(f"#!/bin/sh\ncat <<'END'\n{lines}END\n")
    script.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def gpus(number: int) -> str:
    return "".join(f"GPU {i}: Fake (UUID: GPU-{i:04d})\n" for i in range(number))


def test_mig_parts_stand_for_their_gpu(tmp_path, monkeypatch):
    parts = "  MIG 1g.10gb     Device  0: (UUID: MIG-x)\n  MIG 1g.10gb     Device  1: (UUID: MIG-y)\n"
    environment = fake_nvidia_smi(tmp_path / "bin", gpus(1) + parts + "GPU 1: Fake (UUID: GPU-0001)\n")
    monkeypatch.setenv("PATH", environment["PATH"])
    assert lease.list_devices() == ["MIG-x", "MIG-y", "GPU-0001"]


def test_a_killed_holder_frees_its_device_and_the_verb_keeps_the_lease_it_was_started_with(tmp_path):
    """The launcher becomes the verb (here one that sleeps), and its death by SIGKILL frees the device."""
    environment = fake_nvidia_smi(tmp_path / "bin", gpus(1))
    code = (
        "import pathlib, sys; from mspn.cluster import launch, lease;"
        "lease.FOLDER = pathlib.Path(sys.argv[1]);"
        "launch.command = lambda arguments, gpus: [sys.executable, '-c', 'import os, time;"
        ' print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True); time.sleep(60)\'];'
        "launch.launch([], 1, 1)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(lease.FOLDER)], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert [child.stdout.readline().split()[-1] for _ in range(2)] == ["GPU-0000", "GPU-0000"]
    with pytest.raises(UserError, match=f"GPU-0000 by process {child.pid}"):
        lease.lease(1, ["GPU-0000"], wait_s=0)
    child.send_signal(signal.SIGKILL)
    child.wait()
    time.sleep(0.05)
    assert lease.lease(1, ["GPU-0000"], wait_s=1).devices == ["GPU-0000"]


def test_several_gpus_start_one_torchrun_with_a_process_each():
    assert command(["train", "--run", "mspn-2"], 1)[1:] == ["-m", "mspn", "train", "--run", "mspn-2"]
    several = command(["train", "--run", "mspn-2"], 4)
    assert several[1:5] == ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=4"]
    assert "SIGUSR1" in several[5]
    assert several[7:] == ["-m", "--", "mspn", "train", "--run", "mspn-2"]


@pytest.mark.parametrize(
    ("gpu", "gres", "expected"),
    [
        (0, "", 0),
        (3, "", 3),
        (0, "gpu", 1),
        (0, "gpu:4", 4),
        (0, "gpu:a100:2", 2),
        (0, "gpu:h200", 1),
        (0, "nic:2", 0),
    ],
)
def test_promised_gpus_of_a_job(gpu, gres, expected):
    assert promised(gpu, gres) == expected


def test_a_command_that_the_cluster_multiplied_is_refused():
    check_single({"SLURM_STEP_NUM_TASKS": "1"})
    with pytest.raises(UserError, match="started this job's command 4 times"):
        check_single({"SLURM_STEP_NUM_TASKS": "4"})


SCALE = (
    "extends: smoke\nname: two\nruns: [mspn-1]\nevaluate_on: [gt]\n"
    "recipes: {coco: {iterations: 4000, norm_batch: 2}}\n"
)


@pytest.mark.slow
def test_two_gpus_train_as_two_processes_and_a_clusters_warning_saves(tmp_path):
    """GPUs that are only listed: the processes themselves run on the CPU, as torch sees none."""
    environment = fake_nvidia_smi(tmp_path / "bin", gpus(2))
    environment["PYTHONPATH"] = str(Path.cwd())
    (tmp_path / "two.yaml").write_text(SCALE)
    (tmp_path / "workflow").symlink_to(Path("workflow").resolve())

    def mspn(*words: str) -> list[str]:
        return [sys.executable, "-m", "mspn", *words]

    for words in (("synth",), ("crops", "--input", "64x48")):
        line = mspn(*words, "--scale", "two.yaml", "--dataset", "coco")
        subprocess.run(line, cwd=tmp_path, env=environment, check=True, capture_output=True)
    line = mspn("launch", "--gpus", "2", "--", "train", "--scale", "two.yaml", "--run", "mspn-1")
    output = (tmp_path / "out.txt").open("w")
    child = subprocess.Popen(line, cwd=tmp_path, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        for _ in range(1200):
            logs = list(tmp_path.glob("results/two/checkpoints/*/log.jsonl"))
            if child.poll() is not None or (logs and len(logs[0].read_text().splitlines()) > 5):
                break
            time.sleep(0.1)
        child.send_signal(signal.SIGUSR1)
        assert child.wait(60) != 0
    finally:
        child.kill()
        output.close()
    assert "state saved" in (tmp_path / "out.txt").read_text()
    (attempts,) = tmp_path.glob("results/two/checkpoints/*/attempts.json")
    (attempt,) = json.loads(attempts.read_text())
    assert attempt["world"] == 2
    assert attempt["ended"] == "stopped"
