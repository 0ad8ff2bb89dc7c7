"""What a failed job's logs say, and what to do about it: one message per known cause, with the remedy.

Used when the workflow fails and by ``mspn doctor``. The patterns are those of SLURM, Snakemake, its SLURM
executor, PyTorch and this project; imports no torch.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

# What SLURM, the kernel or PyTorch print -> what happened and what to do. The first group, if any, is quoted.
CAUSES: tuple[tuple[str, str, str], ...] = (
    (
        r"(exceeded memory limit \(\d+ > \d+\)|[Ee]xceeded job memory limit|oom[-_ ]kill|OUT_OF_MEMORY|"
        r"Out Of Memory|DefaultCPUAllocator: (?:can't|not enough)|\bMemoryError|std::bad_alloc)",
        "the job used more memory than it asked for",
        "raise mem_mb of rule {rule} under set-resources in the profile, or lower its threads",
    ),
    (
        r"(CUDA out of memory|torch\.OutOfMemoryError|CUDNN_STATUS_ALLOC_FAILED)",
        "the GPU's memory was too small",
        "ask for more or larger GPUs (gpu, gpu_model) for rule {rule}: the batch is split over them, or "
        "gathered in smaller pieces; and see that nothing else runs on the GPU",
    ),
    (
        r"(DUE TO TIME LIMIT|\bTIMEOUT\b)",
        "the job reached its time limit",
        "run the same command again: a training goes on from its last checkpoint; or raise runtime "
        "(minutes) of rule {rule} in the profile",
    ),
    (
        r"(stopped as asked, state saved|exitcode\s*: 75\b)",
        "a training was told to stop, saved its state and left",
        "run the same command again: it goes on where it stopped",
    ),
    (
        r"(DUE TO PREEMPTION|DUE TO NODE FAILURE|NODE_FAIL)",
        "the cluster took the node away",
        "run the same command again, with slurm-requeue: true in the profile: a training goes on from its "
        "checkpoint",
    ),
    (
        r"(promised \d+ GPUs?,? but sees \d+)",
        "the job did not get the GPUs it asked for",
        "check gpu of rule {rule} in the profile against the node (nvidia-smi -L) and the cluster (sinfo -o "
        "%G)",
    ),
    (
        r"(Invalid generic resource|Requested node configuration is not available|Invalid Trackable "
        r"RESource)",
        "the cluster has no node with what the job asks for",
        "lower gpu, mem_mb or threads of rule {rule}; `mspn profile` asks the cluster and writes a profile "
        "that fits",
    ),
    (
        r"([Ii]nvalid account[^\n]*|[Ii]nvalid partition[^\n]*|Invalid qos[^\n]*)",
        "the cluster refused the submission",
        "set slurm_account and slurm_partition in the profile (sinfo -s lists partitions)",
    ),
    (
        r"(accounting storage is disabled)",
        "the cluster keeps no accounting, so `sacct` cannot tell a job's state",
        "set slurm-status-command: squeue and slurm-no-account: true, or let `mspn profile` write the "
        "profile",
    ),
    (
        r"(Directory cannot be locked)",
        "another Snakemake works in this directory, or one was killed there",
        "if none runs (also on other login nodes), run `snakemake --unlock`, then the same command again; "
        "`mspn doctor` says which",
    ),
    (
        r"(another process is training into it)",
        "the same training already runs in another job",
        "wait for that job, or cancel it (squeue --me, scancel JOBID); `mspn doctor` lists such jobs",
    ),
    (
        r"(IncompleteFilesException|marked as incomplete)",
        "an earlier workflow was killed while jobs were writing",
        "run the same command with --rerun-incomplete; trainings go on from their checkpoints",
    ),
    (
        r"(No space left on device|Disk quota exceeded)",
        "the disk is full",
        "free space or link results/ to a larger disk; `mspn plan` says what the scale needs",
    ),
    (
        r"(insufficient shared memory|unable to (?:open|allocate) shared memory|DataLoader worker[^\n]*Bus "
        r"error)",
        "/dev/shm is too small for the data loader's workers",
        "lower threads of rule {rule}, or give the container more (docker --shm-size=8g; Apptainer shares "
        "the host's)",
    ),
    (
        r"(CUDA driver version is insufficient|no kernel image is available|Found no NVIDIA driver)",
        "the driver or the GPU does not fit the pinned PyTorch",
        "update the driver or choose other nodes; `mspn doctor` names the versions",
    ),
    (
        r"(MissingInputException|Missing input files)",
        "input files are missing",
        "`mspn doctor --scale NAME` lists what is missing and where to get it",
    ),
)
TAIL = 200_000  # characters of a log's end that are read


def explain(logs: Mapping[str, str]) -> list[str]:
    """The known causes found in logs (name -> text), each once per rule, with the remedy and the log."""
    found: dict[tuple[str, str], str] = {}
    for name, text in logs.items():
        rule = _rule_of(name)
        for pattern, cause, remedy in CAUSES:
            match = re.search(pattern, text)
            if match and (rule, cause) not in found:
                found[rule, cause] = f"{cause} ({match[1]}): {remedy.format(rule=rule)}. Log: {name}"
    return [f"{rule}: {message}" for (rule, _), message in found.items()]


def _rule_of(name: str) -> str:
    """The rule that a log belongs to: SLURM's lie in ``rule_NAME/``, the project's in ``logs/NAME``."""
    match = re.search(r"\brule_(\w+)/|/logs/(\w+)", name)
    return (match[1] or match[2]) if match else "the workflow"


def read_logs(places: Iterable[Path], since: float = 0.0) -> dict[str, str]:
    """The ends of the logs at or under ``places`` changed after ``since`` (Unix time), newest first."""
    files = [file for place in places for file in ([place] if place.is_file() else place.rglob("*.log"))]
    times = {file: file.stat().st_mtime for file in files if file.exists()}
    chosen = sorted((file for file in times if times[file] >= since), key=lambda file: -times[file])
    return {str(file): file.read_text(encoding="utf-8", errors="replace")[-TAIL:] for file in chosen}


def explain_files(*places: str | Path, since: float = 0.0) -> list[str]:
    """``explain`` for the logs at or under some places; a place that is not there holds none."""
    return explain(read_logs((Path(place) for place in places), since))
