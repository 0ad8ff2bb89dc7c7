import copy
import json
import math
import os
import socket
from itertools import count, islice

import pytest
import torch
from torch import nn

from mspn.data.batches import Batch
from mspn.errors import UserError
from mspn.experiment.config import Recipe
from mspn.networks.build import build_network
from mspn.training.checkpoints import checkpoint_steps, read_checkpoint
from mspn.training.hardware import Options, Processes, checkpoint_gradients, joined, micro_batches, prepare
from mspn.training.memory import probe
from mspn.training.objective import Learner, Objective, accumulate_gradients
from mspn.training.train import Machine, Stop, Training, train

CPU = torch.device("cpu")
SIZE = (32, 24)
torch.set_num_threads(1)


class Tiny(nn.Module):
    """Two stages of four scales in one convolution, after batch norm."""

    def __init__(self):
        super().__init__()
        self.norm: nn.Module = nn.BatchNorm2d(3)
        self.conv = nn.Conv2d(3, 2 * 4 * 17, 4, 4)

    def forward(self, images, all_stages=False):
        maps = self.conv(self.norm(images))
        return maps.reshape(len(maps), 2, 4, 17, *maps.shape[-2:])


class Spoilt(Tiny):
    """Gives ``value`` at the finest scale of the first stage for a white image."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, images, all_stages=False):
        maps = super().forward(images, all_stages).clone()
        maps[images.amin((1, 2, 3)) > 2, 0, -1] = self.value
        return maps


def batches(micro_batch, start):
    """Sample i is a function of i alone, as of ``training_batches``."""
    for number in count(start):
        index = torch.arange(number * micro_batch, (number + 1) * micro_batch)
        made = []
        for i in index.tolist():
            generator = torch.Generator().manual_seed(i)
            image = torch.randint(0, 256, (*SIZE, 3), dtype=torch.uint8, generator=generator)
            joints = torch.rand(17, 3, generator=generator) * torch.tensor([SIZE[1], SIZE[0], 3.0])
            joints[:, 2].floor_()
            made.append((image, joints))
        yield Batch(torch.stack([image for image, _ in made]), torch.stack([j for _, j in made]), index)


RECIPE = Recipe(batch=4, iterations=6, lr=0.01, warmup_iterations=2)
OBJECTIVE = Objective(SIZE, 2, (15, 11, 9, 7), (11, 9, 7, 5))


def run(
    folder, recipe=RECIPE, data=batches, stop_after=None, network=Tiny, name="own", trunk=None, until=None,
    **machine,
):  # fmt: skip
    """Train a fresh network in a folder; with ``stop_after`` it is told to stop during that step."""
    torch.manual_seed(0)
    stop = Stop()

    def watched(micro_batch, start):
        for number, batch in enumerate(data(micro_batch, start), start=start + 1):
            if number == stop_after:
                stop.signal = 15
            yield batch

    training = Training(
        recipe, OBJECTIVE, watched, name, folder, trunk, until, sample=lambda i: f"person {i}"
    )
    options = Options()
    return train(prepare(network(), CPU, options), training, Machine(CPU, options, **machine), stop)


def log(folder):
    return (folder / "log.jsonl").read_text()


@pytest.mark.parametrize("ema", [None, 0.5])
@pytest.mark.parametrize("stop_after", [1, 3, 5])
def test_stopped_and_resumed_training_is_bit_identical(tmp_path, stop_after, ema):
    recipe = RECIPE.model_copy(update={"ema": ema})
    whole = run(tmp_path / "whole", recipe)
    assert run(tmp_path / "parts", recipe, stop_after=stop_after) is None
    assert checkpoint_steps(tmp_path / "parts") == [stop_after]
    resumed = run(tmp_path / "parts", recipe)
    assert whole is not None and resumed is not None
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert log(tmp_path / "whole") == log(tmp_path / "parts")
    attempts = json.loads((tmp_path / "parts/attempts.json").read_text())
    spans = [(a["from_step"], a["to_step"], a["ended"]) for a in attempts]
    assert spans == [(0, stop_after, "stopped"), (stop_after, 6, "finished")]


@pytest.mark.parametrize("stop_after", [None, 2])
def test_a_branch_from_a_trunk_is_the_straight_training(tmp_path, stop_after):
    """Up to the cool-down trainings of all lengths are one: a shorter one's trunk serves the longer one."""
    recipe = RECIPE.model_copy(update={"cooldown": 0.34, "ema": 0.5})
    assert recipe.cooldown_start == 4
    straight = run(tmp_path / "straight", recipe)
    longer = recipe.model_copy(update={"iterations": 60})
    trunk = tmp_path / "trunk"
    if stop_after:
        assert run(trunk, longer, name="trunk", until=4, stop_after=stop_after) is None
    run(trunk, longer, name="trunk", until=4)
    assert checkpoint_steps(trunk)[0] == 4
    branch = run(trunk, recipe, trunk="trunk")
    assert straight is not None and branch is not None
    assert all(torch.equal(straight[name], branch[name]) for name in straight)
    assert log(tmp_path / "straight") == log(trunk)
    with pytest.raises(UserError, match="of another training"):
        run(trunk, recipe, name="other", trunk="trunk")


def test_saving_does_not_disturb_the_training(tmp_path):
    often = run(tmp_path / "often", save_every_steps=1)
    seldom = run(tmp_path / "seldom", save_every_s=1e9)
    assert often is not None and seldom is not None
    assert all(torch.equal(often[name], seldom[name]) for name in often)
    assert log(tmp_path / "often") == log(tmp_path / "seldom")
    assert checkpoint_steps(tmp_path / "often") == [6, 5]
    assert checkpoint_steps(tmp_path / "seldom") == [6]


def test_log_has_a_line_per_step_with_the_schedule_and_every_loss(tmp_path):
    run(tmp_path)
    rows = [json.loads(line) for line in log(tmp_path).splitlines()]
    assert [row["step"] for row in rows] == list(range(6))
    assert [row["lr"] for row in rows] == pytest.approx([0.001, 0.0055, 0.01, 0.0075, 0.005, 0.0025])
    for row in rows:
        assert [len(stage) for stage in row["losses"]] == [4, 4]
        assert row["loss"] == pytest.approx(sum(map(sum, row["losses"])), rel=1e-6)
    timings = [json.loads(line) for line in (tmp_path / "timing.jsonl").read_text().splitlines()]
    assert [t["step"] for t in timings] == list(range(6))
    assert all(t["images_per_s"] > 0 and 0 <= t["data_wait"] <= 1 for t in timings)


def test_golden_losses(tmp_path):
    """Changes of the step's arithmetic show here; new values need a reason."""
    run(tmp_path)
    losses = [json.loads(line)["loss"] for line in log(tmp_path).splitlines()]
    assert losses == pytest.approx(GOLDEN, rel=1e-5)


GOLDEN = [21190.7764, 20341.3673, 19578.6051, 19554.2073, 17674.7189, 20939.5457]


def test_damaged_newest_checkpoint_costs_steps_but_not_the_result(tmp_path):
    whole = run(tmp_path / "whole")
    run(tmp_path / "parts", stop_after=4, save_every_steps=1)
    newest = tmp_path / "parts/step-000000004.ckpt"
    newest.write_bytes(newest.read_bytes()[:-1])
    with pytest.warns(UserWarning, match="damaged"):
        resumed = run(tmp_path / "parts")
    assert whole is not None and resumed is not None
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert log(tmp_path / "whole") == log(tmp_path / "parts")


def test_checkpoint_of_another_recipe_is_refused(tmp_path):
    run(tmp_path, stop_after=2)
    with pytest.raises(UserError, match="of another training"):
        run(tmp_path, RECIPE.model_copy(update={"lr": 0.02}), name="other")


def test_log_that_lacks_steps_of_the_checkpoint_is_refused(tmp_path):
    run(tmp_path, stop_after=3)
    (tmp_path / "log.jsonl").write_text("")
    with pytest.raises(UserError, match=r"log\.jsonl: has 0 of the 3 steps"):
        run(tmp_path)


def test_resuming_with_other_settings_warns(tmp_path):
    run(tmp_path, stop_after=3)
    with pytest.warns(UserWarning, match=r"other settings than before \(commit\)"):
        run(tmp_path, facts={"commit": "another"})


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_loss_that_is_not_finite_stops_the_training_and_names_where(tmp_path, value):
    def spoilt(micro_batch, start):
        for batch in batches(micro_batch, start):
            batch.images[batch.index == 14] = 255  # the third sample of step 3
            yield batch

    run(tmp_path, stop_after=2)
    with pytest.raises(
        UserError, match=r"step 3: the loss is not finite at stage 1 of 2, scale 1/4, .* person 14\."
    ):
        run(tmp_path, data=spoilt, network=lambda: Spoilt(value), save_every_steps=3)
    assert checkpoint_steps(tmp_path) == [3, 2]
    assert read_checkpoint(tmp_path / "step-000000003.ckpt")["step"] == 3
    failure = json.loads((tmp_path / "failure.json").read_text())
    assert failure["batch"] == ["person 12", "person 13", "person 14", "person 15"]
    assert {name for name, _ in failure["not_finite"]} == {"person 14"}
    resumed, whole = run(tmp_path), run(tmp_path / "whole")
    assert resumed is not None and whole is not None
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_micro_batches_keep_the_global_batch():
    assert micro_batches(256, 32, 8) == (32, 1)
    assert micro_batches(256, 32, 1) == (32, 8)
    assert micro_batches(256, 32, 2) == (32, 4)
    assert micro_batches(256, None, 1) == (256, 1)
    with pytest.raises(UserError, match=r"which 3 processes cannot share; use one of \[1, 2, 4\] processes"):
        micro_batches(32, 8, 3)
    with pytest.raises(UserError, match=r"batch norm sees 4 samples .* use one of \[1\] processes"):
        micro_batches(4, None, 2)


def test_losses_and_schedule_do_not_change_with_the_micro_batch(tmp_path):
    class NoBatchNorm(Tiny):
        def __init__(self):
            super().__init__()
            self.norm = nn.Identity()

    run(tmp_path / "whole", network=NoBatchNorm)
    run(tmp_path / "parts", RECIPE.model_copy(update={"norm_batch": 2}), network=NoBatchNorm)
    for a, b in zip(log(tmp_path / "whole").splitlines(), log(tmp_path / "parts").splitlines(), strict=True):
        assert json.loads(a)["lr"] == json.loads(b)["lr"]
        assert json.loads(a)["loss"] == pytest.approx(json.loads(b)["loss"], rel=1e-5)


@pytest.mark.parametrize("name", ["mspn-2", "hourglass-4-csfa"])
def test_gradient_checkpointing_changes_no_bit(name):
    def step(recompute):
        torch.manual_seed(0)
        network = build_network(name, width=0.0625).train()
        if recompute:
            checkpoint_gradients(network)
        torch.manual_seed(1)
        network(torch.randn(2, 3, *SIZE), all_stages=True).square().mean().backward()
        gradients = {f"grad {key}": p.grad for key, p in network.named_parameters()}
        return {**network.state_dict(), **gradients}

    plain, recomputed = step(False), step(True)
    assert plain.keys() == recomputed.keys()
    assert all(torch.equal(plain[key], recomputed[key]) for key in plain)


def test_memory_probe_says_whether_the_micro_batch_fits(monkeypatch):
    network = build_network("mspn-1", width=0.0625)
    peaks = {2: 3 * 2**30, 4: 5 * 2**30}  # one fixed, one per sample
    monkeypatch.setattr("mspn.training.memory.step_peak", lambda *arguments: peaks[arguments[-1]])
    monkeypatch.setattr("mspn.training.memory.free_memory", lambda device: 10 * 2**30 / 0.9 + 1)

    def ask(samples):
        return probe(
            network, OBJECTIVE, RECIPE, joints=17, device=CPU, options=Options(), micro_batch=samples
        )

    assert "9.0 GiB (1.0 fixed, 1.000 per sample) of 10.0 GiB usable: it fits" in ask(8)
    with pytest.raises(UserError, match="use --gradient-checkpointing, or a device with more memory"):
        ask(32)


def test_memory_probe_measures_and_leaves_the_network_alone():
    network = build_network("mspn-1", width=0.0625)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    objective = Objective(SIZE, 1, (7,) * 4, (7,) * 4)
    said = probe(network, objective, RECIPE, joints=17, device=CPU, options=Options(), micro_batch=4)
    assert "it fits" in said
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_processes_come_from_torchruns_environment(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert Processes.from_environment() == Processes(0, 1, 0)
    monkeypatch.setenv("RANK", "5")
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert Processes.from_environment() == Processes(5, 8, 1)


@pytest.mark.slow
def test_a_compiled_step_is_the_plain_one():
    """Loss, targets and normalisation compiled with the network, in two micro-batches of two steps."""
    torch.manual_seed(0)
    network, found = Tiny(), []
    for mode in ("off", "on"):
        own = copy.deepcopy(network)
        learner = Learner(own, OBJECTIVE, CPU, Options(compile=mode)).train()
        for step in range(2):
            own.zero_grad()
            losses, _ = accumulate_gradients(
                learner, islice(batches(4, 2 * step), 2), global_batch=8, micro=2, device=CPU
            )
        gradients = {f"grad {name}": p.grad for name, p in own.named_parameters()}
        found.append({"losses": losses, **gradients, **dict(own.named_buffers())})
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-4)


def one_of_two(rank, what, folder, port):
    """Trains with another; the second gets a white picture, or is told to stop, in its third step."""
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE="2")
    torch.set_num_threads(1)
    processes, stop = Processes.from_environment(), Stop()

    def data(micro_batch, start):
        for number, batch in enumerate(batches(micro_batch, start)):
            if (rank, number) == (1, 2):
                if what == "stop":
                    stop.signal = 15
                else:
                    batch.images[0] = 255
            yield batch

    torch.manual_seed(0)
    recipe = RECIPE.model_copy(update={"norm_batch": 2})
    with joined(processes, CPU):
        training = Training(recipe, OBJECTIVE, data, "own", folder)
        network = prepare(Tiny() if what == "stop" else Spoilt(math.nan), CPU, Options())
        try:
            ended = train(network, training, Machine(CPU, Options(), processes, save_every_steps=1), stop)
            said = "told to stop" if ended is None else "finished"
        except UserError as error:
            said = str(error)
    (folder / f"said-{rank}").write_text(said)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "said", "steps"), [("stop", "told to stop", 4), ("nan", "step 2: the loss is", 2)]
)
def test_two_processes_stop_together(tmp_path, what, said, steps):
    """What one of them meets, both know a step later; a step that was not finite is never saved."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(one_of_two, (what, tmp_path, port), nprocs=2)
    assert all((tmp_path / f"said-{rank}").read_text().startswith(said) for rank in (0, 1))
    assert checkpoint_steps(tmp_path)[0] == steps
