"""What a training writes down while it runs: its log, its timings, its attempts, and a line for who watches.

All three files lie beside the checkpoints until the training ends, as Snakemake deletes a failed job's
declared outputs:

- ``log.jsonl``: a line per step with ``step``, ``lr``, ``loss`` and ``losses`` (a list per stage, a loss per
  scale, coarsest first). Deterministic: a training that was killed and went on has the same bytes.
- ``timing.jsonl``: a line per step with ``attempt``, ``step``, ``images_per_s`` and ``data_wait`` (the share
  of the step's time; on a GPU, which is read a step late, of the turn of the loop). Not deterministic; a step
  that was lost and done again has two lines.
- ``attempts.json``: a record for each start of the training: times, steps, machine, peak memory, its end.
"""

import json
import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from mspn.errors import UserError
from mspn.experiment.log import LOG
from mspn.files import read_json, write_json, write_text
from mspn.training.hardware import peak_memory

if TYPE_CHECKING:
    import torch

TIMING, ATTEMPTS = "timing.jsonl", "attempts.json"
# Seconds and bytes of an attempt as of its last checkpoint; what a killed one did after it is not known.
MEASURED = ("wall_s", "data_wait_s", "device_s", "peak_memory_bytes")
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
        if start:
            before = self.attempts[-1] if self.attempts else {}
            changed = sorted(key for key in facts if facts[key] != before.get(key))
            if changed:
                warnings.warn(
                    f"{folder}: going on with other settings than before ({', '.join(changed)}): where "
                    "they change the order of additions, the weights will be others, as another seed's would",
                    stacklevel=2,
                )
        steps = {"from_step": start, "to_step": start, "ended": "running", **dict.fromkeys(MEASURED, 0)}
        self.attempts.append({"started": datetime.now(UTC).isoformat(timespec="seconds"), **steps, **facts})
        write_json(folder / ATTEMPTS, self.attempts)

    def step(
        self, step: int, lr: float, losses: list[list[float]], images_per_s: float, data_wait: float
    ) -> None:
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
        """Put everything on the disk; before a checkpoint, so that it knows no step that the log lacks."""
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


# Saving may take this share of the time; a full-size state is more than a gigabyte.
SAVING_SHARE = 0.02


class Clock:
    """Times of an attempt, and when to save: every so many steps, if given, and every so many seconds."""

    def __init__(self, watch: Stopwatch, save_every_s: float, save_every_steps: int | None) -> None:
        self.watch, self.save_every_s, self.save_every_steps = watch, save_every_s, save_every_steps
        self.started = self.saved = self.step_began = time.perf_counter()
        self.cpu_started = time.process_time()
        self.step_waited = 0.0
        self.saving_s = 0.0

    def begin_step(self) -> None:
        """A step starts, data included."""
        self.step_began, self.step_waited = time.perf_counter(), self.watch.seconds

    def step_speed(self, batch: int) -> tuple[float, float]:
        """Images per second of the step, over all processes, and its share of time waiting for data."""
        taken = time.perf_counter() - self.step_began
        return batch / taken, (self.watch.seconds - self.step_waited) / taken

    def save_due(self, done: int) -> bool:
        """By steps if asked for, and by time: at most a small share of it may go into saving."""
        if self.save_every_steps and done % self.save_every_steps == 0:
            return True
        wait = max(self.save_every_s, self.saving_s / SAVING_SHARE)
        return time.perf_counter() - self.saved >= wait

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Time a save, so that the next is not too soon."""
        begin = time.perf_counter()
        yield
        self.saved = time.perf_counter()
        self.saving_s = self.saved - begin

    def facts(self, device: "torch.device", world: int) -> dict[str, Any]:
        """Of this attempt so far: seconds of wall time, waiting for data and device, and peak memory.

        Device time is on the CPU the processor time of this process; on GPUs the wall time not spent waiting
        for data, times the number of GPUs.
        """
        wall = time.perf_counter() - self.started
        used = time.process_time() - self.cpu_started
        if device.type == "cuda":
            used = (wall - self.watch.seconds) * world
        return {
            "wall_s": round(wall, 3),
            "data_wait_s": round(self.watch.seconds, 3),
            "device_s": round(used, 3),
            "peak_memory_bytes": peak_memory(device),
        }


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
        # The reader of a pipe may be killed together with us and before us.
        with suppress(BrokenPipeError):
            print(f"\r\033[K{line}" if self.terminal else line, end=end, file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    minutes, hours = divmod(int(seconds), 3600)[1] // 60, int(seconds) // 3600
    return f"{hours} h {minutes:02d} min" if hours else f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
