"""Each known failure is recognised in the words of the program that reports it, and comes with its remedy."""

import os

import pytest

from mspn.cluster.failures import explain, explain_files

SLURM_LOG = ".snakemake/slurm_logs/rule_train/mspn-1-s0-0123456789/7.log"


@pytest.mark.parametrize(
    ("text", "cause", "remedy"),
    [
        (
            "slurmstepd: error: Step 5.0 exceeded memory limit (319430656 > 209715200), being killed",
            "more memory than it asked for (exceeded memory limit (319430656 > 209715200))",
            "raise mem_mb of rule train",
        ),
        ("slurmstepd: error: Exceeded job memory limit", "more memory", "raise mem_mb"),
        (
            "error: Detected 1 oom_kill event in StepId=7.0. Some of the step tasks",
            "more memory",
            "raise mem_mb",
        ),
        (
            "slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-01-01T00:00:00 DUE TO TIME LIMIT ***",
            "time",
            "runtime",
        ),
        (
            "*** JOB 7 ON n1 CANCELLED AT 2026-01-01T00:00:00 DUE TO PREEMPTION ***",
            "took the node",
            "slurm-requeue",
        ),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", "GPU's memory", "gpu_model"),
        (
            "this job was promised 2 GPUs but sees 1 (GPU-1)",
            "did not get the GPUs",
            "check gpu of rule train",
        ),
        (
            "mspn: stopped as asked, state saved; the same command goes on",
            "saved its state",
            "goes on where it stopped",
        ),
        (
            "sbatch: error: Batch job submission failed: Invalid account or account/partition",
            "refused",
            "slurm_account",
        ),
        ("Slurm accounting storage is disabled", "no accounting", "squeue"),
        ("LockException:\nError: Directory cannot be locked. Please", "another Snakemake", "--unlock"),
        ("OSError: [Errno 28] No space left on device", "disk is full", "free space"),
        ("results/x: another process is training into it; wait for it", "already runs", "scancel"),
    ],
)
def test_a_cause_is_named_with_its_remedy(text, cause, remedy):
    (message,) = explain({SLURM_LOG: f"before\n{text}\nafter"})
    assert message.startswith("train: ")
    assert cause in message
    assert remedy in message
    assert SLURM_LOG in message


def test_a_gpu_out_of_memory_is_not_taken_for_the_jobs_own_memory():
    assert len(explain({SLURM_LOG: "torch.OutOfMemoryError: CUDA out of memory."})) == 1


def test_what_is_not_known_is_not_explained():
    assert explain({SLURM_LOG: "step 1 loss 3.2\nFinished"}) == []


def test_a_cause_is_told_once_per_rule_and_old_logs_are_left_out(tmp_path):
    for name, age in (("a/1", 0), ("a/2", 0), ("b/1", 100)):
        log = tmp_path / "slurm_logs" / f"rule_{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("Exceeded job memory limit")
        time = log.stat().st_mtime - age
        os.utime(log, (time, time))
    assert [line[:2] for line in explain_files(tmp_path, since=time + 50)] == ["a:"]
    assert len(explain_files(tmp_path)) == 2
    assert explain_files(tmp_path / "none") == []
