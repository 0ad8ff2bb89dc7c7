"""Tests that need a GPU and the benchmark of training, into one JSON: ``python -m tests.gpu_report FILE``.

Needs no network and no data. What is done so far is written after every part, so that a time limit costs only
the rest; the exit code is 1 where a test or a variant of the benchmark failed.
"""

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from mspn.commands.benchmarks.train import VARIANTS
from mspn.files import write_json
from mspn.training.hardware import describe_device


class Outcomes:
    """A plugin of pytest that keeps how each test ended."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test's call, or what kept it from being called."""
        if report.when == "call" or report.outcome != "passed":
            row = {"test": report.nodeid, "outcome": report.outcome, "seconds": round(report.duration, 2)}
            self.rows.append(row | ({"said": report.longreprtext[-4000:]} if report.failed else {}))


def measured(variant: str) -> dict[str, Any]:
    """A row of ``mspn bench train``, or what it said when it failed."""
    workers = str(min(8, (os.cpu_count() or 2) - 1))
    line = ["bench", "train", "--json", "--device", "cuda", "--workers", workers, "--variant", variant]
    done = subprocess.run([sys.executable, "-m", "mspn", *line], capture_output=True, text=True)
    if done.returncode:
        return {"variant": variant, "failed": done.stderr[-4000:]}
    row: dict[str, Any] = json.loads(done.stdout)
    return row


def main(path: Path) -> int:
    """Test, measure and write; 1 where something failed, 2 where there is no GPU."""
    if not torch.cuda.is_available():
        print(
            "torch sees no CUDA device here: nothing to test; check nvidia-smi and torch's build",
            file=sys.stderr,
        )
        return 2
    started, outcomes = time.monotonic(), Outcomes()
    device = describe_device(torch.device("cuda", 0))
    found: dict[str, Any] = {"torch": torch.__version__, "python": platform.python_version(), **device}
    code = pytest.main(["-m", "gpu", "-p", "no:cacheprovider", "tests/test_gpu.py"], plugins=[outcomes])
    found |= {"tests": outcomes.rows, "bench": []}
    for variant in VARIANTS:
        write_json(path, found | {"seconds": round(time.monotonic() - started, 1)})
        found["bench"].append(measured(variant))
        speed = found["bench"][-1].get("images_per_s")
        print(f"{variant}: {'failed' if speed is None else f'{speed:.0f} images/s'}", flush=True)
    write_json(path, found | {"seconds": round(time.monotonic() - started, 1)})
    print(f"written: {path}")
    return int(bool(code) or any("failed" in row for row in found["bench"]))


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
