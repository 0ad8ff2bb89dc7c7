"""The command line, killed, warned, spread over processes: it must leave what an undisturbed run leaves."""

import json
import random
import signal
import subprocess
import sys
import time

import pytest
from safetensors import safe_open

from mspn.networks.weights import load_network, load_weights
from mspn.training.checkpoints import checkpoint_steps
from tests import tiny_scale


def outcome(folder):
    """What must be the same: the weights' hash and the log."""
    with safe_open(tiny_scale.results(folder) / "weights.safetensors", framework="pt") as file:
        header = json.loads(file.metadata()["mspn"])
    return header["tensor_hash"], (tiny_scale.results(folder) / "log.jsonl").read_bytes()


def wait_for_steps(folder, steps, process):
    """Wait until a training has logged so many steps in its timing, of all attempts, or is over."""
    while process.poll() is None:
        found = list(folder.glob("results/tiny/checkpoints/*/step-*.ckpt"))
        if any(int(path.stem[5:]) >= steps for path in found):
            return
        time.sleep(0.01)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tiny_scale.make(tmp_path_factory.mktemp("undisturbed"), iterations=40)
    done = tiny_scale.run(folder, tiny_scale.command())
    assert done.returncode == 0, done.stderr
    return folder


def test_results_are_whole(undisturbed):
    folder = tiny_scale.results(undisturbed)
    files = {path.name for path in folder.iterdir()}
    assert files == {"weights.safetensors", "log.jsonl", "timing.jsonl", "config.json", "environment.json"}
    _, header = load_weights(folder / "weights.safetensors")
    config = json.loads((folder / "config.json").read_text())
    environment = json.loads((folder / "environment.json").read_text())
    assert header["training_id"] == folder.name == config["training_id"] == environment["training_id"]
    assert header["identity"] == config["identity"]
    assert (header["run"], header["seed"], header["step"]) == ("mspn-1", 0, 40)
    assert header["input_size"] == [32, 24] and header["keywords"]["width"] == 0.0625
    assert environment["peak_memory_bytes"] > 2**26 and environment["device_s"] > 0
    assert {"commit", "dirty", "device", "versions", "wall_s"} <= environment.keys()
    assert environment["attempts"][0]["ended"] == "finished"
    network, _ = load_network(folder / "weights.safetensors")
    assert not network.training


def test_after_the_end_the_same_command_trains_again_and_tells_whether_it_is_the_same(undisturbed):
    folder, results = tiny_scale.checkpoints(undisturbed), tiny_scale.results(undisturbed)
    before = outcome(undisturbed)
    assert [path.name for path in folder.iterdir()] == ["finished.json"]
    (attempt,) = json.loads((results / "environment.json").read_text())["attempts"]
    killed = {**attempt, "ended": "running", "wall_s": 0, "device_s": 0, "peak_memory_bytes": 0}
    (folder / "attempts.json").write_text(json.dumps([killed]))  # killed before the first checkpoint
    (results / "weights.safetensors").unlink()
    done = tiny_scale.run(undisturbed, tiny_scale.command())
    assert done.returncode == 0, done.stderr
    assert "trained again: the same weights as before" in done.stdout
    assert outcome(undisturbed) == before
    environment = json.loads((results / "environment.json").read_text())
    assert [a["ended"] for a in environment["attempts"]] == ["killed", "finished"]
    assert [a["from_step"] for a in environment["attempts"]] == [0, 0]


def test_a_replication_says_whether_the_weights_are_the_same_and_leaves_them(undisturbed):
    before = outcome(undisturbed)
    done = tiny_scale.run(undisturbed, tiny_scale.command("--replicate"))
    assert (done.returncode, done.stdout[:30]) == (0, "the same weights, bit for bit:"), done.stderr
    done = tiny_scale.run(undisturbed, tiny_scale.command("--replicate", "--no-channels-last"))
    assert done.returncode == 1 and "other weights: they differ by " in done.stdout, done.stderr
    assert outcome(undisturbed) == before
    assert [path.name for path in tiny_scale.checkpoints(undisturbed).iterdir()] == ["finished.json"]
    assert not list(tiny_scale.checkpoints(undisturbed).parent.glob("*-again"))


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_the_same(undisturbed, tmp_path):
    folder = tiny_scale.make(tmp_path, iterations=40)
    line = tiny_scale.command("--save-steps", "1")
    moments, kills = random.Random(time.time_ns()), 0
    while kills < 6:
        process = tiny_scale.start(folder, line)
        steps = max(checkpoint_steps(tiny_scale.checkpoints(folder)), default=0) if kills else 0
        wait_for_steps(folder, steps + moments.randint(1, 6), process)
        time.sleep(moments.uniform(0, 0.02))
        process.kill()
        process.communicate()
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
        kills += 1
    assert kills >= 3
    done = tiny_scale.run(folder, line)
    assert done.returncode == 0, done.stderr
    assert outcome(folder) == outcome(undisturbed)
    attempts = json.loads((tiny_scale.results(folder) / "environment.json").read_text())["attempts"]
    assert [attempt["ended"] for attempt in attempts] == ["killed"] * kills + ["finished"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP])
def test_warned_it_saves_and_asks_to_be_requeued(undisturbed, tmp_path, number):
    if signal.getsignal(number) == signal.SIG_IGN:  # under nohup a training leaves SIGHUP ignored
        pytest.skip(f"signal {number} is ignored here")
    folder = tiny_scale.make(tmp_path, iterations=40)
    process = tiny_scale.start(folder, tiny_scale.command("--save-steps", "10", "--save-every", "1e9"))
    wait_for_steps(folder, 10, process)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 75, output
    assert "state saved; the same command goes on from here" in output
    assert 10 < max(checkpoint_steps(tiny_scale.checkpoints(folder))) < 40
    assert not (folder / "results/tiny/trainings").exists()
    assert tiny_scale.run(folder, tiny_scale.command()).returncode == 0
    assert outcome(folder) == outcome(undisturbed)


@pytest.mark.slow
def test_two_gloo_processes_give_the_losses_of_one(tmp_path):
    """Batch norm sees the same two samples at once in one process and in two."""
    one = tiny_scale.make(tmp_path / "one", iterations=6, norm_batch=2)
    done = tiny_scale.run(one, tiny_scale.command(run="mspn-2"))
    assert done.returncode == 0, done.stderr
    two = tiny_scale.make(tmp_path / "two", iterations=6, norm_batch=2)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--"]
    line = tiny_scale.command(run="mspn-2")
    done = subprocess.run(
        [sys.executable, *launch, *line[2:]],
        cwd=two,
        env={**tiny_scale.environment(), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    rows = [
        [json.loads(line) for line in (tiny_scale.results(folder) / "log.jsonl").read_text().splitlines()]
        for folder in (one, two)
    ]
    assert len(rows[0]) == len(rows[1]) == 6
    for a, b in zip(*rows, strict=True):
        assert (a["step"], a["lr"]) == (b["step"], b["lr"])
        for stage_a, stage_b in zip(a["losses"], b["losses"], strict=True):
            assert stage_a == pytest.approx(stage_b, rel=1e-5)
    environment = json.loads((tiny_scale.results(two) / "environment.json").read_text())
    assert (environment["world"], environment["micro_batch"], environment["accumulation"]) == (2, 2, 1)


def test_refusals_name_the_remedy(tmp_path):
    folder = tiny_scale.make(tmp_path)
    line = tiny_scale.command()
    refused = tiny_scale.run(folder, [*line, "--training", "mspn-1-s0-abc"])
    assert refused.returncode == 2 and "either --run (with --seed), or --training" in refused.stderr
    refused = tiny_scale.run(folder, [*line, "--trunk", "mspn-1-s0-abc", "--until", "3"])
    assert refused.returncode == 2 and "either --run (with --seed), or" in refused.stderr
    assert not (folder / "results").exists()
