"""The cost of a scale before it is spent: jobs, GPU hours, wall time, disk; which tables a budget buys; and
which of the claims' effects its seeds and images can find.

    mspn plan --scale paper --gpus 16 --gpu h100 --budget-hours 2000

Trainings whose weights are there already cost nothing. Speeds come from measurements where there are any,

    mspn bench train --network mspn-4 --json > results/bench/train-mspn-4.json

else from FLOPs, with the assumption printed. --gpu cpu plans with measurements on a CPU.
"""

import argparse
import textwrap
from pathlib import Path
from typing import Any

from mspn.commands.power import IMAGES, SEEDS

HELP = "jobs, GPU hours, wall time and disk of a scale, before they are spent"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from mspn.cluster.costs import PEAKS, SHARE, THROUGHPUT

    add = parser.add_argument
    add("--scale", default="demo", help="a scale's name, or a YAML file (default: demo)")
    add("--gpus", type=int, default=8, metavar="N", help="GPUs at hand (default: 8)")
    add("--gpus-each", type=int, default=1, metavar="N", help="GPUs of one training (default: 1)")
    kinds = [*PEAKS, "cpu"]
    add("--gpu", default="a100", choices=kinds, help="their kind, where nothing was measured (default: a100)")
    add("--share", type=float, default=SHARE, help="share of its peak that training reaches, where nothing "
        f"was measured: an assumption (default: {SHARE}, rather of compiled networks)")  # fmt: skip
    add("--budget-hours", type=float, metavar="H", help="GPU hours to spend: which tables do they buy?")
    add("--bench", type=Path, default=THROUGHPUT, metavar="DIR", help="measured speeds (%(default)s)")
    add("--profile", type=Path, metavar="DIR", help="take the speeds measured with this profile's options")
    add("--image-deviation", type=float, metavar="AP", help=f"{IMAGES}, if not as measured")
    add("--seed-deviation", type=float, metavar="AP", help=f"{SEEDS}, if not as measured")
    add("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    import json

    from mspn.cluster.doctor import read_site
    from mspn.cluster.plan import make_plan
    from mspn.errors import UserError
    from mspn.experiment.load import load_experiment

    for option in ("image_deviation", "seed_deviation"):
        if (getattr(args, option) or 0) < 0:
            raise UserError(f"--{option.replace('_', '-')}: a standard deviation is not negative")
    plan = make_plan(
        load_experiment(args.scale),
        gpus=args.gpus,
        gpus_each=args.gpus_each,
        gpu=args.gpu,
        share=args.share,
        budget=args.budget_hours,
        bench=args.bench,
        options=read_site(args.profile).training_options(),
        image_deviation=args.image_deviation,
        seed_deviation=args.seed_deviation,
    )
    print(json.dumps(plan, indent=1) if args.json else describe(plan))
    return 0


def describe(plan: dict[str, Any]) -> str:
    jobs = ", ".join(f"{number} {rule}" for rule, number in plan["jobs"].items())
    hours, longest = plan["gpu_hours"], plan["longest_training"]
    lines = [
        f"Scale {plan['scale']}: {sum(plan['jobs'].values())} jobs ({jobs}); "
        f"{plan['trainings_to_do']} trainings to do, {plan['trainings_done']} done",
        f"Speed: {plan['speed']}",
        f"GPU hours: {sum(hours.values()):,.1f} (training {hours['train']:,.1f}, evaluation "
        f"{hours['evaluate']:,.1f})",
    ]
    if 0 < sum(hours.values()) < 1 and plan["speed"].startswith("assumed"):
        lines.append(
            "So little arithmetic that starting it takes longer: small networks need far more than this. "
            "Measure it: mspn bench train."
        )
    if longest:
        lines.append(
            f"Longest training: {longest['training']}, {longest['hours']:,.1f} h on {plan['gpus_each']} GPUs"
        )
    lines += [
        f"Critical path: {plan['critical_path_h']:,.1f} h; wall time on {plan['gpus']} GPUs: "
        f"{plan['wall_h']:,.1f} h",
        "",
        "GPUs   wall time (h)   efficiency",
        *(
            f"{row['gpus']:4d}   {row['wall_h']:13,.1f}   {row['efficiency']:10.0%}"
            for row in plan["scaling"]
        ),
        "",
        "Disk (GB): "
        + ", ".join(f"{kind} {size:,.1f}" for kind, size in plan["disk_gb"].items() if size)
        + f"; together {sum(plan['disk_gb'].values()):,.1f}",
        "",
        "Tables, cheapest first (GPU hours that each adds, and the bill so far):",
    ]
    for table in plan["tables"]:
        fits = (
            "" if plan["budget_h"] is None else "  bought" if table["affordable"] else "  beyond the budget"
        )
        lines.append(
            f"  Table {table['table']}: {table['gpu_hours']:9,.1f} {table['total_gpu_hours']:10,.1f}{fits}  "
            f"({', '.join(table['runs'])})"
        )
    lines += [
        "",
        "A job of each rule at most (memory MB, time min, disk MB); mspn profile --scale writes them down:",
        textwrap.fill(
            "; ".join(
                f"{rule} {need['mem_mb']:,}, {need['runtime']:,}, {need['disk_mb']:,}"
                for rule, need in plan["needs"].items()
            ),
            108,
            initial_indent="  ",
            subsequent_indent="  ",
        ),
    ]
    left = [
        "Not counted: the time in queues, of the CPU's jobs, and of batches that wait for data. Sizes of "
        "data sets that",
        "are not read here are the usual ones; several GPUs are taken to share a training without loss.",
    ]
    return "\n".join([*lines, "", *left, "", *describe_claims(plan["claims"])])


def describe_claims(claims: dict[str, Any]) -> list[str]:
    if not claims["statements"]:
        return ["No statement of the claims can be judged at this scale."]
    looks = ", ".join(map(str, claims["looks"]))
    images, seeds = (
        f"{claims[f'{kind}_deviation']:.2f} over {kind}s ({claims[f'{kind}_deviation_source']})"
        for kind in ("image", "seed")
    )
    words = (
        f"Statements of the claims at {claims['seeds']} seeds (looks at {looks}) and {claims['images']:,} "
        f"images. An AP deviates by {images} and by {seeds}; runs spread over {claims['spread']:.1f} AP "
        f"({claims['spread_source']}). Smallest: the distance from 0, or from the margin, that is supported "
        "in 4 of 5 experiments. Paper's: its own, as the same share of the spread. Seeds: what that needs, – "
        "where no number is enough."
    )
    lines = [
        *textwrap.wrap(words, 108),
        "",
        "       smallest    paper's    seeds",
    ]
    for row in claims["statements"]:
        needed = "–" if row["seeds"] is None else row["seeds"]
        numbers = f"{row['smallest']:8.2f}   {row['paper']:8.2f}   {needed:>6}"
        lines.append(f"  {row['statement']:3}  {numbers}  {row['words']}")
    return lines
