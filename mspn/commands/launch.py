"""Start another verb on GPUs, as the workflow does: `mspn launch --gpus 2 -- train --run mspn-2 --seed 0`.

The GPUs are leased, so that two trainings on one machine never share one unasked (--share allows it), and the
verb starts as one process per GPU. Without GPUs the verb runs on the CPU.
"""

import argparse

HELP = "start a verb on GPUs of its own"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--gpus", type=int, default=0, metavar="N", help="GPUs to hold; 0: run on the CPU")
    parser.add_argument("--gres", default="", help="the same in SLURM's words, such as gpu:a100:2")
    parser.add_argument("--share", type=int, default=1, metavar="N", help="verbs that may share one GPU")
    parser.add_argument(
        "words", nargs=argparse.REMAINDER, metavar="-- VERB ...", help="the verb and its arguments"
    )


def run(args: argparse.Namespace) -> int:
    from mspn.cluster.launch import launch, promised
    from mspn.errors import UserError

    words = args.words[1:] if args.words[:1] == ["--"] else args.words
    if not words:
        raise UserError(
            "launch: name a verb after --, such as: mspn launch --gpus 1 -- train --run mspn-2 --seed 0"
        )
    launch(words, promised(args.gpus, args.gres), args.share)
    return 0
