"""Train one run of the grid with one seed, or go on with it from its last checkpoint.

All that decides the result comes from the scale's file and the grid; the options here only say how to use
this machine. Results go to results/SCALE/trainings/ID: weights.safetensors, log.jsonl, timing.jsonl,
config.json and environment.json. While it runs, the log and the checkpoints lie in
results/SCALE/checkpoints/ID; after any interruption give the same command again.

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
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mspn.data.skeletons import skeleton
from mspn.errors import UserError
from mspn.experiment.experiment import Experiment, load_experiment
from mspn.experiment.grid import SUPERVISIONS, Run
from mspn.files import atomic, write_json

if TYPE_CHECKING:
    import torch

    from mspn.data.batches import Source
    from mspn.data.persons import Persons
    from mspn.training.train import Machine

HELP = "train one run with one seed, or go on with it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which run, and how to use the machine."""
    parser.add_argument("--scale", default="demo", help="a scale's name, or a YAML file (default: demo)")
    parser.add_argument("--run", dest="run_name", metavar="RUN", help="a run of the grid")
    parser.add_argument("--seed", type=int, default=0, help="its seed (default: 0)")
    parser.add_argument("--training", metavar="ID", help="in place of --run and --seed: the training's id")
    add_machine_arguments(parser)
    add = parser.add_argument
    add(
        "--micro-batch",
        type=int,
        metavar="M",
        help="samples at once per process; the gradients of several are accumulated to the recipe's batch "
        "(default: all of a process's share)",
    )
    add("--workers", type=int, default=0, help="threads that make batches (default: 0)")
    add(
        "--store-on-device",
        action="store_true",
        help="copy the crop store into the GPU's memory and warp there",
    )
    add("--probe-memory", action="store_true", help="first say whether the micro-batch fits into memory, and "
        "stop with a proposal if it does not")  # fmt: skip
    add("--save-every", type=float, default=60, metavar="S", help="seconds between checkpoints (default: 60)")
    add("--save-steps", type=int, metavar="N", help="also save every N steps")


def add_machine_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of speed and memory, shared with the benchmark."""
    add = parser.add_argument
    add(
        "--device", choices=["auto", "cpu", "cuda"], default="auto", help="(default: auto, a GPU if there is)"
    )
    add("--threads", type=int, default=1, help="CPU threads; the last bits depend on it (default: 1)")
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
    add("--gradient-checkpointing", action="store_true", help="less memory, more time")
    add("--sync-batch-norm", action="store_true", help="batch norm over all GPUs, not each its own")


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
        gradient_checkpointing=args.gradient_checkpointing,
        sync_batch_norm=args.sync_batch_norm,
    )
    facts = {**describe(), **describe_device(device), "options": options.as_dict()}
    return Machine(
        device, options, processes, args.micro_batch, args.save_every, args.save_steps, facts=facts
    )


def training_data(
    experiment: Experiment, run: Run, device: "torch.device | None" = None
) -> "tuple[Persons, Source | None, Callable[[int], str]]":
    """The persons that a run is trained on, their crop store if the scale uses one, and the name of a row.

    With ``device`` the store is copied into its memory.
    """
    from mspn.data.load import join, load_training
    from mspn.data.store import DeviceStore

    augmentation = experiment.recipe(run).augmentation
    parts, crops = load_training(experiment, run, augmentation, experiment.scale.crops == "store")
    store: Source | None = crops if crops is None or device is None else DeviceStore(crops, device)
    origins = [(part, row) for part in parts for row in range(len(part))]

    def sample(row: int) -> str:
        part, own = origins[row]
        return f"annotation {part.ids[own]} of image {part.image_ids[own]} ({part.name})"

    return join(parts), store, sample


def run(args: argparse.Namespace) -> int:
    """Train; 0 when done, 75 or 130 when told to stop and saved."""
    experiment = load_experiment(args.scale)
    if bool(args.training) == bool(args.run_name):
        raise UserError("give either --run (with --seed) or --training")
    chosen, seed = (
        experiment.training(args.training) if args.training else (experiment.run(args.run_name), args.seed)
    )
    if not chosen.network:
        raise UserError(f"run {chosen.run!r} is an ensemble of {', '.join(chosen.members)}: train those")

    from mspn.training.train import REQUEUE, Stop

    stop = Stop()
    with stop.on_signals():
        done = _train(args, experiment, chosen, seed, stop)
    if done:
        return 0
    print("mspn: stopped as asked, state saved; the same command goes on from here", file=sys.stderr)
    return 130 if stop.signal == signal.SIGINT else REQUEUE


def _train(args: argparse.Namespace, experiment: Experiment, run: Run, seed: int, stop: Any) -> bool:
    """Put the parts together, train, write the results; False when stopped before the end."""
    import torch

    from mspn.data.batches import training_batches
    from mspn.training.hardware import joined, micro_batches, prepare, set_up
    from mspn.training.memory import probe
    from mspn.training.objective import Objective, starting_network
    from mspn.training.train import Training, train

    machine = machine_from(args)
    processes, recipe = machine.processes, experiment.recipe(run)
    size, micro = micro_batches(recipe.batch, processes.world, machine.micro_batch)
    set_up(machine.device, machine.options)
    network = starting_network(run, experiment.scale.width, seed)
    origin = "trained from scratch"
    if experiment.scale.pretrained is not None:
        from mspn.networks.imagenet import load_imagenet

        origin = load_imagenet(network, experiment.scale.pretrained)
    _, earlier, last = SUPERVISIONS[run.supervision]
    objective = Objective(experiment.input_size(run), len(network.stages), earlier, last, recipe.precision)  # type: ignore[arg-type]
    if args.probe_memory:
        said = probe(
            network,
            objective,
            recipe,
            joints=len(skeleton(run.joint_set).joints),
            device=machine.device,
            options=machine.options,
            micro_batch=size,
            micro=micro,
        )
        print(f"mspn: {said}", file=sys.stderr)
    network = prepare(network, machine.device, machine.options)
    persons, store, sample = training_data(experiment, run, machine.device if args.store_on_device else None)

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
        )

    identity, folder = experiment.identity(run, seed), experiment.checkpoint_folder(run, seed)
    training = Training(recipe, objective, batches, identity, folder, sample)
    with joined(processes, machine.device):
        try:
            weights = train(network, training, machine, stop)
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"out of memory with {size} samples at once; try --micro-batch {max(size // 2, 1)}, or "
                f"--gradient-checkpointing: {error}"
            ) from None
    if weights is not None and processes.rank == 0:
        write_results(experiment, run, seed, weights, origin)
    return weights is not None


def write_results(experiment: Experiment, run: Run, seed: int, weights: dict[str, Any], origin: str) -> None:
    """Fill the training's folder: weights last, so that they stand for a whole result."""
    from mspn.experiment.networks import network_spec
    from mspn.networks.weights import save_weights
    from mspn.training.journal import LOG, TIMING, read_attempts

    folder, live = experiment.training_folder(run, seed), experiment.checkpoint_folder(run, seed)
    identity, recipe = experiment.identity(run, seed), experiment.recipe(run)
    address = {"run": run.run, "seed": seed, "training_id": experiment.training_id(run, seed)}
    for name in (LOG, TIMING):
        with atomic(folder / name) as temporary:
            shutil.copyfile(live / name, temporary)
    scale = experiment.scale.model_dump(mode="json")
    write_json(
        folder / "config.json",
        {
            **address,
            "identity": identity,
            "recipe": recipe.model_dump(mode="json"),
            "grid": asdict(run),
            "scale": scale,
        },
    )
    attempts = read_attempts(live)
    last = attempts[-1]
    facts = (
        "versions",
        "machine",
        "commit",
        "dirty",
        "device",
        "options",
        "micro_batch",
        "accumulation",
        "world",
    )
    write_json(
        folder / "environment.json",
        {
            **address,
            **{key: last[key] for key in facts},
            "peak_memory_bytes": max(attempt["peak_memory_bytes"] for attempt in attempts),
            **{key: round(sum(a[key] for a in attempts), 3) for key in ("wall_s", "device_s", "data_wait_s")},
            "attempts": attempts,
        },
    )
    constructor, keywords = network_spec(run.network)
    joints, scales = len(skeleton(run.joint_set).joints), SUPERVISIONS[run.supervision][0]
    header = {
        "constructor": constructor,
        "keywords": {**keywords, "joints": joints, "scales": scales, "width": experiment.scale.width},
        "joint_set": run.joint_set,
        "input_size": list(experiment.input_size(run)),
        **address,
        "identity": identity,
        "step": recipe.iterations,
        "source": origin + (f"; average of decay {recipe.ema}" if recipe.ema else ""),
    }
    save_weights(folder / "weights.safetensors", weights, header)
