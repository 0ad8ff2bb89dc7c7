"""What a SLURM cluster has, asked of the cluster itself, and the Snakemake profile that fits it."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mspn.cluster.costs import RULES
from mspn.errors import UserError

WARNING_S = 120  # how long before its time is up a training is told to save
DAY_MIN = 1440
# The SLURM executor looks at its jobs' states at least every 180 s.
LONGEST_LOOK_S = 180
TRAINING = ("train", "trunk")
ON_GPUS = (*TRAINING, "evaluate", "latency")
SMALL = ("flops", "trained_flops", "ceiling")  # what networks cost, and perfect heat maps score


@dataclass(frozen=True)
class Cluster:
    """One partition. Numbers are its largest node's; ``gpus`` counts by type, untyped ones as ``""``."""

    partition: str
    accounting: bool
    min_job_age_s: int
    select: str
    gpus: dict[str, int]
    memory_mb: int
    cpus: int
    time_limit_min: int | None

    @property
    def status_command(self) -> str:
        """The command that can tell a job's state here."""
        return "sacct" if self.accounting else "squeue"


def _ask(*words: str) -> str:
    if shutil.which(words[0]) is None:
        raise UserError(
            f"{words[0]}: no such command; run this where jobs are submitted (a login node with SLURM)"
        )
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        raise UserError(
            f"{' '.join(words)}: no answer in 60 s; is the controller up (scontrol ping)?"
        ) from None
    if done.returncode:
        raise UserError(f"{' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def ask_cluster(partition: str) -> Cluster:
    """Ask ``scontrol`` and ``sinfo``; UserError where there is no SLURM or no such partition."""
    config = dict(re.findall(r"^(\w+)\s*= *(.*?)\s*$", _ask("scontrol", "show", "config"), re.MULTILINE))
    rows = [line.split("|") for line in _ask("sinfo", "-h", "-o", "%R|%G|%m|%c|%l").splitlines()]
    nodes = [row for row in rows if row[0] == partition]
    if not nodes:
        there = ", ".join(sorted({row[0] for row in rows}))
        raise UserError(f"--partition {partition}: the cluster has no such partition; there are: {there}")
    best = max(nodes, key=lambda row: (sum(parse_gpus(row[1]).values()), int(row[2].rstrip("+"))))
    return Cluster(
        partition=partition,
        accounting=config.get("AccountingStorageType", "").endswith("slurmdbd")
        and _answers("sacct", "-X", "-n"),
        min_job_age_s=int(re.split(r"\D", config.get("MinJobAge", "300"))[0]),
        select=config.get("SelectType", "").removeprefix("select/"),
        gpus=parse_gpus(best[1]),
        memory_mb=int(best[2].rstrip("+")),
        cpus=int(best[3].rstrip("+")),
        time_limit_min=parse_minutes(best[4]),
    )


def _answers(*words: str) -> bool:
    """Whether a command works here: `sacct` may be installed on a cluster that keeps no accounting."""
    try:
        _ask(*words)
    except UserError:
        return False
    return True


def parse_gpus(gres: str) -> dict[str, int]:
    """GPUs by type in ``sinfo``'s words: ``gpu:a100:8(S:0-1),nic:2`` is {"a100": 8}."""
    found: dict[str, int] = {}
    for entry in re.sub(r"\([^)]*\)", "", gres).split(","):
        match = re.fullmatch(r"gpu(?::([A-Za-z_][\w.-]*))?(?::(\d+))?", entry)
        if match:
            found[match[1] or ""] = found.get(match[1] or "", 0) + int(match[2] or 1)
    return found


def parse_minutes(limit: str) -> int | None:
    """SLURM's ``[days-]hours:minutes:seconds`` or ``minutes:seconds`` in minutes; None without a limit."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", limit.strip())
    if not match:
        return None
    days, hours, minutes, _ = (int(part or 0) for part in match.groups())
    return days * DAY_MIN + hours * 60 + minutes


def slurm_profile(
    cluster: Cluster,
    account: str | None,
    gpus: int,
    cpu: Cluster | None = None,
    needs: Mapping[str, Mapping[str, int]] | None = None,
) -> str:
    """The profile's text: ``gpus`` a training in ``cluster``, everything that needs none in ``cpu`` (without:
    there as well). ``needs`` are the rules' memory, time and disk, as ``mspn plan`` knows them. Raises
    UserError where the cluster cannot give what is asked for.
    """
    have, split, cpu = sum(cluster.gpus.values()), cpu is not None, cpu or cluster
    if gpus > have:
        raise UserError(
            f"--gpus {gpus}: a node of partition {cluster.partition} has {have or 'no'} GPUs; choose "
            "another partition, or --gpus 0 to train on CPUs"
        )
    if account and not cluster.accounting:
        raise UserError(f"--account {account}: this cluster keeps no accounting; leave --account out")
    resources = _resources(cluster, cpu, gpus, needs or {})
    lines = [
        f"# Partition {place.partition}: {describe(place)}"
        for place in ([cluster, cpu] if split else [cluster])
    ]
    return "\n".join(
        [
            *lines,
            *(f"# {line}" for line in remarks(cluster)),
            "executor: slurm",
            "jobs: 100",
            "keep-going: true",
            "rerun-incomplete: true",
            "latency-wait: 60",
            f"slurm-status-command: {cluster.status_command}",
            *([] if cluster.accounting else ["slurm-no-account: true"]),
            "slurm-requeue: true",
            f"slurm-init-seconds-before-status-checks: {min(40, max(2, cluster.min_job_age_s // 4))}",
            "default-resources:",
            f"  slurm_partition: {cpu.partition}",
            *([f"  slurm_account: {account}"] if account else []),
            f"  runtime: {min(60, _longest(cpu))}",
            f"  mem_mb: {min(8000, cpu.memory_mb * 9 // 10)}",
            "set-resources:",
            *(f"  {rule}: {_inline(values)}" for rule, values in resources.items()),
            *_groups(resources, cpu),
            *([] if gpus else [_OTHER_THREADS]),
            "set-threads:",
            *(f"  {rule}: {number}" for rule, number in _threads(cluster, cpu, gpus).items()),
            "",
        ]
    )


def _longest(place: Cluster) -> int:
    """Minutes that a job may take in a partition, a day at most: a longer training goes on in the next."""
    return min(DAY_MIN, place.time_limit_min or DAY_MIN)


def _resources(
    cluster: Cluster, cpu: Cluster, gpus: int, needs: Mapping[str, Mapping[str, int]]
) -> dict[str, dict[str, object]]:
    """What each rule asks for. Those that may use GPUs go where GPUs are; a training gets its GPUs' share of
    the node's memory, more at each attempt, and as much time as there is.
    """
    have = sum(cluster.gpus.values())
    most = cluster.memory_mb * 9 // 10
    there: dict[str, object] = {"slurm_partition": cluster.partition} if cpu != cluster else {}
    found: dict[str, dict[str, object]] = {}
    for rule in RULES:
        place = cluster if rule in ON_GPUS else cpu
        need = {"mem_mb": 16000, "runtime": 240, **needs.get(rule, {})}
        memory = min(need["mem_mb"], place.memory_mb * 9 // 10)
        found[rule] = {**need, "mem_mb": memory, "runtime": min(need["runtime"], _longest(place))}
        if rule in ON_GPUS:
            asked = gpu_request(cluster, gpus if rule in TRAINING else min(1, gpus))
            found[rule] = {**there, **asked, **found[rule]}
    for rule in TRAINING:
        share = most * gpus // have if gpus else min(int(str(found[rule]["mem_mb"])), most)
        found[rule] |= {
            "mem_mb": f"min({share} * attempt, {most})",
            "runtime": _longest(cluster),
            "slurm_extra": f"'--signal=USR1@{WARNING_S}'",
        }
    # Nothing else on the node while it is measured.
    found["latency"]["slurm_extra"] = "'--exclusive'"
    return found


def _groups(resources: Mapping[str, Mapping[str, object]], cpu: Cluster) -> list[str]:
    """Jobs of minutes that use no GPU as one, where a node has the memory and the time of all together."""
    memory, minutes = (sum(int(str(resources[rule][key])) for rule in SMALL) for key in ("mem_mb", "runtime"))
    if memory > cpu.memory_mb * 9 // 10 or minutes > _longest(cpu):
        return []
    groups = ", ".join(f"{rule}: costs" for rule in SMALL)
    return [f"groups: {{{groups}}}", f"group-components: {{costs: {len(SMALL)}}}"]


_OTHER_THREADS = """\
# On CPUs another number of threads gives a training other weights, as another seed would. Without a profile a
# workflow trains by one: train: 1, trunk: 1."""


def _threads(cluster: Cluster, cpu: Cluster, gpus: int) -> dict[str, int]:
    have = sum(cluster.gpus.values())
    cores = max(1, cluster.cpus * gpus // have) if gpus else min(8, cluster.cpus)
    return {"train": cores, "trunk": cores, "evaluate": min(8, cores), "crops": min(16, cpu.cpus)}


def gpu_request(cluster: Cluster, gpus: int) -> dict[str, object]:
    """The resource that asks for GPUs here: ``--gpus`` is known to clusters that select by cons_tres only."""
    if not gpus:
        return {}
    return {"gpu": gpus} if cluster.select == "cons_tres" else {"gres": f"gpu:{gpus}"}


def _inline(values: Mapping[str, object]) -> str:
    text = ", ".join(
        f'{key}: "{value}"' if isinstance(value, str) else f"{key}: {value}" for key, value in values.items()
    )
    return "{" + text + "}"


def describe(cluster: Cluster) -> str:
    """A line on the partition's largest node."""
    gpus = ", ".join(f"{number} GPUs {kind}".rstrip() for kind, number in cluster.gpus.items()) or "no GPUs"
    limit = f"{cluster.time_limit_min} min" if cluster.time_limit_min else "no time limit"
    return f"{cluster.cpus} cores, {cluster.memory_mb} MB, {gpus} a node; {limit}"


def remarks(cluster: Cluster) -> list[str]:
    """What to know about running here."""
    lines = []
    if not cluster.accounting:
        lines.append("No accounting here: job states are asked of squeue.")
        if cluster.min_job_age_s <= LONGEST_LOOK_S:
            lines.append(
                f"squeue forgets a job after MinJobAge = {cluster.min_job_age_s} s, and the longest pause "
                f"between two looks is {LONGEST_LOOK_S} s: a job's end may be missed; ask for a longer "
                "MinJobAge."
            )
    if cluster.select != "cons_tres" and cluster.gpus:
        lines.append(f"SelectType {cluster.select} does not know --gpus: GPUs are asked for by gres.")
    return lines


def local_profile(gpus: int, cores: int) -> str:
    """The profile of one machine with so many GPUs and cores."""
    part = max(1, cores // max(1, gpus))
    lines = ["cores: all", "keep-going: true", "rerun-incomplete: true"]
    if gpus:
        lines += [
            f"resources: {{gpu: {gpus}}}",
            "set-resources:",
            *(f"  {rule}: {{gpu: 1, gpu_share: 1}}" for rule in ("train", "trunk")),
            "  evaluate: {gpu: 1, gpu_share: 1}",
            "  latency: {gpu: 1}",
        ]
    threads = ["set-threads:", f"  train: {part}", f"  trunk: {part}", f"  evaluate: {min(4, part)}"]
    return "\n".join([f"# {cores} cores, {gpus or 'no'} GPUs", *lines, *(threads if gpus else []), ""])


def write_profile(folder: Path, text: str) -> Path:
    """Write ``config.yaml`` into a profile's folder; UserError where a different one is there already."""
    from mspn.files import write_text

    path = folder / "config.yaml"
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise UserError(f"{path} is there already and differs; remove it or choose another --out")
    write_text(path, text)
    return path
