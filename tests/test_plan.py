"""The plan: its jobs are the graph's, its times follow from the numbers it states, its purchases too."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from mspn.cluster import costs, plan
from mspn.cluster.costs import Size, Speed, choose_speed, read_throughput
from mspn.cluster.effects import detectable
from mspn.cluster.plan import Task, buy_tables, critical_path, gpu_tasks, wall_time
from mspn.commands.cli import main
from mspn.commands.plan import describe
from mspn.errors import UserError
from mspn.experiment.experiment import Experiment
from mspn.experiment.load import load_experiment
from mspn.report.draws import Draws
from mspn.report.results import collect
from tests import report_tree

GIGA = 2.0**30


@pytest.fixture
def smoke() -> Experiment:
    return load_experiment("smoke")


@pytest.fixture
def sizes(smoke) -> dict[str, Size]:
    return {run.run: Size(macs=1e9, parameters=1000) for run in smoke.trained}


def test_the_jobs_are_those_of_the_graph(smoke):
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--forceall", "--config", "scale=smoke"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    table = text[text.index("Job stats:") :].split("total")[0]
    assert plan.count_jobs(smoke) == {rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", table, re.M)}


def test_a_trainings_time_is_its_flops_over_the_rate(smoke, sizes):
    run = smoke.run("mspn-1")
    tasks = {task.name: task for task in gpu_tasks(smoke, sizes, Speed(1e12, "test"), gpus_each=2)}
    samples = smoke.recipe(run).iterations * smoke.recipe(run).batch
    task = tasks[smoke.training_id(run, 0)]
    assert task.seconds == pytest.approx(samples * 6 * 1e9 / 1e12 / 2)
    assert task.gpu_hours == pytest.approx(samples * 6 * 1e9 / 1e12 / 3600)


def test_what_trainings_share_is_planned_once():
    """Three budgets of the bench take the trunk to the last cool-down, and the three cool-downs."""
    bench = load_experiment("bench")
    sizes = {run.run: Size(macs=1e9, parameters=1000) for run in bench.trained}
    tasks = gpu_tasks(bench, sizes, Speed(1e12, "test"), gpus_each=1)
    run, per_step = bench.run("mspn-2"), 32 * 6 * 1e9 / 1e12
    trunk = [t for t in tasks if t.name.startswith(bench.trunk_id(run, 0))]
    assert [round(t.seconds / per_step) for t in trunk] == [440, 440, 880]
    own = {t.name: t for t in tasks}[bench.training_id(run, 0)]
    assert round(own.seconds / per_step) == 440 and own.after == (trunk[-1].name,)
    assert critical_path(tasks) >= sum(t.seconds for t in trunk) + own.seconds
    assert wall_time(tasks, 10_000) == pytest.approx(critical_path(tasks))


ROW: dict[str, Any] = {
    "network": "mspn-1",
    "input_size": [64, 48],
    "width": 0.0625,
    "precision": "fp32",
    "options": {"channels_last": True, "compile": "off", "gradient_checkpointing": False},
    "images_per_s": 50.0,
    "device": "A GPU",
    "cuda": "13.0",
}
OTHERS = [
    {**ROW, "input_size": [8, 8], "images_per_s": 1.0},
    {**ROW, "options": {**ROW["options"], "compile": "on"}, "images_per_s": 2.0},
    {**{key: value for key, value in ROW.items() if key != "cuda"}, "device": "a CPU", "images_per_s": 3.0},
]


def test_a_measured_throughput_comes_before_the_assumption(smoke, sizes, tmp_path):
    run = smoke.run("mspn-1")
    (tmp_path / "train-a.json").write_text(json.dumps([ROW, *OTHERS]))
    speed = choose_speed(smoke, sizes, "a100", 0.2, tmp_path)
    assert speed.source.startswith("measured on A GPU")
    tasks = {task.name: task for task in gpu_tasks(smoke, sizes, speed, 1)}
    samples = smoke.recipe(run).iterations * smoke.recipe(run).batch
    assert tasks[smoke.training_id(run, 0)].seconds == pytest.approx(samples / 50)
    # Another network of the same size goes at the same rate of FLOPs.
    assert tasks[smoke.training_id(smoke.run("hourglass-1"), 0)].seconds == pytest.approx(samples / 50)
    on_cpu = choose_speed(smoke, sizes, "cpu", 0.2, tmp_path)
    assert on_cpu.source.startswith("measured on a CPU")
    assert list(on_cpu.measured.values()) == [3.0]


def test_speeds_are_those_of_the_profiles_options(tmp_path):
    compiled = {**ROW, "options": {**ROW["options"], "compile": "on"}, "images_per_s": 80.0}
    former = {**ROW, "variant": "bf16, channels-last, former", "images_per_s": 7.0}
    failed = {"variant": "bf16, channels-last, CUDA graphs", "failed": "out of memory"}
    rows = [ROW, compiled, former, failed]
    (tmp_path / "train-gpu.json").write_text(json.dumps({"tests": [], "bench": rows}))
    found = [read_throughput(tmp_path, options=options)[0] for options in (None, {"compile": "on"})]
    assert [list(speeds.values()) for speeds in found] == [[ROW["images_per_s"]], [80.0]]


def test_without_a_benchmark_the_assumption_is_stated(smoke, sizes, tmp_path):
    speed = choose_speed(smoke, sizes, "a100", 0.5, tmp_path)
    assert speed.flops_per_s == pytest.approx(19.5e12 * 0.5)
    assert speed.source.startswith("assumed: 50% of the peak of A100 (19.5 TFLOP/s, fp32) = 9.75 TFLOP/s")
    with pytest.raises(UserError, match="--gpu cpu: nothing measured"):
        choose_speed(smoke, sizes, "cpu", 0.5, tmp_path)


def test_damaged_and_mixed_benchmarks_are_named(tmp_path):
    (tmp_path / "train-b.json").write_text(json.dumps([ROW, {**ROW, "device": "another GPU"}]))
    with pytest.raises(UserError, match="measured on A GPU, another GPU; keep the files of one device"):
        read_throughput(tmp_path)
    (tmp_path / "train-b.json").write_text('[{"network": "mspn-1"}]')
    with pytest.raises(UserError, match=r"train-b.json: not what `mspn bench train --json` prints"):
        read_throughput(tmp_path)


def test_what_is_trained_already_costs_nothing(smoke, sizes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = gpu_tasks(smoke, sizes, Speed(1e12, "test"), 1)
    folder = smoke.training_folder(smoke.run("mspn-1"), 0)
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").touch()
    after = gpu_tasks(smoke, sizes, Speed(1e12, "test"), 1)
    assert {task.name for task in before} - {task.name for task in after} == {folder.name}
    assert next(task for task in after if task.name.startswith("mspn-1 seed 0")).after == ()


def test_packing_by_hand():
    tasks = [Task("a", "train", 4, 1), Task("b", "train", 3, 1), Task("c", "train", 2, 1)]
    tasks.append(Task("a on gt", "evaluate", 1, 1, ("a",)))
    assert wall_time(tasks, 1) == 10
    assert wall_time(tasks, 2) == 5
    assert critical_path(tasks) == wall_time(tasks, 3) == 5
    assert wall_time([], 1) == critical_path([]) == 0


def test_a_training_wider_than_the_machine_is_refused():
    with pytest.raises(UserError, match="a training on 4 GPUs does not fit on 2"):
        wall_time([Task("a", "train", 1, 4)], 2)


@given(
    st.lists(st.tuples(st.floats(0.1, 100), st.integers(1, 4)), min_size=1, max_size=12), st.integers(4, 12)
)
def test_a_packing_keeps_within_its_bounds(trainings, gpus):
    tasks = [Task(f"t{i}", "train", seconds, wide) for i, (seconds, wide) in enumerate(trainings)]
    tasks += [Task(f"e{i}", "evaluate", 1.0, 1, (f"t{i}",)) for i in range(len(trainings))]
    work = sum(task.seconds * task.gpus for task in tasks)
    wall = wall_time(tasks, gpus)
    assert wall >= max(critical_path(tasks), work / gpus) - 1e-9
    assert wall <= sum(task.seconds for task in tasks) + 1e-9


def test_tables_are_bought_cheapest_first_and_pay_shared_trainings_once(smoke, sizes):
    sizes = {**sizes, "hourglass-1": Size(1e8, 1000), "mspn-2": Size(4e9, 1000)}
    tasks = gpu_tasks(smoke, sizes, Speed(1e12, "test"), 1)
    tables = {1: ["mspn-1", "mspn-2"], 2: ["mspn-1"], 3: ["hourglass-1"]}
    free = buy_tables(smoke, tasks, tables, None)
    assert [purchase.table for purchase in free] == [3, 2, 1]
    alone = buy_tables(smoke, tasks, {1: tables[1]}, None)[0]
    assert free[2].gpu_hours == pytest.approx(alone.gpu_hours - free[1].gpu_hours)
    assert free[2].total_gpu_hours == pytest.approx(alone.gpu_hours + free[0].gpu_hours)
    some = buy_tables(smoke, tasks, tables, free[1].total_gpu_hours)
    assert [purchase.affordable for purchase in some] == [True, True, False]


def test_an_ensembles_table_pays_for_its_members(smoke, sizes):
    tasks = gpu_tasks(smoke, sizes, Speed(1e12, "test"), 1)
    (bought,) = buy_tables(smoke, tasks, {8: ["mspn-4-384x288-ensemble"]}, None)
    members = [smoke.training_id(smoke.run(m), 0) for m in ("mspn-4-384x288", "mspn-4-384x288-ext")]
    trained = sum(task.gpu_hours for task in tasks if task.name in members)
    evaluated = sum(task.gpu_hours for task in tasks if task.name.startswith("mspn-4-384x288-ensemble "))
    assert bought.gpu_hours == pytest.approx(trained + evaluated)


def test_disk_by_hand(smoke, sizes):
    one = replace(smoke, grid={"mspn-1": smoke.grid["mspn-1"]})
    disk = costs.disk_bytes(one, {"mspn-1": sizes["mspn-1"].parameters})
    assert disk["weights"] == 4 * 1000
    assert disk["checkpoints"] == 2 * 3 * 4 * 1000
    assert disk["crop stores"] == 2 * 24 * 64 * 48 * 10
    assert disk["data sets"] == 0


def test_network_sizes_are_the_papers():
    """One-stage MSPN: 4.415 x 2^30 multiply-adds at inference, 4.4 in the paper; training adds its heads."""
    paper = load_experiment("paper")
    one = replace(paper, grid={"mspn-1": paper.grid["mspn-1"]})
    (size,) = costs.network_sizes(one).values()
    assert 4.415 < size.macs / GIGA < 4.415 * 1.1


def test_statements_at_the_planned_seeds():
    """The bench's plan: its runs' statements alone, its last look; the noise is given, or assumed."""
    bench = load_experiment("bench")
    data = bench.scale.datasets["coco"].model_copy(update={"val_images": 800})
    changes = {
        "stand_in": {"det-49.4": "gt"},
        "evaluate_on": None,
        "datasets": {**bench.scale.datasets, "coco": data},
    }
    bench = replace(bench, scale=bench.scale.model_copy(update=changes))
    found = detectable(bench, image_deviation=0.4, seed_deviation=0.8)
    rows = {row["statement"]: row for row in found["statements"]}
    assert found["seeds"] == 4 and found["images"] == 800 and found["seed_deviation_source"] == "given"
    assert found["spread"] == pytest.approx(75.9 - 65.4) and found["spread_source"] == "the paper's"
    # One of a claim of one, a third of the error for each of three looks; nearly normal with 60 degrees.
    z = norm.ppf(1 - 0.05 / 3 / 2) + norm.ppf(0.8)
    assert rows["3a"]["smallest"] == pytest.approx(z * (2 * 0.4**2 + 2 * 0.8**2 / 4) ** 0.5, rel=0.03)
    assert rows["3a"]["paper"] == pytest.approx(2.8) and rows["3a"]["seeds"] in (3, 4)
    assert "8a" not in rows and "9a" not in rows  # boxes are stood in for; runs that are not planned
    assumed = detectable(bench)
    assert assumed["image_deviation"] == pytest.approx(0.15 * (5000 / 800) ** 0.5)
    assert assumed["seed_deviation_source"] == "assumed"
    one = replace(bench, grid={"mspn-1": bench.grid["mspn-1"]})
    assert detectable(one)["statements"] == []


def test_the_noise_that_was_measured_takes_the_place_of_the_assumption(monkeypatch):
    monkeypatch.chdir(report_tree.shared("madeup", (0, 1)))
    found = detectable(load_experiment("madeup"))
    assert found["seed_deviation_source"] == found["spread_source"] == "measured"
    draws = Draws(collect(load_experiment("madeup")))
    assert found["seed_deviation"] == pytest.approx(draws.spread.population, rel=0.2)
    assert 20 < found["spread"] < 60  # the made-up APs are the paper's, stretched


def test_the_verb_prints_a_plan_and_its_json(capsys):
    assert (
        main(["plan", "--scale", "smoke", "--gpus", "3", "--budget-hours", "1", "--bench", "none", "--json"])
        == 0
    )
    value = json.loads(capsys.readouterr().out)
    text = describe(value)
    assert "Speed: assumed" in text
    assert "wall time on 3 GPUs" in text
    assert "Table 9" in text
    assert "Statements of the claims at 2 seeds (looks at 2) and 12 images" in text and "9c" in text
    assert value["jobs"]["train"] == len(load_experiment("smoke").trainings())
    assert [row["gpus"] for row in value["scaling"]][:3] == [1, 2, 3]
