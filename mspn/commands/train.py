"""Train one run of the grid with one seed, or go on with it from its last checkpoint.

All that decides the result comes from the scale's file and the grid; the options here only say how to use
this machine. Results go to results/SCALE/trainings/ID: weights.safetensors, log.jsonl, timing.jsonl,
config.json and environment.json. While it runs, the log and the checkpoints lie in
results/SCALE/checkpoints/ID; after any interruption give the same command again.

With --requeue a SLURM job that is warned of its time limit by SIGUSR1 goes back into the queue, if it did any
steps: the training goes on when it comes up again, and no attempt of the workflow is counted.

SIGTERM, SIGUSR1 and Ctrl-C end it after the step at hand, saved: the exit code is then 75 (130 for Ctrl-C)
and the job can be requeued. Several processes or GPUs:

  torchrun --nproc-per-node 8 --signals-to-handle SIGTERM,SIGUSR1 -m -- \\
    mspn train --scale paper --run mspn-2 --seed 0

The lone -- keeps torchrun from taking --run for an option of its own. Without --signals-to-handle SIGUSR1
ends torchrun and leaves its processes alone. Stopped and saved, torchrun exits with 1, not 75.
"""

import argparse
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mspn.cluster.jobs import requeue
from mspn.data.skeletons import skeleton
from mspn.errors import UserError
from mspn.experiment.config import MOST_SEED
from mspn.experiment.experiment import Experiment
from mspn.experiment.grid import SUPERVISIONS, Run
from mspn.experiment.load import claim_results, load_experiment

if TYPE_CHECKING:
    import torch

    from mspn.data.batches import Source
    from mspn.data.persons import Persons
    from mspn.training.train import Machine

HELP = "train one run with one seed, or go on with it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scale", default="demo", help="a scale's name, or a YAML file (default: demo)")
    parser.add_argument("--run", dest="run_name", metavar="RUN", help="a run of the grid")
    parser.add_argument("--seed", type=int, default=0, help="its seed (default: 0)")
    parser.add_argument("--training", metavar="ID", help="in place of --run and --seed: the training's id")
    parser.add_argument("--trunk", metavar="ID", help="a trunk, from which trainings branch off to cool down")
    parser.add_argument("--until", type=int, metavar="N", help="the steps of the trunk")
    parser.add_argument(
        "--replicate",
        action="store_true",
        help="train again beside a finished training, say whether the weights are the same, and leave it as "
        "it is; exit code 1 if they differ",
    )
    add_machine_arguments(parser)
    add = parser.add_argument
    add("--workers", type=int, default=0, help="threads that make batches (default: 0)")
    switch(parser, "--store-on-device", "copy the crop store into the GPU's memory and warp there")
    add("--probe-memory", action="store_true", help="first say whether the micro-batch fits into memory, and "
        "stop with a proposal if it does not")  # fmt: skip
    add("--save-every", type=float, default=60, metavar="S", help="seconds between checkpoints (default: 60)")
    add("--save-steps", type=int, metavar="N", help="also save every N steps")
    add("--requeue", action="store_true", help="on SLURM: back into the queue when the time is up")


def switch(parser: argparse.ArgumentParser, name: str, words: str) -> None:
    """An option that is on where it is named, or ``on`` or ``off`` by its value, as a profile gives it."""
    parser.add_argument(
        name, nargs="?", choices=["on", "off"], const="on", default="off", help=f"{words} (default: off)"
    )


def add_machine_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of speed and memory, shared with the benchmark."""
    add = parser.add_argument
    add(
        "--device", choices=["auto", "cpu", "cuda"], default="auto", help="(default: auto, a GPU if there is)"
    )
    add("--threads", type=int, default=1, help="CPU threads; results depend on it as on a seed (default: 1)")
    add(
        "--channels-last",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="memory layout of convolutions (default: on)",
    )
    add(
        "--compile",
        nargs="?",
        choices=["off", "on", "cuda-graphs"],
        const="on",
        default="off",
        help="torch.compile; takes minutes on a CPU (default: off)",
    )
    switch(parser, "--gradient-checkpointing", "less memory, more time")


def machine_from(args: argparse.Namespace) -> "Machine":
    """What the options say about the machine; UserError where it lacks what they ask for."""
    from mspn.experiment.provenance import describe
    from mspn.training.hardware import Options, Processes, describe_device, pick_device
    from mspn.training.train import Machine

    processes = Processes.from_environment()
    device = pick_device(args.device, processes.local_rank)
    options = Options(
        threads=args.threads,
        channels_last=args.channels_last,
        compile=args.compile,
        gradient_checkpointing=args.gradient_checkpointing == "on",
    )
    facts = {**describe(), **describe_device(device), "options": options.as_dict()}
    return Machine(device, options, processes, args.save_every, args.save_steps, facts=facts)


def training_data(
    experiment: Experiment, run: Run, device: "torch.device | None" = None
) -> "tuple[Persons, Source | None, Callable[[int], str]]":
    """The persons that a run is trained on, their crop store if the scale uses one, and the name of a row.

    With ``device`` the store is copied into its memory.
    """
    from mspn.data.load import join, load_training
    from mspn.data.store import DeviceStore
    from mspn.training.memory import require_room

    parts, crops = load_training(experiment, run)
    store: Source | None = crops
    if crops is not None and device is not None:
        require_room(crops.raw_bytes, device)
        store = DeviceStore(crops, device)
    origins = [(part, row) for part in parts for row in range(len(part))]

    def sample(row: int) -> str:
        part, own = origins[row]
        return f"annotation {part.ids[own]} of image {part.image_ids[own]} ({part.name})"

    return join(parts), store, sample


def run(args: argparse.Namespace) -> int:
    """Train; 0 when done, 75 or 130 when told to stop and saved, 1 when a replication differs."""
    experiment = load_experiment(args.scale)
    task = task_of(args, experiment)

    from mspn.training.train import REQUEUE, Stop

    stop = Stop()
    with stop.on_signals():
        code = _train(args, experiment, task, stop)
    if code is not None:
        return code
    print("mspn: stopped as asked, state saved; the same command goes on from here", file=sys.stderr)
    if args.requeue and stop.signal == signal.SIGUSR1 and _went_on(task.live):
        print(f"mspn: the job goes back into the queue: {requeue()}", file=sys.stderr)
    return 130 if stop.signal == signal.SIGINT else REQUEUE


def _went_on(live: Path) -> bool:
    """Whether the attempt that just ended did any steps; asked of one process of several."""
    from mspn.training.hardware import Processes
    from mspn.training.journal import read_attempts

    last = read_attempts(live)[-1]
    return Processes.from_environment().rank == 0 and bool(last["to_step"] > last["from_step"])


@dataclass(frozen=True)
class Task:
    """What is trained: a run with a seed, or its trunk up to a step; ``trunk`` is where it starts from."""

    run: Run
    seed: int
    name: str
    live: Path  # of the checkpoints
    until: int | None
    trunk: Path | None


def task_of(args: argparse.Namespace, experiment: Experiment) -> Task:
    """The task that the arguments name; UserError where they name none, or more than one."""
    if sum(map(bool, (args.training, args.run_name, args.trunk))) != 1 or (args.until is None) != (
        args.trunk is None
    ):
        raise UserError("give either --run (with --seed), or --training, or --trunk with --until")
    if not 0 <= args.seed < MOST_SEED:
        raise UserError(f"--seed {args.seed}: a whole number from 0 to {MOST_SEED - 1}")
    if args.trunk:
        found = experiment.trunks()
        if args.trunk not in found or args.until not in found[args.trunk][2]:
            raise UserError(f"no trunk {args.trunk!r} of {args.until} steps; there are: {_listed(found)}")
        run, seed, steps = found[args.trunk]
        before = [experiment.trunk_folder(run, seed, step) for step in steps if step < args.until]
        live = experiment.results / "checkpoints" / args.trunk
        return Task(run, seed, args.trunk, live, args.until, before[-1] if before else None)
    run, seed = (
        experiment.training(args.training) if args.training else (experiment.run(args.run_name), args.seed)
    )
    if not run.network:
        raise UserError(f"run {run.run!r} is an ensemble of {', '.join(run.members)}: train those")
    recipe, trunk = experiment.recipe(run), None
    if recipe.cooldown is not None:
        trunk = experiment.trunk_folder(run, seed, recipe.cooldown_start)
    live = experiment.checkpoint_folder(run, seed)
    live = live.with_name(f"{live.name}-again") if args.replicate else live
    return Task(run, seed, experiment.training_id(run, seed), live, None, trunk)


def _listed(trunks: dict[str, tuple[Run, int, list[int]]]) -> str:
    return "; ".join(f"{name} ({', '.join(map(str, steps))})" for name, (_, _, steps) in trunks.items())


def _train(args: argparse.Namespace, experiment: Experiment, task: Task, stop: Any) -> int | None:
    """Put the parts together, train, write the results; None when stopped before the end."""
    import torch

    from mspn.data.batches import training_batches
    from mspn.networks.build import count_stages, definition
    from mspn.networks.imagenet import pretrain
    from mspn.training.hardware import check_options, joined, micro_batches, prepare, set_up
    from mspn.training.memory import probe
    from mspn.training.objective import Objective, starting_network
    from mspn.training.results import begin_from_trunk
    from mspn.training.train import Training, train

    run, seed = task.run, task.seed
    machine = machine_from(args)
    processes, recipe = machine.processes, experiment.recipe(run)
    size, micro = micro_batches(recipe.batch, recipe.norm_batch, processes.world)
    check_options(machine.options, machine.device.type, micro)
    set_up(machine.device, machine.options, recipe.precision)
    input_size, width = experiment.input_size(run), experiment.scale.width
    stages = count_stages(*definition(run, width), input_size)
    network = starting_network(run, width, seed, recipe.head_scale)
    origin = pretrain(network, experiment, run)
    _, earlier, last = SUPERVISIONS[run.supervision]
    objective = Objective(input_size, stages, earlier, last, recipe.precision)
    if args.probe_memory:
        said = probe(
            network,
            objective,
            recipe,
            joints=len(skeleton(run.joint_set).joints),
            device=machine.device,
            options=machine.options,
            micro_batch=size,
        )
        print(f"mspn: {said}", file=sys.stderr)
    network = prepare(network, machine.device, machine.options)
    resident = machine.device if args.store_on_device == "on" else None
    persons, store, sample = training_data(experiment, run, resident)

    def batches(batch: int, start: int) -> Any:
        return training_batches(
            persons,
            input_size=objective.input_size,
            augmentation=recipe.augmentation,
            seed=seed,
            batch=batch,
            start=start,
            rank=processes.rank,
            world=processes.world,
            workers=args.workers,
            store=store,
            pin=machine.device.type == "cuda",
        )

    trunk = experiment.trunk_id(run, seed) if recipe.cooldown is not None else None
    training = Training(recipe, objective, batches, task.name, task.live, trunk, task.until, sample)
    claim_results(experiment, args.scale)
    with joined(processes, machine.device):
        if task.trunk is not None:
            begin_from_trunk(task.live, task.trunk, processes)
        try:
            weights = train(network, training, machine, stop)
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"out of memory with {size} samples at once; try --gradient-checkpointing, or a device with "
                f"more memory: {error}"
            ) from None
    if weights is None:
        return None
    return _finish(args, experiment, task, weights, origin) if processes.rank == 0 else 0


def _finish(
    args: argparse.Namespace, experiment: Experiment, task: Task, weights: dict[str, Any], origin: str
) -> int:
    """Write what was trained, or compare it with what is there."""
    from mspn.training.results import difference, leave_trunk, write_results

    run, seed = task.run, task.seed
    if task.until is not None:
        leave_trunk(task.live, experiment.trunk_folder(run, seed, task.until))
    elif args.replicate:
        said = difference(weights, experiment.weights_file(run, seed))
        shutil.rmtree(task.live)
        print(said)
        return int(not said.startswith("the same"))
    else:
        write_results(experiment, run, seed, weights, origin, task.live)
    return 0
