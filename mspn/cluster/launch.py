"""Start a verb on the GPUs that its job was promised: checked, leased, and one process per GPU.

A job without GPUs sees none, so that trainings share a GPU only where the profile says so. Imports no torch.
"""

import os
import re
import sys
from collections.abc import Mapping

from mspn.cluster import lease
from mspn.errors import UserError

SAVE_S = 90  # seconds that processes told to stop have for saving


def promised(gpu: int, gres: str) -> int:
    """The GPUs of a job by its resources ``gpu`` (a number) or ``gres`` (SLURM's ``gpu[:type][:number]``)."""
    match = re.fullmatch(r"gpu(?::[A-Za-z_][^:,]*)?(?::(\d+))?", gres)
    return gpu or (int(match[1] or 1) if match else 0)


def command(arguments: list[str], gpus: int) -> list[str]:
    """The command of a verb: itself, or with several GPUs one ``torchrun`` with a process for each."""
    if gpus <= 1:
        return [sys.executable, "-m", "mspn", *arguments]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={gpus}"]
    # By default torchrun dies of a cluster's warning, and its processes live on without it.
    torchrun += ["--signals-to-handle=SIGTERM,SIGUSR1,SIGINT,SIGHUP,SIGQUIT", f"--shutdown-timeout={SAVE_S}"]
    # Behind -- torchrun reads no options: it would take --run for the beginning of one of its own.
    return [*torchrun, "-m", "--", "mspn", *arguments]


def check_single(environment: Mapping[str, str]) -> None:
    """UserError where the cluster started the job's command several times: each would train the whole run."""
    tasks = int(environment.get("SLURM_STEP_NUM_TASKS") or 1)
    if tasks > 1:
        raise UserError(
            f"the cluster started this job's command {tasks} times; it must start once, for it starts one "
            "process per GPU itself: remove tasks, tasks_per_gpu and mpi from the profile"
        )


def launch(arguments: list[str], gpus: int, share: int) -> None:
    """Become ``mspn ARGUMENTS`` on ``gpus`` leased GPUs (0: on the CPU). Does not return.

    Raises UserError where the job does not see what it was promised.
    """
    check_single(os.environ)
    devices = lease.list_devices()
    if not gpus:
        if devices:
            print("this job asks for no GPU (its resource gpu is 0): it runs on the CPU", flush=True)
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    else:
        held = lease.lease(gpus, lease.visible_devices(os.environ, devices), share=share)
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(held.devices)
        print(f"GPUs of this job: {', '.join(held.devices)}", flush=True)
    words = command(arguments, gpus)
    os.execv(words[0], words)
