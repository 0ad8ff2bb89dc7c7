"""Any user's pictures: one person each or given boxes, and what cannot be read is named."""

import json
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from mspn.commands.cli import main
from mspn.data.geometry import test_crops
from mspn.errors import UserError
from mspn.evaluation.inference import Ensemble, load_ensemble
from mspn.evaluation.predict import find_pictures, predict_image, read_boxes, read_upright
from mspn.experiment.networks import network_spec
from mspn.networks.build import build_network
from mspn.networks.weights import save_weights


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Weights of a small untrained network for COCO's joints."""
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    constructor, keywords = network_spec("mspn-1")
    shape: dict[str, Any] = {"joints": 17, "scales": 1, "width": 0.0625}
    torch.manual_seed(0)
    state = build_network("mspn-1", **shape).state_dict()
    header = {"constructor": constructor, "keywords": {**keywords, **shape}, "joint_set": "coco"}
    save_weights(path, state, {**header, "input_size": [64, 48]})
    return path


@pytest.fixture
def folder(tmp_path):
    """Three pictures, one in a folder below, two files that are none, and one that is not looked at."""
    pictures = tmp_path / "pictures"
    (pictures / "more").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("a.jpg", "b.PNG", "more/a.jpg"):
        cv2.imwrite(str(pictures / name), rng.integers(0, 255, (90, 70, 3), np.uint8))
    (pictures / "broken.jpg").write_bytes((pictures / "a.jpg").read_bytes()[:900])
    (pictures / "text.png").write_text("not a picture")
    (pictures / "notes.txt").write_text("nor this")
    return pictures


def run(capsys, checkpoint, images, out, *more):
    code = main(
        ["predict", "--checkpoint", str(checkpoint), "--images", str(images), "--out", str(out), *more]
    )
    return code, capsys.readouterr()


def test_whole_pictures_and_unreadable_ones_named_at_the_end(capsys, checkpoint, folder, tmp_path):
    code, printed = run(capsys, checkpoint, folder, tmp_path / "out")
    assert code == 1
    lines = printed.err.strip().splitlines()
    assert len(lines) == 2 and "broken.jpg" in lines[0] and "text.png" in lines[1]
    results = json.loads((tmp_path / "out/predictions.json").read_text())
    assert [result["file_name"] for result in results] == ["a.jpg", "b.PNG", "more/a.jpg"]
    for result in results:
        assert len(result["keypoints"]) == 51 and result["bbox"] == [0, 0, 70, 90]
        overlay = cv2.imread(str(tmp_path / "out/overlays" / f"{result['file_name']}.jpg"))
        assert overlay is not None and overlay.shape == (90, 70, 3)
    assert len({result["image_id"] for result in results}) == 3


def test_given_boxes_and_a_clean_exit(capsys, checkpoint, folder, tmp_path):
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps({"a.jpg": [[5, 5, 30, 40], [20, 10, 40, 60, 0.5]], "b.PNG": []}))
    for name in ("broken.jpg", "text.png", "more/a.jpg"):
        (folder / name).unlink()
    code, printed = run(capsys, checkpoint, folder, tmp_path / "out", "--boxes", str(boxes), "--json")
    assert code == 0 and not printed.err
    first, second = json.loads(printed.out)
    assert (first["bbox"], second["bbox"]) == ([5, 5, 30, 40], [20, 10, 40, 60])
    mean = np.mean(second["keypoints"][2::3])
    assert second["score"] == pytest.approx(0.5 * mean, abs=1e-3)


def test_boxes_of_pictures_that_are_not_there_are_named(capsys, checkpoint, folder, tmp_path):
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps({"a.jpg": [[5, 5, 30, 40]], "c.jpg": [[1, 1, 5, 5]]}))
    code, printed = run(capsys, checkpoint, folder / "a.jpg", tmp_path / "out", "--boxes", str(boxes))
    assert code == 1 and "c.jpg: boxes, but no such picture" in printed.err


def test_coco_detections_name_pictures_by_number(capsys, checkpoint, tmp_path):
    pictures = tmp_path / "p"
    pictures.mkdir()
    cv2.imwrite(str(pictures / "000000000139.jpg"), np.zeros((50, 50, 3), np.uint8))
    boxes = tmp_path / "boxes.json"
    detections = [
        {"image_id": 139, "category_id": 1, "bbox": [1, 2, 30, 40], "score": 0.25},
        {"image_id": 139, "category_id": 18, "bbox": [1, 2, 3, 4], "score": 0.9},  # a dog
    ]
    boxes.write_text(json.dumps(detections))
    code, printed = run(capsys, checkpoint, pictures, tmp_path / "out", "--boxes", str(boxes), "--json")
    (result,) = json.loads(printed.out)
    assert code == 0 and result["image_id"] == 139 and result["bbox"] == [1, 2, 30, 40]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("3", "expected COCO detections or a mapping"),
        ('[{"bbox": [1, 2, 3, 4]}]', "entry 0: needs bbox and image_id or file_name"),
        ('{"a": [[1, 2, 3]]}', "'a', box 0: expected 4 numbers, found 3"),
        ('{"a": [[1, 2, 0, 4]]}', "size above 0"),
        ('{"a": [[1, 2, NaN, 4]]}', "not a finite number"),
        ("{", "not a valid boxes file"),
    ],
)
def test_malformed_boxes_are_refused(tmp_path, content, message):
    path = tmp_path / "boxes.json"
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        read_boxes(path)


def test_nothing_to_do_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no such picture or folder"):
        find_pictures(tmp_path / "none")
    with pytest.raises(UserError, match="no picture in it"):
        find_pictures(tmp_path)


def test_pictures_are_read_as_people_see_them(tmp_path):
    from PIL import Image

    image = Image.fromarray(np.zeros((20, 40, 3), np.uint8))
    exif = image.getexif()
    exif[0x0112] = 6  # turned by a quarter
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert read_upright(tmp_path / "turned.jpg").shape == (40, 20, 3)


def test_joints_come_back_into_the_boxes_place(monkeypatch):
    """A map with its peak in the crop's middle puts every joint into the box's middle."""

    def middle(_, images):
        maps = torch.zeros(len(images), 17, 16, 12)
        maps[:, :, 8, 6] = 200
        return maps, maps.flip(-1)

    monkeypatch.setattr("mspn.evaluation.predict.heat_maps", middle)
    ensemble = Ensemble([], [{"joint_set": "coco", "input_size": [64, 48]}], torch.device("cpu"))
    boxes = np.array([[100.0, 50, 60, 80], [10, 10, 30, 40]])
    joints = predict_image(ensemble, np.zeros((300, 300, 3), np.uint8), boxes)
    crops = test_crops(boxes, (64, 48))
    pixel = crops[:, 2] / 48  # picture pixels per input pixel
    centres = boxes[:, :2] + boxes[:, 2:] / 2
    assert joints.shape == (2, 17, 3)
    # Heat map pixel (6, 8), and a quarter to the second highest, is input pixel (26, 34) of (24, 32).
    away = np.abs(joints[:, :, :2] - centres[:, None] - 2 * pixel[:, None, None])
    assert (away <= 1.001 * pixel[:, None, None]).all()


def test_the_help_says_what_boxes_are(capsys):
    with pytest.raises(SystemExit):
        main(["predict", "--help"])
    assert '"photo.jpg": [[x, y, width, height]' in capsys.readouterr().out


def test_checkpoints_that_are_none_are_refused(capsys, folder, tmp_path):
    code, printed = run(capsys, folder / "notes.txt", folder, tmp_path / "out")
    assert code == 2 and "notes.txt" in printed.err
    with pytest.raises(UserError):
        load_ensemble([tmp_path / "none.safetensors"], torch.device("cpu"))
