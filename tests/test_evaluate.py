"""A run's evaluation, whole: on an oracle, on an untrained network, and on weights that must be refused."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO

from mspn.cluster import deep
from mspn.commands.cli import main
from mspn.data.detectors import BOXES_HASH, as_detections
from mspn.data.geometry import crop_matrices, test_crops, transform
from mspn.data.load import load_annotations, load_split
from mspn.data.synth import make_dataset
from mspn.errors import UserError
from mspn.evaluation import evaluate as module
from mspn.evaluation.evaluate import evaluate, joints_by_way, joints_of, load_run
from mspn.evaluation.inference import Ensemble, heat_maps, load_ensemble
from mspn.evaluation.metrics import bootstrap, coco, mpii
from mspn.evaluation.metrics.bootstrap import COCO_FIGURES
from mspn.evaluation.metrics.matches import load_matches
from mspn.evaluation.protocols import PROTOCOLS, protocols_for
from mspn.evaluation.rescoring import EVIDENCE
from mspn.experiment.grid import SUPERVISIONS
from mspn.experiment.load import load_experiment
from mspn.experiment.networks import network_spec
from mspn.files import SEAL, read_json, sha256, write_json, write_sealed
from mspn.networks.build import build_network
from mspn.networks.weights import save_weights
from mspn.training.targets import make_targets

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def experiment():
    """The smoke scale, read from the repository; its bootstrap cut short."""
    whole = load_experiment("smoke")
    return replace(whole, scale=whole.scale.model_copy(update={"bootstrap": 20}))


@pytest.fixture(scope="module")
def workplace(experiment, tmp_path_factory):
    """A folder with validation data, boxes and untrained weights."""
    folder = tmp_path_factory.mktemp("workplace")
    for dataset, layout in (("coco", "coco"), ("mpii", "mpii")):
        root = folder / experiment.data_folder(dataset)
        options: dict[str, Any] = {
            "layout": layout,
            "difficulty": "plain",
            "seed": 1,
            "train_images": 1,
            "val_images": 5,
        }
        make_dataset(root, **options, workers=1, progress=False)
    truth = load_split(experiment.scale.datasets["coco"], folder / experiment.data_folder("coco"), "val")
    write_json(folder / experiment.boxes_file("coco", "gt"), as_detections(truth))
    for name in ("mspn-2", "mspn-4-mpii"):
        save(experiment, name, folder)
    return folder


@pytest.fixture
def here(workplace, monkeypatch):
    """Inside that folder, as paths of an experiment are relative."""
    monkeypatch.chdir(workplace)
    return workplace


def save(experiment, name, folder, **changes):
    """Untrained weights in the place of a run's; ``changes`` of their header."""
    run = experiment.run(name)
    constructor, keywords = network_spec(run.network)
    shape = {
        "joints": 17 if run.joint_set == "coco" else 16,
        "scales": SUPERVISIONS[run.supervision][0],
        "width": experiment.scale.width,
    }
    torch.manual_seed(0)
    network = build_network(run.network, **shape)
    header = {
        "constructor": constructor,
        "keywords": {**keywords, **shape},
        "joint_set": run.joint_set,
        "input_size": list(experiment.input_size(run)),
        "run": name,
        "seed": 0,
        "training_id": experiment.training_id(run, 0),
        "identity": experiment.identity(run, 0),
        "step": experiment.recipe(run).iterations,
        "source": "test",
    } | changes
    path = folder / experiment.training_folder(run, 0) / "weights.safetensors"
    save_weights(path, network.state_dict(), header)
    return path


def oracle(persons, size):
    """In place of a network: target heat maps of the annotated joints, in the persons' order."""
    enlarge = persons.skeleton.name != "mpii"
    matrices = crop_matrices(test_crops(persons.boxes, size, enlarge), size)
    joints = persons.joints.astype(np.float64).copy()
    joints[..., :2] = transform(joints[..., :2], matrices)
    maps = make_targets(torch.from_numpy(joints).float(), (7,), size)[:, 0]
    done = 0

    def heat_maps_of(_, images):
        nonlocal done
        part = maps[done : done + len(images)]
        done += len(images)
        return part, part.flip(-1)[:, torch.from_numpy(persons.skeleton.mirrored)]

    return heat_maps_of


@pytest.mark.parametrize(("dataset", "size"), [("coco", (256, 192)), ("mpii", (256, 256))])
def test_target_heat_maps_score_nearly_everything(experiment, here, monkeypatch, dataset, size):
    data, root = experiment.scale.datasets[dataset], experiment.data_folder(dataset)
    truth = load_split(data, root, "val")
    monkeypatch.setattr(module, "heat_maps", oracle(truth, size))
    ensemble = Ensemble([], [{"joint_set": dataset, "input_size": list(size)}], CPU)
    protocols = protocols_for(dataset)
    joints = joints_by_way(ensemble, truth, list(protocols.values()), batch=4)
    for name, protocol in protocols.items():
        found = joints[joints_of(protocol)]
        if dataset == "mpii":
            distances = mpii.pack(truth.joints, truth.head_sizes, truth.image_ids, found)
            value = mpii.figures(distances)[mpii.FIGURES.index("Mean")]
        else:
            annotations = coco.index(load_annotations(data, root, "val"))
            value = coco.evaluate(annotations, coco.results(truth.image_ids, found, truth.scores)).stats[0]
        # A pixel's shift of the mirrored map costs accuracy; wrong sides or places would cost nearly all.
        assert value > (0.95 if not protocol.shift else 0.8), name


@pytest.fixture
def evaluated(experiment, here):
    """The untrained network's evaluation."""
    return evaluate(experiment, experiment.run("mspn-2"), 0, "gt", CPU, batch=8)


def test_an_untrained_network_scores_about_nothing_and_writes_everything(experiment, evaluated):
    metrics = read_json(evaluated / "metrics.json")
    assert {(row["protocol"], row["metric"]) for row in metrics["rows"]} == {
        (protocol, figure) for protocol in PROTOCOLS for figure in COCO_FIGURES
    }
    for row in metrics["rows"]:
        assert row["value"] is None or 0 <= row["low"] <= row["high"] <= 100
    value = {(row["protocol"], row["metric"]): row["value"] for row in metrics["rows"]}
    assert value["paper", "AP"] < 2
    address = metrics["address"]
    assert address["training_id"] == experiment.training_id(experiment.run("mspn-2"), 0)
    assert (address["run"], address["seed"], address["detector"]) == ("mspn-2", 0, "gt")
    assert {"tensor_hash", "identity", "versions", "commit", "device", "data", "protocols"} <= set(address)
    assert set(address["protocols"]) == set(PROTOCOLS)

    # The written predictions score what the metrics say, and so do the matches.
    with coco.quiet():
        truth = COCO(str(experiment.data_folder("coco") / "annotations/person_keypoints_val.json"))
    stats = coco.evaluate(truth, read_json(evaluated / "predictions.json")).stats
    matches = load_matches(evaluated / "matches.npz")
    assert list(matches) == list(PROTOCOLS)
    assert bootstrap.figures(matches["paper"]).tolist() == list(stats)
    assert [value["paper", figure] for figure in COCO_FIGURES if value["paper", figure] is not None] == [
        100 * stat for stat in stats if stat >= 0
    ]
    with np.load(evaluated / "stages.npz", allow_pickle=False) as stages:
        height, width = experiment.input_size(experiment.run("mspn-2"))
        assert stages["prediction"].shape == stages["target"].shape == (2, 17, height // 4, width // 4)
        assert stages["crop"].shape == (height, width, 3)


def test_mpii_is_scored_by_pckh(experiment, here):
    folder = evaluate(experiment, experiment.run("mspn-4-mpii"), 0, "gt", CPU, batch=8)
    rows = read_json(folder / "metrics.json")["rows"]
    value = {(row["protocol"], row["metric"]): row["value"] for row in rows}
    assert set(value) == {(p, figure) for p in protocols_for("mpii") for figure in mpii.FIGURES}
    assert value["paper", "Mean"] < 20
    assert len(read_json(folder / "predictions.json")[0]["keypoints"]) == 48


def test_the_command_prints_the_paper_protocol(experiment, here, monkeypatch, capsys):
    monkeypatch.setattr("mspn.experiment.load.load_experiment", lambda scale: experiment)
    arguments = ["--scale", "smoke", "--run", "mspn-2", "--detector", "gt", "--device", "cpu"]
    assert main(["evaluate", *arguments, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [row["metric"] for row in printed["rows"]] == list(COCO_FIGURES)
    assert main(["evaluate", *arguments[:-4], "--detector", "det-0", "--device", "cpu"]) == 2
    assert "no detector 'det-0'" in capsys.readouterr().err


def test_annotations_that_do_not_fit_are_refused_before_any_figure(experiment, here, monkeypatch, evaluated):
    def shifted(*arguments):
        truth = load_split(*arguments)
        return replace(truth, joints=truth.joints + np.array([8, 0, 0], np.float32))

    (evaluated / "metrics.json").unlink()
    monkeypatch.setattr(module, "load_split", shifted)
    with pytest.raises(UserError, match="instead of 100"):
        evaluate(experiment, experiment.run("mspn-2"), 0, "gt", CPU)
    assert not (evaluated / "metrics.json").exists()


@contextmanager
def damaged(path: Path, change: Callable[[bytes], bytes]) -> Iterator[None]:
    """A file with other bytes, for a while."""
    whole = path.read_bytes()
    path.write_bytes(change(whole))
    try:
        yield
    finally:
        path.write_bytes(whole)


def older(data: bytes, **row: float) -> bytes:
    """What a version without hashes would have written, with changes to the first row."""
    content = json.loads(data)
    del content[SEAL], content[EVIDENCE]
    content["rows"][0] |= row
    return json.dumps(content).encode()


def test_scored_again_predictions_give_their_matches_and_those_their_intervals(experiment, evaluated):
    def problem() -> str:
        return "".join(finding.problem for finding in deep.check_predictions(experiment).findings)

    metrics, predictions = evaluated / "metrics.json", evaluated / "predictions.json"
    assert problem() == ""
    low = json.loads(metrics.read_text())["rows"][0]["low"]
    with damaged(metrics, older):
        assert problem() == ""
        with damaged(predictions, lambda data: data[: data.rindex(b'"score"')] + b'"score": 0.999}]'):
            assert "predictions.json: scored again, it does not give matches.npz" in problem()
    with damaged(metrics, lambda data: older(data, low=low + 0.01)):
        assert "the interval of AP under paper is not that of matches.npz" in problem()


def test_data_that_are_not_those_that_were_made_are_refused(experiment, here):
    root, data = experiment.data_folder("coco"), experiment.scale.datasets["coco"]
    alone = replace(experiment, grid={"mspn-2": experiment.run("mspn-2")})
    (root / "dataset.json").write_text("{}")
    assert deep.check_pictures(alone).findings == []
    picture = next((root / "val").glob("*.jpg"))
    with damaged(picture, lambda data: data[:900] + bytes([data[900] ^ 1]) + data[901:]):
        found = deep.check_pictures(alone).findings
        assert [picture.name in finding.problem for finding in found] == [True]
        with pytest.raises(UserError, match="not the picture that the data set lists"):
            evaluate(experiment, experiment.run("mspn-2"), 0, "gt", CPU)
    annotations = root / "annotations/person_keypoints_val.json"
    with (
        damaged(annotations, lambda data: data.replace(b'"area": ', b'"area": 1', 1)),
        pytest.raises(UserError, match=r"person_keypoints_val\.json: damaged or edited"),
    ):
        load_split(data, root, "val")


def test_boxes_that_are_not_those_that_were_made_are_refused(experiment, here):
    boxes = experiment.boxes_file("coco", "gt")
    beside = boxes.with_suffix(".metrics.json")
    write_sealed(beside, {BOXES_HASH: sha256(boxes)})
    with (
        damaged(boxes, lambda data: data.replace(b".", b".5", 1)),
        pytest.raises(UserError, match=r"gt\.json: not the boxes .* -R results/smoke/boxes/coco/gt\.json"),
    ):
        evaluate(experiment, experiment.run("mspn-2"), 0, "gt", CPU)
    beside.unlink()


@pytest.mark.parametrize("area", [1e9, 0.0, -1.0, float("nan"), "5", None, True])
def test_areas_that_no_person_has_are_refused(experiment, here, area):
    annotations = load_annotations(experiment.scale.datasets["coco"], experiment.data_folder("coco"), "val")
    person = next(a for a in annotations["annotations"] if any(a["keypoints"]))
    with pytest.raises(UserError, match=f"annotation {person['id']}: area"):
        coco.index({**annotations, "annotations": [{**person, "area": area}]})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training_id": "mspn-2-s0-other"}, "training_id 'mspn-2-s0-other', not"),
        ({"step": 1}, "step 1, not 4"),
        ({"seed": 5}, "seed 5, not 0"),
        ({"input_size": [96, 72]}, r"input_size \[96, 72\], not"),
    ],
)
def test_weights_of_another_training_are_refused(experiment, tmp_path, monkeypatch, changes, message):
    save(experiment, "mspn-2", tmp_path, **changes)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"not the finished training of run 'mspn-2'.*{message}"):
        load_run(experiment, experiment.run("mspn-2"), 0, CPU)


def test_missing_and_partial_weights_are_refused(experiment, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"weights\.safetensors: no such weights"):
        load_run(experiment, experiment.run("mspn-2"), 0, CPU)
    path = save(experiment, "mspn-2", tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"weights\.safetensors"):
        load_run(experiment, experiment.run("mspn-2"), 0, CPU)


def test_an_ensemble_is_the_mean_of_heat_maps_of_equal_geometry(experiment, workplace, tmp_path):
    first = workplace / experiment.training_folder(experiment.run("mspn-2"), 0) / "weights.safetensors"
    second = save(experiment, "mspn-1", tmp_path)
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 255, (2, 64, 48, 3), np.uint8))
    one, other = (heat_maps(load_ensemble([path], CPU), images) for path in (first, second))
    both = heat_maps(load_ensemble([first, second], CPU), images)
    for mean, a, b in zip(both, one, other, strict=True):
        torch.testing.assert_close(mean, (a + b) / 2)
    misfit = save(experiment, "mspn-1", tmp_path, input_size=[96, 72])
    with pytest.raises(UserError, match="equal geometry"):
        load_ensemble([first, misfit], CPU)


def test_a_network_that_gives_no_numbers_is_refused(experiment, workplace):
    path = workplace / experiment.training_folder(experiment.run("mspn-2"), 0) / "weights.safetensors"
    ensemble = load_ensemble([Path(path)], CPU)
    next(ensemble.networks[0].parameters()).data.fill_(float("nan"))
    with pytest.raises(UserError, match="a number that is none"):
        heat_maps(ensemble, torch.zeros(1, 64, 48, 3, dtype=torch.uint8))


def test_the_precision_of_an_evaluation_is_the_scales_and_part_of_its_identity(tmp_path):
    file = tmp_path / "bf16.yaml"
    file.write_text("extends: smoke\nevaluation_precision: bf16\n")
    plain, rough = load_experiment("smoke"), load_experiment(str(file))
    run = plain.run("mspn-1")
    identities = [e.evaluation_identity(e.run(run.run), 0, "gt") for e in (plain, rough)]
    assert "precision" not in identities[0] and identities[1]["precision"] == "bf16"
    assert plain.training_id(run, 0) == rough.training_id(rough.run(run.run), 0)
    torch.manual_seed(0)
    network = build_network("mspn-1", width=0.0625).eval()
    images = torch.randint(0, 256, (2, 64, 48, 3), dtype=torch.uint8)
    exact, half = (heat_maps(Ensemble([network], [], CPU, kind), images)[0] for kind in ("fp32", "bf16"))
    assert half.dtype == torch.float32 and not torch.equal(exact, half)
    assert (half - exact).norm() < 0.1 * exact.norm()
