"""Median latency of every network of a scale at its width and input: one crop alone, and 32 together.

One thread on the CPU; on a GPU the device is waited for after each pass. Weights are untrained: they do not
change the time. The networks take turns, so that a busy moment of the machine falls on all of them. What was
measured is kept beside --out under all that decides it, and only another network, size, device or version of
torch is measured anew: remove that folder to measure all again.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from mspn.experiment.experiment import Experiment
    from mspn.experiment.grid import Run

HELP = "median time of one crop, and of one among 32, through every network of a scale"

TOGETHER = 32  # crops of the larger batch
FEWER = 4  # it is timed so many times less often: a pass of it takes long enough to be steady


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scale", default="demo", help="name or path of a scale (default: demo)")
    parser.add_argument("--repeats", type=int, default=20, help="crops timed per network (default: 20)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the CSV there (default: print only)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    import json

    import pandas as pd
    from tabulate import tabulate

    from mspn.errors import UserError
    from mspn.experiment.load import load_experiment
    from mspn.files import write_hash, write_text

    if args.repeats < 2:
        raise UserError(f"--repeats {args.repeats}: quartiles need two or more")
    kept = args.out.with_suffix("") if args.out else None
    rows = measure(load_experiment(args.scale), args.repeats, kept)
    if args.out:
        write_text(args.out, pd.DataFrame(rows).to_csv(index=False))
        write_hash(args.out)
    if args.json:
        print(json.dumps(rows, indent=1))
    else:
        shown = ("run", "ms_per_crop", f"ms_per_crop_of_{TOGETHER}", "input", "width", "device")
        print(tabulate([{name: row[name] for name in shown} for row in rows], headers="keys", floatfmt=".3f"))
    return 0


def measure(experiment: "Experiment", repeats: int, kept: Path | None = None) -> list[dict[str, Any]]:
    """A row for each run: ``ms_per_crop`` alone and of 32 (medians), their quartiles, and what decides them.

    Runs that share network, joints and input share one measurement. An ensemble takes its members' sum.
    ``kept`` is the folder of what was measured before, a file each, named by the ``key`` of its row.
    """
    from mspn.training.hardware import describe_device, pick_device

    device = pick_device("auto")
    name = describe_device(device)["device"]
    decisions = {run.run: decided_by(experiment, run, repeats, name) for run in experiment.trained}
    times = _times(decisions, kept, device)
    rows = []
    for run in experiment.grid.values():
        members = run.members or (run.run,)
        height, width = experiment.input_size(run)
        columns: dict[str, float] = {}
        for batch in (1, TOGETHER):
            quartiles = [times[_key(decisions[member])][str(batch)] for member in members]
            low, median, high = (round(sum(column), 4) for column in zip(*quartiles, strict=True))
            end = "" if batch == 1 else f"_of_{batch}"
            columns |= {f"ms_per_crop{end}": median, f"ms_quartile_1{end}": low, f"ms_quartile_3{end}": high}
        rows.append(
            {
                "run": run.run,
                **columns,
                "input": f"{height}x{width}",
                "width": experiment.scale.width,
                "repeats": repeats,
                "threads": 1,
                "device": name,
                "key": "+".join(_key(decisions[member]) for member in members),
            }
        )
    return rows


def decided_by(experiment: "Experiment", run: "Run", repeats: int, device: str) -> dict[str, Any]:
    """All that a network's time depends on: its definition, its size, the device, torch, how often it is
    timed.
    """
    import torch

    from mspn.experiment.networks import revisions_of
    from mspn.networks.build import definition

    constructor, keywords = definition(run, experiment.scale.width)
    revisions = list(revisions_of(run.network).values())
    return {
        "constructor": constructor,
        "keywords": keywords,
        "input": list(experiment.input_size(run)),
        "revision": revisions[0] if len(revisions) == 1 else revisions,
        "device": device,
        "torch": torch.__version__,
        "repeats": repeats,
    }


def _key(decision: dict[str, Any]) -> str:
    import hashlib
    import json

    return hashlib.sha256(json.dumps(decision, sort_keys=True).encode()).hexdigest()[:16]


Quartiles = dict[str, list[float]]  # batch -> quartiles of a crop's milliseconds


def _times(
    decisions: dict[str, dict[str, Any]], kept: Path | None, device: "torch.device"
) -> dict[str, Quartiles]:
    """Key -> quartiles by batch: those that were kept, and the rest measured and kept."""
    from mspn.files import read_sealed, write_sealed

    times: dict[str, Quartiles] = {}
    new = {}
    for decision in decisions.values():
        path = kept / f"{_key(decision)}.json" if kept else None
        remedy = "remove it, and it is measured again"
        before = read_sealed(path, "measured latency", remedy) if path and path.is_file() else {}
        if before.get("decided_by") == decision:
            times[_key(decision)] = before["ms_per_crop"]
        else:
            new[_key(decision)] = decision
    for key, quartiles in _measure(new, device).items():
        times[key] = quartiles
        if kept:
            write_sealed(kept / f"{key}.json", {"decided_by": new[key], "ms_per_crop": quartiles})
    return times


def _measure(decisions: dict[str, dict[str, Any]], device: "torch.device") -> dict[str, Quartiles]:
    import statistics
    import time

    import torch

    from mspn.networks.build import construct

    torch.set_num_threads(1)
    networks = {
        key: construct(decision["constructor"], decision["keywords"]).eval().to(device)
        for key, decision in decisions.items()
    }
    found: dict[str, Quartiles] = {key: {} for key in networks}

    def once(key: str, batch: int) -> float:
        crops = torch.zeros(batch, 3, *decisions[key]["input"], device=device)
        begin = time.perf_counter()
        networks[key](crops)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return 1000 * (time.perf_counter() - begin) / batch

    with torch.inference_mode():
        for batch, part in ((1, 1), (TOGETHER, FEWER)):
            times: dict[str, list[float]] = {key: [] for key in networks}
            for key in networks:
                once(key, batch), once(key, batch)
            repeats = {key: max(2, decisions[key]["repeats"] // part) for key in networks}
            for _ in range(max(repeats.values(), default=0)):
                for key in networks:
                    times[key].append(once(key, batch))
            for key in networks:
                found[key][str(batch)] = statistics.quantiles(times[key], n=4, method="inclusive")
    return found
