"""Training speed: each option on and off, at full size, all in one run.

Every variant trains the same network for a few steps in a process of its own, so that its peak memory is its
own: fp32 and bf16, each with and without channels-last, with gradient checkpointing, on a GPU also tf32,
compiled, and with CUDA graphs. "former" is the literal step (``mspn.training.literal``), in the allocator's
default state. With ``--rounds`` the variants take turns, and a ratio is the median of the rounds'. With one
CPU thread a step's time is the processor's, so that other processes count less.

Images are random pictures of COCO's size, read through a crop store as training does.

The achieved share compares the arithmetic of a step's convolutions and matrix products (two operations for a
multiply-add, forward and backward, counted by torch's FlopCounterMode on one image) with the rate of a large
matrix product of the same precision on the same device and threads.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from mspn.commands.cli import to_size
from mspn.errors import UserError

if TYPE_CHECKING:
    import torch

    from mspn.data.persons import Persons
    from mspn.training.hardware import Options
    from mspn.training.objective import Learner

HELP = "training: images/s, data wait, memory and share of the matrix rate, each option on and off"

# name -> (precision, options of mspn.training.hardware.Options)
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "fp32": ("fp32", {"channels_last": False}),
    "fp32, channels-last": ("fp32", {}),
    "tf32, channels-last": ("tf32", {}),
    "bf16": ("bf16", {"channels_last": False}),
    "bf16, channels-last": ("bf16", {}),
    "bf16, channels-last, former": ("bf16", {}),
    "bf16, channels-last, gradient checkpointing": ("bf16", {"gradient_checkpointing": True}),
    "bf16, channels-last, compiled": ("bf16", {"compile": "on"}),
    "bf16, channels-last, CUDA graphs": ("bf16", {"compile": "cuda-graphs"}),
}
PAPER_SAMPLES = 90_000 * 256  # paper, section 4.2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is trained and how much of it."""
    add = parser.add_argument
    add("--network", default="mspn-2", help="(default: mspn-2)")
    add("--input", default="256x192", type=to_size, help="height x width (default: 256x192)")
    add("--width", type=float, default=1.0, help="multiplier of the channels (default: 1)")
    add("--batch", type=int, help="samples per step (default: 8 on the CPU, 32 on a GPU, as many as batch "
        "norm sees at the paper scale)")  # fmt: skip
    add("--steps", type=int, help="timed steps per variant (default: 3 on the CPU, 30 on a GPU)")
    add("--rounds", type=int, default=1, help="times that the variants take turns (default: 1)")
    add("--device", choices=["auto", "cpu", "cuda"], default="auto", help="(default: auto)")
    add("--threads", type=int, help="CPU threads (default: all cores)")
    add("--workers", type=int, default=0, help="threads that make batches (default: 0)")
    add("--variant", choices=list(VARIANTS), action="append", help="only this one, or these; the first is "
        "what the others are compared with")  # fmt: skip
    add("--compile", action="store_true", help="also compile on a CPU, which takes minutes")
    add("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Measure each variant in a process of its own and print a table or JSON."""
    if args.variant and len(args.variant) == 1 and args.json:
        print(json.dumps(measure(args, args.variant[0])))
        return 0
    names = args.variant or _variants(args)
    rounds = [[_in_own_process(args, name) for name in names] for _ in range(args.rounds)]
    rows = [_together(turns, rounds) for turns in zip(*rounds, strict=True)]
    if args.json:
        print(json.dumps(rows, indent=1))
        return 0
    first = rows[0]
    print(
        f"{args.network} (width {args.width:g}) at {args.input[0]}x{args.input[1]}, batch {first['batch']}, "
        f"{first['gflop_per_image']:.1f} GFLOP per image and step\n"
        f"{first['device']}, {first['threads']} threads"
    )
    for row in rows:
        hours = PAPER_SAMPLES / row["images_per_s"] / 3600
        print(
            f"\n{row['variant']}\n"
            f"  {row['images_per_s']:.2f} images/s, {median(row['ratios']):.2f} times "
            f"{first['variant']}; {row['data_wait']:.1%} of the time waiting for data\n"
            f"  peak memory {row['peak_memory_bytes'] / 2**30:.2f} GiB; {row['achieved']:.0%} of the matrix "
            f"rate of {row['matrix_gflops']:.0f} GFLOP/s in {row['precision']}\n"
            f"  the paper's 90,000 steps of 256 would take {hours:.1f} h"
        )
    return 0


def _together(turns: Sequence[dict[str, Any]], rounds: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """A variant's row of medians over its turns, with each turn's ratio to the first variant's."""
    speeds = [row["images_per_s"] for row in turns]
    ratios = [speed / row[0]["images_per_s"] for speed, row in zip(speeds, rounds, strict=True)]
    return {**turns[-1], "images_per_s": median(speeds), "ratios": ratios}


def _variants(args: argparse.Namespace) -> list[str]:
    from mspn.training.hardware import pick_device

    cuda = pick_device(args.device).type == "cuda"
    if cuda:
        return list(VARIANTS)
    left_out = ["CUDA", "tf32", *([] if args.compile else ["compiled"])]
    return [name for name in VARIANTS if not any(word in name for word in left_out)]


def _in_own_process(args: argparse.Namespace, name: str) -> dict[str, Any]:
    line = [sys.executable, "-m", "mspn", "bench", "train", "--json", "--variant", name]
    for option in ("network", "width", "batch", "steps", "device", "threads", "workers"):
        if (value := getattr(args, option)) is not None:
            line += [f"--{option}", str(value)]
    line += ["--input", "x".join(map(str, args.input))]
    done = subprocess.run(line, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise UserError(f"variant {name!r} failed with exit code {done.returncode}; its message is above")
    row: dict[str, Any] = json.loads(done.stdout)
    return row


def measure(args: argparse.Namespace, name: str) -> dict[str, Any]:
    """One variant, measured in this process."""
    import os

    import torch

    from mspn.experiment.grid import SUPERVISIONS
    from mspn.networks.build import build_network
    from mspn.training.hardware import Options, describe_device, peak_memory, pick_device, prepare, set_up
    from mspn.training.literal import LiteralObjective, literal_blocks
    from mspn.training.objective import Learner, Objective

    precision, chosen = VARIANTS[name]
    device = pick_device(args.device)
    cpu = device.type == "cpu"
    options = Options(threads=args.threads or os.cpu_count() or 1, **chosen)
    batch, steps = args.batch or (8 if cpu else 32), args.steps or (3 if cpu else 30)
    former = name.endswith("former")
    if former:
        torch.set_num_threads(options.threads)
    else:
        set_up(device, options, precision)
    torch.manual_seed(0)
    network = build_network(args.network, width=args.width)
    stages: Any = network.stages
    kind = LiteralObjective if former else Objective
    objective = kind(args.input, len(stages), *SUPERVISIONS["ctf"][1:], precision)
    learner = Learner(prepare(network, device, options), objective, device, options).train()
    with literal_blocks() if former else nullcontext():
        times, waits = time_steps(learner, device, options, batch, steps, args.workers)
    peak = peak_memory(device)  # before anything else takes memory
    rate = matrix_gflops(device, precision, clock_of(device, options.threads, args.workers))
    speed, gflop = batch / median(times), step_gflop(args)
    return {
        "variant": name,
        "precision": precision,
        "options": options.as_dict(),
        "network": args.network,
        "input_size": list(args.input),
        "batch": batch,
        "threads": options.threads,
        **describe_device(device),
        "images_per_s": speed,
        "step_s": times,
        "data_wait": sum(waits) / sum(times),
        "peak_memory_bytes": peak,
        "gflop_per_image": gflop,
        "matrix_gflops": rate,
        "achieved": gflop * speed / rate,
    }


def time_steps(
    learner: "Learner",
    device: "torch.device",
    options: "Options",
    batch: int,
    steps: int,
    workers: int,
) -> tuple[list[float], list[float]]:
    """Seconds of each step, and of them waiting for data; two steps to warm up are left out."""
    from mspn.data.batches import training_batches
    from mspn.data.crops import make_store
    from mspn.data.store import open_store
    from mspn.experiment.config import Store
    from mspn.training.journal import Stopwatch
    from mspn.training.objective import accumulate_gradients
    from mspn.training.optimiser import make_optimiser, take_step
    from mspn.training.train import Sent, Stop, send

    optimiser, watch, times, waits = make_optimiser(learner, 1e-5), Stopwatch(), [], []
    size = learner.objective.input_size
    before: Sent | None = None
    clock = clock_of(device, options.threads, workers)
    with tempfile.TemporaryDirectory() as folder:
        persons = random_persons(Path(folder))
        make_store(Path(folder), persons, size, "released", Store(), report=lambda line: None)
        store = open_store(Path(folder), persons, size, "released", Store())
        batches = watch.waiting(
            training_batches(
                persons,
                input_size=size,
                augmentation="released",
                seed=0,
                batch=batch,
                workers=workers,
                store=store,
                pin=device.type == "cuda",
            )
        )
        for step in range(2 + steps):
            begin, waited = clock(), watch.seconds
            losses, rows = accumulate_gradients(
                learner, islice(batches, 1), global_batch=batch, micro=1, device=device
            )
            sent = send(step, 1e-4, losses, rows, batch, Stop(), world=1)
            take_step(optimiser, 1e-4)
            if before is not None:
                before.read()  # waits for the device a step late, as the loop does
            before = sent
            times.append(clock() - begin)
            waits.append(watch.seconds - waited)
    return times[2:], waits[2:]


def step_gflop(args: argparse.Namespace) -> float:
    """10^9 operations of one image's forward and backward pass with every head, two for a multiply-add."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from mspn.networks.build import build_network

    network = build_network(args.network, width=args.width)
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, *args.input), all_stages=True).sum().backward()
    return float(counter.get_total_flops()) / 1e9


def clock_of(device: "torch.device", threads: int, workers: int) -> Callable[[], float]:
    """Of the processor where one thread does all, so that other processes count less; else the wall's."""
    one_thread = device.type == "cpu" and threads == 1 and not workers
    return time.process_time if one_thread else time.perf_counter


def matrix_gflops(device: "torch.device", precision: str, clock: Callable[[], float]) -> float:
    """10^9 operations per second of a large matrix product in that precision: the best of five."""
    import torch

    size = 8192 if device.type == "cuda" else 2048
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.randn(size, size, device=device).to(kind) for _ in range(2))
    best = float("inf")
    for _ in range(6):  # the first warms up
        begin = clock()
        a @ b
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, clock() - begin)
    return 2 * size**3 / best / 1e9


def random_persons(folder: Path, pictures: int = 16, each: int = 4) -> "Persons":
    """Persons with joints anywhere in their boxes, on pictures of 640x480 that are written to ``folder``."""
    import cv2
    import numpy as np

    from mspn.data.persons import Persons, Picture
    from mspn.data.skeletons import COCO

    random = np.random.default_rng(0)
    found = {}
    for number in range(pictures):
        coarse = random.integers(0, 256, (15, 20, 3), np.uint8)
        path = folder / f"{number}.jpg"
        cv2.imwrite(str(path), cv2.resize(coarse, (640, 480), interpolation=cv2.INTER_CUBIC))
        found[number] = Picture(path, 640, 480)
    count = pictures * each
    sizes = random.uniform((60, 120), (200, 360), (count, 2))
    corners = random.uniform(0, 1, (count, 2)) * ((640, 480) - sizes)
    joints = corners[:, None] + random.uniform(0, 1, (count, 17, 2)) * sizes[:, None]
    seen = random.integers(0, 3, (count, 17, 1))
    return Persons(
        name="random",
        skeleton=COCO,
        pictures=found,
        ids=np.arange(count),
        image_ids=np.repeat(np.arange(pictures), each),
        boxes=np.hstack([corners, sizes]).astype(np.float32),
        joints=(np.concatenate([joints, seen], axis=2) * (seen > 0)).astype(np.float32),
        scores=np.ones(count, np.float32),
        areas=sizes.prod(1).astype(np.float32),
        head_sizes=np.full(count, np.nan, np.float32),
    )
