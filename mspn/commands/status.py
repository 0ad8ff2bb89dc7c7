"""How far a scale is: what runs, is done, failed or waits, and about how long it still takes.

    mspn status --scale bench

Read from the files that jobs leave, in the folder where Snakemake runs, beside it and on SLURM as well as
after it ended. A training's steps are those on the disk, up to a minute old. The exit code is 1 when a job
failed.
"""

import argparse
from typing import Any

HELP = "what runs, is done, failed or waits, and the time left"
ORDER = ("done", "running", "queued", "stopped", "failed", "waiting")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scale", default="demo", help="a scale's name, or a YAML file (default: demo)")
    parser.add_argument("--json", action="store_true", help="print JSON, every job of the graph with it")


def run(args: argparse.Namespace) -> int:
    """Look and print; 1 when a job failed."""
    import json

    from mspn.cluster.status import look
    from mspn.experiment.load import load_experiment

    found = look(load_experiment(args.scale))
    print(json.dumps(found, indent=1) if args.json else describe(found))
    return int(any("failed" in states for states in found["counts"].values()))


def describe(found: dict[str, Any]) -> str:
    rows = [("rule", ORDER), *((rule, [n.get(s, "·") for s in ORDER]) for rule, n in found["counts"].items())]
    table = [f"{name:13}" + "".join(f"{cell:>9}" for cell in cells) for name, cells in rows]
    parts = [[f"Scale {found['scale']}: {_who(found)}"], table]
    for state in ("running", "queued", "stopped", "failed"):
        parts.append(_named(state, [job for job in found["jobs"] if job["state"] == state]))
    return "\n\n".join("\n".join(part) for part in [*parts, [_left(found)]] if part)


def _who(found: dict[str, Any]) -> str:
    works = [f"Snakemake runs here (process {', '.join(map(str, found['snakemake']))})"]
    if not found["snakemake"]:
        works = ["no Snakemake runs here on this machine"]
    works += [f"{number} jobs {state.lower()} on SLURM" for state, number in found["slurm"].items()]
    return "; ".join(works)


def _named(state: str, jobs: list[dict[str, Any]]) -> list[str]:
    lines = [f"{state.capitalize()}:"] if jobs else []
    for job in jobs:
        words = [f"  {job['rule']} {job['name']}"]
        if job["steps"] and state != "queued":
            words.append(f"step {job['step']}/{job['steps']}")
        if job["loss"] is not None:
            words.append(f"loss {job['loss']:.4g}")
        if job["step_s"]:
            words.append(f"{job['batch'] / job['step_s']:.1f} images/s")
        if state == "running" and job["steps"] and job["left_s"] is not None:
            words.append(f"{duration(job['left_s'])} left")
        if state == "failed":
            words.append(f"see {job['problem'] or 'the log of Snakemake'}")
        lines.append("  ".join(words))
    return lines


def _left(found: dict[str, Any]) -> str:
    if found["left_s"] == 0:
        return "All is done."
    if found["left_s"] is None:
        return "Time left: not known yet, as nothing was done"
    unknown = ", ".join(found["unmeasured"])
    without = f"; not counted, as none was done here yet: {unknown}" if unknown else ""
    return f"Time left: about {duration(found['left_s'])} with {found['at_once']} at once{without}"


def duration(seconds: float) -> str:
    """Seconds in words: days and hours, hours and minutes, or minutes and seconds."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
