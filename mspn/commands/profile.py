"""Write a Snakemake profile for the site at hand, after asking it what it has.

    mspn profile --partition gpu --account my-project --gpus 4 --out profiles/site
    snakemake --workflow-profile profiles/site --config scale=paper

The cluster is asked which command tells a job's state, how GPUs are asked for, and for its nodes' memory,
cores and time limit. --local writes one for this machine and its GPUs.
"""

import argparse
from pathlib import Path

HELP = "write a profile for this machine or cluster"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to run, with what, and where the profile goes."""
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--partition", help="the SLURM partition to run in")
    place.add_argument("--local", action="store_true", help="this machine, without a cluster")
    parser.add_argument("--account", help="the SLURM account to charge")
    parser.add_argument("--gpus", type=int, help="GPUs of one training (default: 1 where there are any)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the profile's folder")


def run(args: argparse.Namespace) -> int:
    """Ask, write, and say how to use it."""
    import os

    from mspn.cluster import profiles
    from mspn.cluster.lease import list_devices

    if args.local:
        gpus = len(list_devices()) if args.gpus is None else args.gpus
        text = profiles.local_profile(gpus, os.cpu_count() or 1)
    else:
        found = profiles.ask_cluster(args.partition)
        gpus = min(1, sum(found.gpus.values())) if args.gpus is None else args.gpus
        text = profiles.slurm_profile(found, args.account, gpus)
        print(f"{found.partition}: {profiles.describe(found)}")
        print(*profiles.remarks(found), sep="\n", end="\n" if profiles.remarks(found) else "")
    path = profiles.write_profile(args.out, text)
    print(f"wrote {path}; use it with: snakemake --workflow-profile {args.out} --config scale=paper")
    return 0
