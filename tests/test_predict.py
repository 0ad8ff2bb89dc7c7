"""Anybody's pictures: a person each or given boxes; what cannot be used is named, and the others are done."""

import errno
import json
import os
import resource
import signal
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from mspn.commands.cli import main
from mspn.data.geometry import test_crops
from mspn.data.notes import Notes
from mspn.data.pictures import read_upright
from mspn.errors import UserError
from mspn.evaluation import predict
from mspn.evaluation.inference import Ensemble, heat_maps, load_ensemble, quicken
from mspn.experiment.networks import network_spec
from mspn.files import writing
from mspn.networks.build import build_network
from mspn.networks.weights import save_weights
from mspn.training.train import Stop
from tests.photo_cases import photos_of, write_photos

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Weights of a small untrained network for COCO's joints."""
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    constructor, keywords = network_spec("mspn-1")
    shape: dict[str, Any] = {"joints": 17, "scales": 1, "width": 0.0625}
    torch.manual_seed(0)
    network = build_network("mspn-1", **shape)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # as after training: folding has something to fold
            torch.nn.init.normal_(module.running_mean, 0, 0.1)  # type: ignore[arg-type]
            torch.nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]
    header = {"constructor": constructor, "keywords": {**keywords, **shape}, "joint_set": "coco"}
    save_weights(path, network.state_dict(), {**header, "input_size": [64, 48]})
    return path


@pytest.fixture
def folder(tmp_path):
    return write_photos(tmp_path / "pictures", ["a.jpg", "b.PNG", "more/a.jpg"])


def run(capsys, checkpoint, images, out, *more):
    code = main(
        ["predict", "--checkpoint", str(checkpoint), "--images", str(images), "--out", str(out), *more]
    )
    return code, capsys.readouterr()


def lines(out):
    return [json.loads(line) for line in (out / predict.LINES).read_text().splitlines()]


def middle(_, images):
    """Heat maps of a network that finds every joint at its input's middle."""
    maps = torch.zeros(len(images), 17, 16, 12)
    maps[:, :, 8, 6] = 200
    return maps, maps.flip(-1)


@pytest.fixture
def oracle(monkeypatch):
    monkeypatch.setattr(predict, "heat_maps", middle)
    return Ensemble([], [{"joint_set": "coco", "input_size": [64, 48]}], CPU)


def test_whole_pictures_are_done_and_bad_ones_named(capsys, checkpoint, folder, tmp_path):
    (folder / "broken.jpg").write_bytes((folder / "a.jpg").read_bytes()[:900])
    (folder / "text.png").write_text("not a picture")
    (folder / "moving.gif").write_bytes(b"GIF89a")
    code, printed = run(capsys, checkpoint, folder, tmp_path / "out")
    assert code == 0
    assert printed.out.startswith("3 persons on 3 of 5 pictures, ") and "no --boxes" in printed.out
    kinds, bad, *named = printed.err.strip().splitlines()
    assert kinds.startswith("mspn: left out: 1 files that are not read") and "moving.gif" in kinds
    assert bad == "mspn: left out: 2 pictures that cannot be read:"
    assert "broken.jpg: damaged" in named[0] and "text.png: no picture" in named[1] and len(named) == 2
    results = json.loads((tmp_path / "out/predictions.json").read_text())
    assert results == lines(tmp_path / "out")
    assert [result["file_name"] for result in results] == ["a.jpg", "b.PNG", "more/a.jpg"]
    for result in results:
        assert len(result["keypoints"]) == 51 and result["bbox"] == [0, 0, 70, 90]
        overlay = cv2.imread(str(tmp_path / "out/overlays" / f"{result['file_name']}.jpg"))
        assert overlay is not None and overlay.shape == (90, 70, 3)
    assert len({result["image_id"] for result in results}) == 3


def test_boxes_scores_and_all_that_was_not_done_is_counted(capsys, checkpoint, folder, tmp_path):
    boxes = tmp_path / "boxes.json"
    rows = [[5, 5, 30, 40], [20, 10, 40, 60, 0.5], [70, 5, 10, 10], [-9, 5, 9, 9], [5, 5, 0.5, 9]]
    boxes.write_text(json.dumps({"a.jpg": rows, "b.PNG": [], "c.jpg": rows}))
    code, printed = run(capsys, checkpoint, folder, tmp_path / "out", "--boxes", str(boxes), "--json")
    assert code == 0
    first, second = lines(tmp_path / "out")
    assert (first["bbox"], second["bbox"]) == ([5, 5, 30, 40], [20, 10, 40, 60])
    assert second["score"] == pytest.approx(0.5 * np.mean(second["keypoints"][2::3]), abs=1e-3)
    summary = json.loads(printed.out)
    assert summary == json.loads((tmp_path / "out" / predict.SUMMARY).read_text())
    above = sum(score > 0.6 for entry in (first, second) for score in entry["keypoints"][2::3])
    expected = {"pictures": 3, "without_box": 2, "predicted": 1, "persons": 2, "joints": 34}
    assert expected.items() <= summary.items() and summary["joints_above_threshold"] == above
    left = {rule: told["count"] for rule, told in summary["left_out"].items()}
    assert left == {"boxes of other pictures": 5, predict.OUTSIDE: 3}
    assert printed.err.count("c.jpg") == 1


def test_nothing_done_is_a_failure(capsys, checkpoint, folder, tmp_path):
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps({"c.jpg": [[1, 1, 5, 5]]}))
    code, printed = run(capsys, checkpoint, folder, tmp_path / "out", "--boxes", str(boxes))
    assert code == 1 and printed.out.startswith("0 persons on 0 of 3 pictures")
    assert json.loads((tmp_path / "out/predictions.json").read_text()) == []


def test_joints_come_back_into_the_boxes_place(oracle, tmp_path):
    photos = photos_of(write_photos(tmp_path / "p", ["x.png"], size=(300, 300)))
    boxes = np.array([[100.0, 50, 60, 80, 1], [10, 10, 30, 40, 1]])
    predict.predict_photos(oracle, photos, {"x.png": boxes}, tmp_path, Notes(""))
    joints = np.array([entry["keypoints"] for entry in lines(tmp_path)]).reshape(2, 17, 3)
    pixel = test_crops(boxes[:, :4], (64, 48))[:, 2] / 48  # picture pixels per input pixel
    centres = boxes[:, :2] + boxes[:, 2:4] / 2
    # Heat map pixel (6, 8), and a quarter to the second highest, is input pixel (26, 34) of (24, 32).
    away = np.abs(joints[:, :, :2] - centres[:, None] - 2 * pixel[:, None, None])
    assert (away <= 1.001 * pixel[:, None, None]).all()


def test_joints_outside_the_picture_are_told_and_drawn_at_its_edge(oracle, tmp_path):
    """A box that hangs over the picture's left edge, with its middle outside."""
    photos = photos_of(write_photos(tmp_path / "p", ["x.png"], size=(100, 100)))
    boxes = {"x.png": np.array([[-50.0, 20, 60, 60, 1]])}
    summary = predict.predict_photos(oracle, photos, boxes, tmp_path, Notes(""))
    (entry,) = lines(tmp_path)
    assert summary["joints_outside"] == 17 and entry["outside"] == list(oracle.skeleton.joints)
    x, y = entry["keypoints"][:2]
    assert x < 0
    overlay, before = (read_upright(p) for p in (tmp_path / "overlays/x.png.jpg", photos[0].path))
    changed = np.abs(overlay.astype(int) - before).max(axis=2) > 100
    rows, columns = np.nonzero(changed[:, :8])
    assert abs(rows - y).min() < 3 and columns.min() == 0


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_how_persons_are_batched_changes_no_joint(checkpoint, tmp_path, batch, monkeypatch):
    """Nor do the folded batch norms, nor pictures too large to wait together."""
    names = ["a.png", "b.png", "c.png"]
    photos = photos_of(write_photos(tmp_path / "p", names))
    rows = [[1.0, 2, 40, 60, 1], [9, 9, 30, 70, 1], [20, 20, 45, 45, 1]]
    boxes = {name: np.array(rows[: k + 1]) for k, name in enumerate(names)}
    if batch == 5:
        monkeypatch.setattr(predict, "HELD_BYTES", 1)
    ensemble = load_ensemble([checkpoint], CPU)
    calls = []

    def counted(ensemble, images):
        calls.append(len(images))
        return heat_maps(ensemble, images)

    monkeypatch.setattr(predict, "heat_maps", counted)
    predict.predict_photos(ensemble, photos, boxes, tmp_path, Notes(""), batch=batch)
    assert calls == {1: [1] * 6, 2: [1, 2, 2, 1], 5: [1, 2, 3]}[batch]
    crops = [predict._read(photo, boxes[photo.name], (64, 48)) for photo in photos]
    alone = [predict._predict(load_ensemble([checkpoint], CPU), [crop], 9) for crop in crops]  # type: ignore[list-item]
    expected = np.concatenate([joints for (joints,) in alone])
    found = np.array([entry["keypoints"] for entry in lines(tmp_path)]).reshape(6, 17, 3)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_folded_batch_norms_give_the_same_heat_maps(checkpoint):
    images = torch.randint(0, 256, (3, 64, 48, 3), dtype=torch.uint8)
    plain, quick = load_ensemble([checkpoint], CPU), load_ensemble([checkpoint], CPU)
    quicken(quick)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in quick.networks[0].modules())
    for one, other in zip(heat_maps(plain, images), heat_maps(quick, images), strict=True):
        assert one.std() > 1e-3
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_told_to_stop_half_is_written_and_said(capsys, checkpoint, tmp_path, monkeypatch):
    folder = write_photos(tmp_path / "p", [f"{k}.png" for k in range(40)])
    read = predict.read_upright

    def told_at_the_tenth(path):
        if path.name == "10.png":
            os.kill(os.getpid(), signal.SIGTERM)
        return read(path)

    monkeypatch.setattr(predict, "read_upright", told_at_the_tenth)
    code, printed = run(capsys, checkpoint, folder, tmp_path / "out", "--batch", "2")
    assert code == 128 + signal.SIGTERM and "stopped by SIGTERM before the end" in printed.out
    done = json.loads((tmp_path / "out/predictions.json").read_text())
    assert 0 < len(done) < 40 and done == lines(tmp_path / "out")
    assert printed.out.startswith(f"{len(done)} persons on {len(done)} of 40 pictures")
    assert len(list((tmp_path / "out/overlays").iterdir())) == len(done)


def test_a_signal_after_the_last_picture_stops_nothing(oracle, tmp_path):
    stop = Stop()
    photos = photos_of(write_photos(tmp_path / "p", ["a.png"]))
    summary = predict.predict_photos(
        oracle, photos, None, tmp_path, Notes(""), stop=stop, seen=lambda: setattr(stop, "signal", 15)
    )
    assert summary["persons"] == 1 and summary["stopped_by"] is None


def test_lines_are_there_as_they_go(oracle, tmp_path, monkeypatch):
    """A network that fails at the third picture: the first two persons' lines can be read."""
    photos = photos_of(write_photos(tmp_path / "p", ["a.png", "b.png", "c.png"]))
    calls: list[int] = []

    def fails(ensemble, images):
        calls.append(len(images))
        if len(calls) == 3:
            assert [entry["file_name"] for entry in lines(tmp_path)] == ["a.png", "b.png"]
            raise UserError("a heat map with a number that is none")
        return middle(ensemble, images)

    monkeypatch.setattr(predict, "heat_maps", fails)
    (tmp_path / predict.RESULTS).write_text("of an earlier run")
    with pytest.raises(UserError, match="none"):
        predict.predict_photos(oracle, photos, None, tmp_path, Notes(""), batch=1)
    assert len(lines(tmp_path)) == 2 and not (tmp_path / predict.RESULTS).exists()


def test_an_output_that_cannot_be_written_is_one_line(capsys, checkpoint, folder, tmp_path):
    (tmp_path / "file").write_text("")
    code, printed = run(capsys, checkpoint, folder, tmp_path / "file/out")
    assert code == 2 and printed.err.count("\n") == 1
    assert "file" in printed.err and "cannot be written (Not a directory)" in printed.err
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        code, printed = run(capsys, checkpoint, folder, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert code == 2 and "cannot be written (File too large)" in printed.err
    with pytest.raises(UserError, match=r"out: cannot be written \(No space.*make room"), writing("out"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_pictures_that_cannot_be_taken_end_nothing_for_the_others(oracle, tmp_path):
    """One too wide, one of a terabyte that takes no disk, an empty one; an overlay without place."""
    folder = tmp_path / "p"
    write_photos(folder, ["a.png", "b.png", "z.png"])
    cv2.imwrite(str(folder / "wide.png"), np.zeros((1, 32_768, 3), np.uint8))
    (folder / "empty.jpg").touch()
    with (folder / "sparse.jpg").open("wb") as file:
        file.truncate(1 << 40)
    (tmp_path / "out/overlays/b.png.jpg").mkdir(parents=True)
    notes = Notes("")
    summary = predict.predict_photos(oracle, photos_of(folder), None, tmp_path / "out", notes)
    assert [line["file_name"] for line in lines(tmp_path / "out")] == ["a.png", "b.png", "z.png"]
    assert {path.name for path in (tmp_path / "out/overlays").glob("*.png.jpg") if path.is_file()} == {
        "a.png.jpg",
        "z.png.jpg",
    }
    unreadable = summary["left_out"][predict.UNREADABLE]["which"]
    assert [Path(text.split(":")[0]).name for text in unreadable] == ["empty.jpg", "sparse.jpg", "wide.png"]
    assert summary["left_out"][predict.UNDRAWN]["count"] == 1


def test_results_do_not_go_through_a_link(oracle, tmp_path):
    photos = photos_of(write_photos(tmp_path / "p", ["a.png"]))
    (tmp_path / "precious").write_text("kept")
    for name in (predict.LINES, predict.RESULTS, predict.SUMMARY):
        (tmp_path / name).symlink_to(tmp_path / "precious")
    predict.predict_photos(oracle, photos, None, tmp_path, Notes(""))
    assert (tmp_path / "precious").read_text() == "kept" and len(lines(tmp_path)) == 1


def test_options_that_make_no_sense_are_refused(capsys, checkpoint, folder, tmp_path):
    for option in (("--batch", "0"), ("--threads", "0"), ("--threshold", "nan")):
        assert run(capsys, checkpoint, folder, tmp_path / "out", *option)[0] == 2


def test_the_help_says_what_boxes_are(capsys):
    with pytest.raises(SystemExit):
        main(["predict", "--help"])
    assert '"photo.jpg": [[x, y, width, height]' in capsys.readouterr().out


def test_checkpoints_that_are_none_are_refused(capsys, folder, tmp_path):
    (folder / "notes.txt").write_text("not weights")
    code, printed = run(capsys, folder / "notes.txt", folder, tmp_path / "out")
    assert code == 2 and "notes.txt" in printed.err
    with pytest.raises(UserError):
        load_ensemble([tmp_path / "none.safetensors"], CPU)
