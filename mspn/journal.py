"""What a training writes down while it runs: its log, its timings, its attempts, and a line for who watches.

All three files lie beside the checkpoints until the training ends, as Snakemake deletes a failed job's
declared outputs:

- ``log.jsonl``: a line per step with ``step``, ``lr``, ``loss`` and ``losses`` (a list per stage, a loss per
  scale, coarsest first). Deterministic: a training that was killed and went on has the same bytes.
- ``timing.jsonl``: a line per step with ``attempt``, ``step``, ``images_per_s`` and ``data_wait`` (the share of
  the step's time). Not deterministic; a step that was lost and done again has two lines.
- ``attempts.json``: a record for each start of the training: times, steps, machine, peak memory, how it ended.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, TypeVar

from mspn.errors import UserError
from mspn.files import read_json, write_json, write_text

LOG, TIMING, ATTEMPTS = "log.jsonl", "timing.jsonl", "attempts.json"
T = TypeVar("T")


def step_line(step: int, lr: float, losses: list[list[float]]) -> str:
    """The log's line of a step; nine digits tell every float32 apart."""
    rounded = [[float(f"{value:.9g}") for value in stage] for stage in losses]
    total = float(f"{sum(map(sum, rounded)):.9g}")
    return json.dumps({"step": step, "lr": lr, "loss": total, "losses": rounded}, allow_nan=False) + "\n"


class Journal:
    """The three files of a training; ``start`` is the step that this attempt goes on from."""

    def __init__(self, folder: Path, start: int, facts: dict[str, Any]) -> None:
        self.folder = folder
        _cut(folder / LOG, start)
        self._log: IO[str] = (folder / LOG).open("a", encoding="utf-8")
        self._timing: IO[str] = (folder / TIMING).open("a", encoding="utf-8")
        self.attempts = read_attempts(folder)
        for attempt in self.attempts:
            if attempt["ended"] == "running":
                attempt["ended"] = "killed"
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.attempts.append({"started": now, "from_step": start, "to_step": start, "ended": "running", **facts})
        write_json(folder / ATTEMPTS, self.attempts)

    def step(self, step: int, lr: float, losses: list[list[float]], images_per_s: float, data_wait: float) -> None:
        """Write a step down; on the disk for sure only after ``sync``."""
        self._log.write(step_line(step, lr, losses))
        timing = {
            "attempt": len(self.attempts),
            "step": step,
            "images_per_s": round(images_per_s, 2),
            "data_wait": round(data_wait, 4),
        }
        self._timing.write(json.dumps(timing) + "\n")

    def sync(self, to_step: int, ended: str, facts: dict[str, Any]) -> None:
        """Put everything on the disk; before a checkpoint, so that it never knows steps that the log lacks."""
        for file in (self._log, self._timing):
            file.flush()
            os.fsync(file.fileno())
        self.attempts[-1].update(to_step=to_step, ended=ended, **facts)
        write_json(self.folder / ATTEMPTS, self.attempts)

    def close(self) -> None:
        """Close the files."""
        self._log.close()
        self._timing.close()


def read_attempts(folder: Path) -> list[dict[str, Any]]:
    """The records of a training's attempts so far."""
    path = folder / ATTEMPTS
    return list(read_json(path, "record of attempts")) if path.exists() else []


def _cut(path: Path, steps: int) -> None:
    """Cut a log back to its first ``steps`` lines, those that the checkpoint knows."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    if len(lines) < steps:
        raise UserError(
            f"{path}: has {len(lines)} of the {steps} steps that the checkpoint beside it has done; "
            "put the log back, or remove the folder to start afresh"
        )
    write_text(path, "".join(lines[:steps]))


class Stopwatch:
    """Seconds spent waiting in an iterator, such as for the next batch."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def waiting(self, items: Iterator[T]) -> Iterator[T]:
        """The same items; the time taken to get each is added up."""
        while True:
            begin = time.perf_counter()
            try:
                item = next(items)
            except StopIteration:
                return
            finally:
                self.seconds += time.perf_counter() - begin
            yield item


class Progress:
    """A line on stderr: step, loss, images/s, share of time waiting for data, time left.

    At a terminal the line is rewritten twice a second; elsewhere a new one is written every ten seconds.
    """

    def __init__(self, start: int, steps: int, batch: int) -> None:
        self.start, self.steps, self.batch = start, steps, batch
        self.begin = self.shown = time.perf_counter()
        self.terminal = sys.stderr.isatty()

    def show(self, done: int, loss: float, waited_s: float) -> None:
        """Tell of ``done`` steps of all, if it is time to."""
        now = time.perf_counter()
        last = done == self.steps
        if not last and now - self.shown < (0.5 if self.terminal else 10):
            return
        self.shown = now
        taken = max(now - self.begin, 1e-9)
        speed = (done - self.start) / taken
        line = (
            f"step {done}/{self.steps}  loss {loss:.4g}  {speed * self.batch:.1f} images/s  "
            f"waiting {waited_s / taken:.0%}  {_duration((self.steps - done) / max(speed, 1e-9))} left"
        )
        end = "\n" if last or not self.terminal else ""
        print(f"\r\033[K{line}" if self.terminal else line, end=end, file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    minutes, hours = divmod(int(seconds), 3600)[1] // 60, int(seconds) // 3600
    return f"{hours} h {minutes:02d} min" if hours else f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
