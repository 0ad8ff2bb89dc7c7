"""What only a CUDA device can show; each is skipped where there is none. `make test-gpu` runs these alone."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from mspn.cluster.gpu_memory import training_bytes
from mspn.data.batches import training_batches
from mspn.data.crops import make_store
from mspn.data.store import DeviceStore, open_store
from mspn.evaluation.inference import Ensemble, heat_maps
from mspn.experiment.config import Recipe, Store
from mspn.experiment.load import load_experiment
from mspn.networks.build import build_network
from mspn.training.hardware import Options, prepare, set_arithmetic, set_up
from mspn.training.memory import probe, step_peak
from mspn.training.objective import Learner, Objective, accumulate_gradients
from mspn.training.optimiser import make_optimiser, take_step
from mspn.training.train import Machine, Stop, Training, send, train
from tests.golden_trainings import SIZE, people

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]
CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
KERNELS = ((15, 11, 9, 7), (11, 9, 7, 5))
RECIPE = Recipe(batch=8, iterations=20, lr=1e-4, warmup_iterations=4, norm_batch=4)


def narrow(name="mspn-2"):
    torch.manual_seed(0)
    return build_network(name, width=0.0625)


def made_learner(options, precision="fp32"):
    """A narrow MSPN 2 with its objective on the GPU, and its optimiser."""
    set_up(GPU, options, precision)
    network = prepare(narrow(), GPU, options)
    learner = Learner(network, Objective(SIZE, 2, *KERNELS, precision), GPU, options).train()
    return learner, make_optimiser(network, 1e-5)


def samples(folder: Path, **options):
    return training_batches(
        people(folder), input_size=SIZE, augmentation="mild", seed=3, batch=4, pin=True, **options
    )


@contextmanager
def no_waiting() -> Iterator[None]:
    """CUDA calls that make the host wait for the device raise within the block."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_the_debug_mode_sees_a_wait():
    losses = torch.ones(3, device=GPU)
    with no_waiting(), pytest.raises(RuntimeError):
        losses.sum().item()


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("resident", [False, True], ids=["pictures", "store on the device"])
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_a_step_waits_for_nothing(tmp_path, precision, resident, workers):
    learner, optimiser = made_learner(Options(), precision)
    store = None
    if resident:
        crops, persons = Store(oversampling=1.0), people(tmp_path)
        make_store(tmp_path / "store", persons, SIZE, "mild", crops, report=lambda line: None)
        store = DeviceStore(open_store(tmp_path / "store", persons, SIZE, "mild", crops), GPU)
    batches = samples(tmp_path, store=store, workers=workers)

    def step(number):
        losses, rows = accumulate_gradients(learner, islice(batches, 2), global_batch=8, micro=2, device=GPU)
        sent = send(number, 1e-4, losses, rows, 8, Stop(), world=1)
        take_step(optimiser, 1e-4)
        return sent

    sent = step(0)  # the first looks for fast kernels and makes the optimiser's moments
    with no_waiting():
        for number in range(1, 4):
            sent, before = step(number), sent
            assert before.read()[1]
    assert sent.read()[1] and sent.figures.is_pinned()
    batches.close()


def losses_of(folder: Path, device: torch.device, options: Options) -> list[float]:
    """The loss of each of twenty steps of the real loop in fp32, two micro-batches a step."""
    folder.mkdir()
    set_up(device, options)
    persons = people(folder)

    def batches(batch, start):
        return training_batches(
            persons, input_size=SIZE, augmentation="mild", seed=3, batch=batch, start=start,
            pin=device.type == "cuda",
        )  # fmt: skip

    training = Training(RECIPE, Objective(SIZE, 2, *KERNELS), batches, "own", folder / "live")
    network = prepare(narrow(), device, options)
    assert train(network, training, Machine(device, options), Stop()) is not None
    return [json.loads(line)["loss"] for line in (folder / "live/log.jsonl").read_text().splitlines()]


def test_twenty_steps_are_those_of_a_cpu(tmp_path):
    there, here = (losses_of(tmp_path / d.type, d, Options()) for d in (GPU, CPU))
    assert len(there) == 20
    assert there[0] == pytest.approx(here[0], rel=1e-5)
    # Rounding, which batch norm and Adam enlarge: to 8e-4 between two memory layouts of a CPU.
    assert there == pytest.approx(here, rel=5e-3)


@pytest.mark.parametrize(
    "options",
    [Options(channels_last=False), Options(gradient_checkpointing=True)],
    ids=["layout", "checkpoints"],
)
def test_options_change_no_loss(tmp_path, options):
    plain, changed = (
        losses_of(tmp_path / name, GPU, chosen) for name, chosen in (("a", Options()), ("b", options))
    )
    assert changed[0] == pytest.approx(plain[0], rel=1e-5)
    assert changed == pytest.approx(plain, rel=5e-3)


@pytest.mark.parametrize("mode", ["on", "cuda-graphs"])
def test_a_compiled_step_is_the_plain_one(tmp_path, mode):
    found = []
    for compiled in ("off", mode):
        learner, optimiser = made_learner(Options(compile=compiled))
        (tmp_path / compiled).mkdir()
        batches, losses = samples(tmp_path / compiled), []
        for _ in range(6):
            of_step, _ = accumulate_gradients(
                learner, islice(batches, 1), global_batch=4, micro=1, device=GPU
            )
            losses.append(of_step.sum())
            take_step(optimiser, 1e-4)
        found.append(torch.stack(losses).tolist())
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-5)
    assert found[1] == pytest.approx(found[0], rel=5e-3)


def test_the_store_on_the_device_gives_the_crops_of_the_host(tmp_path):
    persons, crops = people(tmp_path), Store(oversampling=1.0)
    make_store(tmp_path / "store", persons, SIZE, "mild", crops, report=lambda line: None)
    store = open_store(tmp_path / "store", persons, SIZE, "mild", crops)
    rows = np.arange(len(persons))
    matrices = np.tile(np.array([[1.0, 0.2, -4.0], [-0.1, 1.1, 3.0]]), (len(rows), 1, 1))
    here, there = store.warp(rows, matrices, SIZE), DeviceStore(store, GPU).warp(rows, matrices, SIZE)
    difference = (here.float() - there.cpu().float()).abs()
    assert difference.mean() < 1 and there.is_cuda


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-3), ("tf32", 2e-2), ("bf16", 0.1)])
def test_evaluation_gives_the_heat_maps_of_a_cpu(precision, tolerance):
    images = torch.randint(0, 256, (4, *SIZE, 3), dtype=torch.uint8)
    network = narrow().eval()
    (here, _) = heat_maps(Ensemble([network], [], CPU), images)
    set_arithmetic(GPU, precision)
    network = network.to(GPU).to(memory_format=torch.channels_last)
    (there, _) = heat_maps(Ensemble([network], [], GPU, precision), images.pin_memory())
    assert there.dtype == torch.float32 and there.is_cuda
    assert (there.cpu() - here).norm() <= tolerance * here.norm()


def test_the_memory_probe_measures():
    how = {"joints": 17, "device": GPU, "options": Options(), "micro_batch": 4}
    assert "it fits" in probe(narrow(), Objective(SIZE, 2, *KERNELS), RECIPE, **how)  # type: ignore[arg-type]


def test_the_estimate_of_memory_is_near_what_a_step_takes():
    paper = load_experiment("paper")
    run, samples = paper.run("mspn-1"), 16
    objective = Objective(paper.input_size(run), 1, *KERNELS, "bf16")
    network = build_network("mspn-1")
    measured = step_peak(network, objective, RECIPE, 17, GPU, Options(), samples)
    assert sum(training_bytes(paper, run, samples)) == pytest.approx(measured, rel=0.3)
