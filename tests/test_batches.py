import os
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from mspn.data.augment import augment, augmentation_for
from mspn.data.batches import epoch_samples, evaluation_batches, normalise, trainable, training_batches
from mspn.data.coco import read_coco
from mspn.data.geometry import crop_matrices, test_crops
from mspn.data.persons import Picture
from mspn.data.pictures import read_picture
from mspn.data.skeletons import MPII
from mspn.errors import UserError
from tests.data_cases import make_persons

SIZE = (64, 48)
MINI = Path(os.environ.get("MSPN_COCO_MINI") or Path(__file__).parents[2] / "shared/data/coco-mini")


@pytest.fixture(scope="module")
def persons(tmp_path_factory):
    return make_persons(tmp_path_factory.mktemp("pictures"), 7)


def take(persons, count, **changes):
    settings: dict[str, Any] = {
        "input_size": SIZE,
        "augmentation": "released",
        "seed": 3,
        "batch": 4,
    } | changes
    return list(islice(training_batches(persons, **settings), count))


def joined(batches):
    return [torch.cat([getattr(b, key) for b in batches]) for key in ("images", "joints", "index")]


def assert_same(a, b):
    for left, right in zip(joined(a), joined(b), strict=True):
        assert torch.equal(left, right)


@pytest.mark.parametrize("workers", [1, 3])
def test_samples_do_not_depend_on_workers(persons, workers):
    assert_same(take(persons, 6), take(persons, 6, workers=workers))


def test_samples_do_not_depend_on_where_it_starts(persons):
    assert_same(take(persons, 9)[5:], take(persons, 4, start=5, workers=2))


def test_samples_do_not_depend_on_how_a_global_batch_is_split(persons):
    whole = take(persons, 3, batch=12)
    ranks = [take(persons, 3, batch=6, rank=r, world=2) for r in (0, 1)]
    assert_same(whole, [batch for pair in zip(*ranks, strict=True) for batch in pair])
    accumulated = [take(persons, 6, batch=3, rank=r, world=2) for r in (0, 1)]
    assert_same(whole, [batch for pair in zip(*accumulated, strict=True) for batch in pair])


def test_an_epoch_has_everybody_once_and_each_another_order(persons):
    order = torch.cat([batch.index for batch in take(persons, 7, batch=5)]).view(5, 7)
    assert (order.sort(1).values == torch.arange(7)).all()
    assert len({tuple(row) for row in order.tolist()}) > 1
    batches = take(persons, 2, batch=7)
    same = [(a, b) for a, i in enumerate(batches[0].index) for b, j in enumerate(batches[1].index) if i == j]
    assert not any(torch.equal(batches[0].images[a], batches[1].images[b]) for a, b in same)


def test_training_samples_are_decode_mirror_warp(persons):
    """The literal way: mirror the picture, not the map. OpenCV rounds places to 1/32 pixel."""
    (batch,) = take(persons, 1, batch=28)
    rows, draws = epoch_samples(3, len(persons), np.arange(28))
    widths = np.array([persons.pictures[i].width for i in persons.image_ids[rows]])
    recipe = augmentation_for("released", persons.skeleton)
    matrices, _ = augment(
        persons.boxes[rows], persons.joints[rows], widths, persons.skeleton, recipe, SIZE, draws
    )
    for i, row in enumerate(rows):
        picture = np.asarray(cv2.imread(str(persons.pictures[persons.image_ids[row]].path)))
        matrix = matrices[i]
        if draws[i, 7] < 0.5:
            picture = np.ascontiguousarray(picture[:, ::-1])
            matrix = matrix.copy()
            matrix[:, 2] += matrix[:, 0] * (widths[i] - 1)
            matrix[:, 0] *= -1
        literal = cv2.warpAffine(picture, matrix, SIZE[::-1], flags=cv2.INTER_LINEAR)
        difference = np.abs(batch.images[i].numpy().astype(int) - literal)
        assert difference.mean() < 0.5
        assert batch.index[i] == row


def test_the_mirrored_person_has_left_and_right_swapped(persons):
    """A joint's surroundings in the crop are those in the picture, mirrored or not."""
    batch = joined(take(persons, 8))
    swaps = 0
    _, draws = epoch_samples(3, len(persons), np.arange(32))
    for i, row in enumerate(batch[2].tolist()):
        labels = persons.joints[row, :, 2]
        seen = batch[1][i, :, 2].numpy()
        expected = labels[persons.skeleton.mirrored] if draws[i, 7] < 0.5 else labels
        assert ((seen == expected) | (seen == 0)).all()
        swaps += (seen > 0).any() and draws[i, 7] < 0.5
    assert swaps


def test_normalise_is_the_protocols():
    images = torch.randint(0, 256, (2, 4, 3, 3), dtype=torch.uint8)
    literal = (images.numpy() / 255 - (0.406, 0.456, 0.485)) / (0.225, 0.224, 0.229)
    made = normalise(images)
    assert made.shape == (2, 3, 4, 3)
    assert made.dtype == torch.float32
    np.testing.assert_allclose(made.numpy(), literal.transpose(0, 3, 1, 2), atol=1e-5)


@pytest.mark.parametrize("workers", [0, 2])
def test_evaluation_is_everybody_in_order_through_the_test_crop(persons, workers):
    batches = list(evaluation_batches(persons, input_size=SIZE, batch=3, workers=workers))
    assert torch.cat([b[2] for b in batches]).tolist() == list(range(7))
    expected = crop_matrices(test_crops(persons.boxes, SIZE), SIZE)
    np.testing.assert_allclose(torch.cat([b[1] for b in batches]), expected)
    picture = np.asarray(cv2.imread(str(persons.pictures[persons.image_ids[5]].path)))
    literal = cv2.warpAffine(picture, expected[5], SIZE[::-1], flags=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(batches[1][0][2].numpy(), literal)


def test_evaluation_of_mpii_does_not_enlarge_its_squares(tmp_path):
    mpii = make_persons(tmp_path, 3, MPII)
    (batch,) = evaluation_batches(mpii, input_size=(64, 64), batch=3)
    np.testing.assert_allclose(batch[1][:, 0, 0], 64 / mpii.boxes[:, 2], rtol=1e-6)


def test_the_crop_without_augmentation_is_the_one_that_is_tested(persons):
    (batch,) = take(persons, 1, batch=7, augmentation="none")
    (tested,) = evaluation_batches(persons, input_size=SIZE, batch=7)
    assert torch.equal(batch.images, tested[0][batch.index])


def test_joints_outside_their_picture_are_not_trained_on(persons, caplog):
    joints = persons.joints.copy()
    joints[2, 0], joints[4, 3] = (-1, 5, 2), (5, 1000, 1)
    clean = trainable(replace(persons, joints=joints))
    assert not clean.joints[2, 0].any()
    assert not clean.joints[4, 3].any()
    assert "2 joints outside their picture" in caplog.text
    assert "person 102, nose" in caplog.text


def test_nobody_to_train_on_is_refused(persons):
    with pytest.raises(UserError, match="no person"):
        take(persons.select(np.zeros(7, bool)), 1)


def test_unreadable_pictures_are_refused_by_name(tmp_path):
    cv2.imwrite(str(tmp_path / "a.jpg"), np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "b.png"), np.zeros((60, 80, 3), np.uint8))
    assert read_picture(Picture(tmp_path / "a.jpg", 80, 60)).shape == (60, 80, 3)
    assert read_picture(Picture(tmp_path / "b.png", 80, 60)).shape == (60, 80, 3)
    for name in ("a.jpg", "b.png"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / f"cut-{name}").write_bytes(whole[: len(whole) * 2 // 3])
        with pytest.raises(UserError, match=f"cut-{name}: truncated"):
            read_picture(Picture(tmp_path / f"cut-{name}", 80, 60))
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "empty.jpg").write_bytes(b"")
    for name in ("text.jpg", "empty.jpg"):
        with pytest.raises(UserError, match=f"{name}: not a picture"):
            read_picture(Picture(tmp_path / name, 80, 60))
    with pytest.raises(UserError, match=r"none.jpg: cannot be read"):
        read_picture(Picture(tmp_path / "none.jpg", 80, 60))
    with pytest.raises(UserError, match="annotated as 60 x 80"):
        read_picture(Picture(tmp_path / "a.jpg", 60, 80))


def test_a_workers_error_reaches_the_caller(persons, tmp_path):
    broken = replace(persons, pictures={k: Picture(tmp_path / "none.png", 9, 9) for k in persons.pictures})
    with pytest.raises(UserError, match=r"none.png"):
        take(broken, 1, workers=2)


@pytest.mark.skipif(not MINI.is_dir(), reason="no real COCO pictures here")
def test_real_coco_pictures():
    persons = read_coco(MINI, "train2017")
    assert len(persons) == 86
    (batch,) = take(persons, 1, batch=86, input_size=(256, 192), augmentation="none")
    assert batch.images.float().std() > 40
    assert ((batch.joints[..., 2] > 0).sum() / (persons.joints[..., 2] > 0).sum()) > 0.98
