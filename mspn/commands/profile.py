"""Write a Snakemake profile for the site at hand, after asking it what it has.

    mspn profile --partition gpu --cpu-partition cpu --gpus 4 --scale paper --out profiles/site
    snakemake --workflow-profile profiles/site --config scale=paper

The cluster is asked which command tells a job's state, how GPUs are asked for, and for its nodes' memory,
cores and time limit; with --scale the plan says what each rule's jobs take of memory, time and disk. --local
writes one for this machine and its GPUs.
"""

import argparse
from pathlib import Path

HELP = "write a profile for this machine or cluster"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--partition", help="the SLURM partition to run in")
    place.add_argument("--local", action="store_true", help="this machine, without a cluster")
    parser.add_argument("--cpu-partition", metavar="NAME", help="the SLURM partition of jobs that use no GPU")
    parser.add_argument("--scale", help="a scale whose plan says what its jobs take; without: usual numbers")
    parser.add_argument("--account", help="the SLURM account to charge")
    parser.add_argument("--gpus", type=int, help="GPUs of one training (default: 1 where there are any)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the profile's folder")


def run(args: argparse.Namespace) -> int:
    import os

    from mspn.cluster import profiles
    from mspn.cluster.lease import list_devices

    if args.local:
        gpus = len(list_devices()) if args.gpus is None else args.gpus
        text = profiles.local_profile(gpus, os.cpu_count() or 1)
        if not gpus:
            print("no GPU is visible here (nvidia-smi -L): with this profile everything runs on the CPU")
    else:
        found = profiles.ask_cluster(args.partition)
        gpus = min(1, sum(found.gpus.values())) if args.gpus is None else args.gpus
        cpu = profiles.ask_cluster(args.cpu_partition) if args.cpu_partition else None
        needs = _needs(args.scale, max(1, gpus)) if args.scale else None
        text = profiles.slurm_profile(found, args.account, gpus, cpu, needs)
        for place in [found, cpu] if cpu else [found]:
            print(f"{place.partition}: {profiles.describe(place)}")
        print(*profiles.remarks(found), sep="\n", end="\n" if profiles.remarks(found) else "")
    path = profiles.write_profile(args.out, text)
    scale = args.scale or "paper"
    print(f"wrote {path}; use it with: snakemake --workflow-profile {args.out} --config scale={scale}")
    return 0


def _needs(scale: str, gpus: int) -> dict[str, dict[str, int]]:
    """What the scale's jobs take, with trainings on so many GPUs each."""
    from mspn.cluster.costs import SHARE, THROUGHPUT, choose_speed, network_sizes
    from mspn.cluster.plan import needs
    from mspn.experiment.load import load_experiment

    experiment = load_experiment(scale)
    sizes = network_sizes(experiment)
    return needs(experiment, sizes, choose_speed(experiment, sizes, "a100", SHARE, THROUGHPUT), gpus)
