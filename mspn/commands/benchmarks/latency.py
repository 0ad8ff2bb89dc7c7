"""Median latency of every network of a scale, one crop at a time, at the scale's width and input size.

One thread on the CPU; on a GPU the device is waited for after each crop. Weights are untrained: they do not
change the time. The networks take turns, so that a busy moment of the machine falls on all of them.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mspn.experiment.experiment import Experiment

HELP = "median time of one crop through every network of a scale"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which scale, how often, where to."""
    parser.add_argument("--scale", default="demo", help="name or path of a scale (default: demo)")
    parser.add_argument("--repeats", type=int, default=20, help="crops timed per network (default: 20)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the CSV there (default: print only)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Measure, print, write."""
    import json

    import pandas as pd
    from tabulate import tabulate

    from mspn.experiment.load import load_experiment
    from mspn.files import write_text

    rows = measure(load_experiment(args.scale), args.repeats)
    if args.out:
        write_text(args.out, pd.DataFrame(rows).to_csv(index=False))
    if args.json:
        print(json.dumps(rows, indent=1))
    else:
        print(tabulate(rows, headers="keys", floatfmt=".3f"))
    return 0


def measure(experiment: "Experiment", repeats: int) -> list[dict[str, Any]]:
    """A row for each run: ``ms_per_crop`` (median), its quartiles, and what it was measured on.

    Runs that share network, joints and input share one measurement. An ensemble takes its members' sum.
    """
    import statistics
    import time

    import torch

    from mspn.data.skeletons import skeleton
    from mspn.experiment.grid import SUPERVISIONS, Run
    from mspn.networks.build import build_network
    from mspn.training.hardware import describe_device, pick_device

    torch.set_num_threads(1)
    device = pick_device("auto")
    name = describe_device(device)["device"]

    def key(run: Run) -> tuple[str, int, int, tuple[int, int]]:
        joints = len(skeleton(run.joint_set).joints)
        return run.network, joints, SUPERVISIONS[run.supervision][0], experiment.input_size(run)

    networks, crops = {}, {}
    for network, joints, scales, size in dict.fromkeys(key(run) for run in experiment.trained):
        built = build_network(network, joints=joints, scales=scales, width=experiment.scale.width)
        networks[network, joints, scales, size] = built.eval().to(device)
        crops[size] = torch.zeros(1, 3, *size, device=device)

    def once(which: tuple[str, int, int, tuple[int, int]]) -> float:
        begin = time.perf_counter()
        networks[which](crops[which[3]])
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return 1000 * (time.perf_counter() - begin)

    times: dict[Any, list[float]] = {which: [] for which in networks}
    with torch.inference_mode():
        for which in networks:
            once(which), once(which)
        for _ in range(repeats):
            for which, seconds in times.items():
                seconds.append(once(which))

    rows = []
    for run in experiment.grid.values():
        members = [key(experiment.grid[member]) for member in run.members] or [key(run)]
        quartiles = [statistics.quantiles(times[which], n=4) for which in members]
        low, median, high = (sum(column) for column in zip(*quartiles, strict=True))
        height, width = experiment.input_size(run)
        rows.append(
            {
                "run": run.run,
                "ms_per_crop": round(median, 4),
                "ms_quartile_1": round(low, 4),
                "ms_quartile_3": round(high, 4),
                "input": f"{height}x{width}",
                "width": experiment.scale.width,
                "repeats": repeats,
                "threads": 1,
                "device": name,
            }
        )
    return rows
