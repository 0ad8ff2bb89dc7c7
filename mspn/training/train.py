"""The training loop: one function that reads top-down, from the last checkpoint to the last step."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mspn.data.batches import Batch
from mspn.errors import UserError
from mspn.experiment.config import Recipe
from mspn.files import write_json
from mspn.training.checkpoints import load_checkpoint, lock_folder, save_checkpoint
from mspn.training.hardware import Options, Processes, micro_batches
from mspn.training.journal import Clock, Journal, Progress, Stopwatch
from mspn.training.objective import Learner, Objective, accumulate_gradients
from mspn.training.optimiser import load_optimiser, make_optimiser, take_step, update_average
from mspn.training.schedule import learning_rate

# EX_TEMPFAIL of sysexits.h, "try again later": the job was told to stop, saved, and can be requeued.
REQUEUE = 75


@dataclass(frozen=True)
class Training:
    """What is trained, how, and where its checkpoints lie."""

    recipe: Recipe
    objective: Objective
    batches: Callable[[int, int], Iterator[Batch]]  # (micro-batch, first micro-batch's number) -> without end
    name: str  # its id; a checkpoint of another training is refused,
    folder: Path  # of the checkpoints
    trunk: str | None = None  # but for those of the trunk that it branches off from
    until: int | None = None  # the step to stop at, if not the recipe's last
    sample: Callable[[int], str] = str  # a sample's row -> its name in messages

    @property
    def end(self) -> int:
        """The number of steps to do."""
        return self.recipe.iterations if self.until is None else self.until


@dataclass(frozen=True)
class Machine:
    """Where and how it runs; no part of a run's identity (see ``mspn.training.hardware``)."""

    device: torch.device
    options: Options = field(default_factory=Options)
    processes: Processes = field(default_factory=Processes)
    save_every_s: float = 60
    save_every_steps: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)  # for the record of attempts


@dataclass
class Stop:
    """Set by a signal: the loop finishes its step, saves and returns."""

    signal: int | None = None

    @contextmanager
    def on_signals(self) -> Iterator["Stop"]:
        """SIGTERM, SIGUSR1 (a cluster's warning), SIGINT and SIGHUP ask for a stop within the block.

        SIGHUP does not where it is ignored already, as ``nohup`` has it.
        """

        def ask(number: int, frame: FrameType | None) -> None:
            self.signal = number

        numbers = [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        before = [signal.signal(number, ask) for number in numbers]
        try:
            yield self
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)


def train(network: nn.Module, training: Training, machine: Machine, stop: Stop) -> dict[str, Tensor] | None:
    """Train ``network`` (prepared by ``mspn.training.hardware.prepare``) up to ``training.end``.

    Goes on from the newest checkpoint where there is one. Returns the final weights, averaged if the recipe
    says so; None when told to stop, the state being saved. Raises UserError at a loss that is not finite,
    noticed a step late, with the last checkpoint as it was.
    """
    recipe, objective, world = training.recipe, training.objective, machine.processes.world
    micro_batch, micro = micro_batches(recipe.batch, recipe.norm_batch, world)
    lock = lock_folder(training.folder) if machine.processes.rank == 0 else None
    optimiser = make_optimiser(network, recipe.weight_decay)
    average = {k: v.clone() for k, v in network.state_dict().items()} if recipe.ema else None
    start = done = resume(network, optimiser, average, training)

    watch = Stopwatch()
    batches = watch.waiting(training.batches(micro_batch, start * micro))
    clock = Clock(watch, machine.save_every_s, machine.save_every_steps)
    progress = Progress(start, training.end, recipe.batch)
    facts = {"micro_batch": micro_batch, "accumulation": micro, "world": world, **machine.facts}
    journal = Journal(training.folder, start, facts) if lock else None  # the first process writes for all
    learner: nn.Module = Learner(network, objective, machine.device, machine.options).train()
    if world > 1:
        learner = DistributedDataParallel(learner, broadcast_buffers=False)

    def tell(sent: Sent) -> bool:
        """Read and write down a step; whether any process was told to stop. The same for all processes."""
        means, finite, asked = sent.read()
        if not finite:
            if journal:
                journal.sync(sent.step, "loss not finite", clock.facts(machine.device, world))
            raise not_finite(sent, training, world)
        if journal and not sent.told:
            journal.step(sent.step, sent.lr, means, *sent.speed)
            progress.show(sent.step + 1, sum(map(sum, means)), watch.seconds)
            sent.told = True
        return asked

    before: Sent | None = None  # read a step late, so that the device never waits for us
    while done < training.end:
        clock.begin_step()
        lr = learning_rate(recipe, done)
        losses, rows = accumulate_gradients(
            learner,
            islice(batches, micro),
            global_batch=recipe.batch,
            micro=micro,
            device=machine.device,
            world=world,
        )  # (n, S, L), (n,)
        sent = send(done, lr, losses, rows, recipe.batch, stop, world)
        take_step(optimiser, lr)
        if average is not None and recipe.ema:
            update_average(average, network, recipe.ema)
        done += 1

        stopping = before is not None and tell(before)
        stopping = stopping or (world == 1 and stop.signal is not None)
        sent.speed = clock.step_speed(recipe.batch)
        last = done == training.end or stopping
        if last:
            tell(sent)
        # What is saved is sound: where the loss is not finite, all processes stop together, a step later.
        if journal and (last or clock.save_due(done)) and sent.read()[1]:
            with clock.saving():
                tell(sent)
                journal.sync(done, "running", clock.facts(machine.device, world))
                save_checkpoint(training.folder, state_of(network, optimiser, average, training, done))
        if stopping:
            break
        before = sent

    finished = done == training.end
    if lock and journal:
        journal.sync(done, "finished" if finished else "stopped", clock.facts(machine.device, world))
        journal.close()
        lock.close()
    if not finished:
        return None
    return network.state_dict() if average is None else average


@dataclass
class Sent:
    """A step's figures on their way to the host."""

    step: int
    lr: float
    losses: Tensor  # (n, S, L) of this process's samples, on the device
    rows: Tensor  # (n,) of these samples
    figures: Tensor  # on the host: mean losses, whether all are finite, how many processes were told to stop
    arrived: torch.cuda.Event | None  # None on the CPU, where they are there at once
    speed: tuple[float, float] = (0.0, 0.0)  # images per second and share of waiting, of the turn of the loop
    told: bool = False

    def read(self) -> tuple[list[list[float]], bool, bool]:
        """The mean losses (S, L) over the global batch, whether they are finite, whether to stop.

        Waits for the device to have done the step.
        """
        if self.arrived is not None:
            self.arrived.synchronize()
        *means, finite, asked = self.figures.tolist()
        scales = self.losses.shape[2]
        rows = [means[start : start + scales] for start in range(0, len(means), scales)]
        return rows, finite > 0, asked > 0


def send(step: int, lr: float, losses: Tensor, rows: Tensor, batch: int, stop: Stop, world: int) -> Sent:
    """Start a step's figures on their way, of all processes together, without waiting for the device."""
    asked = torch.full((1,), float(stop.signal is not None), dtype=losses.dtype, device=losses.device)
    sums = torch.cat([losses.sum(0).flatten(), asked])
    if world > 1:
        dist.all_reduce(sums)
    means = sums[:-1] / batch
    figures = torch.cat([means, torch.isfinite(means).all()[None], sums[-1:]])
    host = figures.to("cpu", non_blocking=True)  # into page-locked memory, which torch takes for this
    arrived = None
    if losses.is_cuda:
        arrived = torch.cuda.Event()
        arrived.record()
    return Sent(step, lr, losses, rows, host, arrived)


def state_of(
    network: nn.Module,
    optimiser: torch.optim.Adam,
    average: dict[str, Tensor] | None,
    training: Training,
    step: int,
) -> dict[str, Any]:
    """All that the rest of a training depends on; samples are a function of the seed and the step."""
    return {
        "identity": training.name,
        "step": step,
        "network": network.state_dict(),
        "optimiser": optimiser.state_dict(),
        "average": average,
        "generators": {
            "cpu": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        },
    }


def resume(
    network: nn.Module,
    optimiser: torch.optim.Adam,
    average: dict[str, Tensor] | None,
    training: Training,
) -> int:
    """Take over the newest sound checkpoint's state; returns its step, 0 where there is none."""
    state = load_checkpoint(training.folder, {training.name, training.trunk or training.name})
    if state is None:
        return 0
    step: int = state["step"]
    network.load_state_dict(state["network"])
    load_optimiser(optimiser, state["optimiser"])
    for name, value in (average or {}).items():
        value.copy_(state["average"][name])
    torch.set_rng_state(state["generators"]["cpu"])
    if len(state["generators"]["cuda"]) == torch.cuda.device_count() > 0:
        torch.cuda.set_rng_state_all(state["generators"]["cuda"])
    return step


def not_finite(sent: Sent, training: Training, world: int) -> UserError:
    """The error that names step, stages, scales and samples; all of them are in ``failure.json``."""
    step, losses = sent.step, sent.losses
    names = [training.sample(row) for row in sent.rows.tolist()]
    _, stages, scales = losses.shape
    found = [
        (names[n], f"stage {s + 1} of {stages}, scale 1/{4 * 2 ** (scales - 1 - level)}")
        for n, s, level in (~torch.isfinite(losses)).nonzero().tolist()
    ]
    if world > 1:
        gathered: list[Any] = [None] * world
        dist.all_gather_object(gathered, (names, found))
        names = [name for part, _ in gathered for name in part]
        found = [pair for _, part in gathered for pair in part]
    places = sorted({place for _, place in found}) or ["their sum"]
    samples = list(dict.fromkeys(name for name, _ in found)) or names
    path = training.folder / "failure.json"
    if world == 1 or dist.get_rank() == 0:
        write_json(path, {"step": step, "not_finite": found, "batch": names})
    shown = "; ".join(samples[:5]) + (f"; and {len(samples) - 5} more" if len(samples) > 5 else "")
    return UserError(
        f"step {step}: the loss is not finite at {'; '.join(places)}, for {len(samples)} of {len(names)} "
        f"samples: {shown}. All are listed in {path}. The last checkpoint is as it was. Look at these "
        "samples, lower the learning rate, or use precision fp32."
    )
