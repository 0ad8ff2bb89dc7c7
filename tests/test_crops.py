import json
import shutil
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mspn.commands.cli import main
from mspn.data import crops
from mspn.data.augment import AUGMENTATIONS, augment, augmentation_for
from mspn.data.batches import Pictures, training_batches
from mspn.data.crops import estimate, layout, make_store, plan_of, reach
from mspn.data.geometry import invert, transform
from mspn.data.load import join
from mspn.data.persons import Picture
from mspn.data.skeletons import COCO, MPII
from mspn.data.store import DeviceStore, join_stores, mean_difference, open_store, verify_store
from mspn.errors import UserError
from mspn.experiment.config import Store
from tests.data_cases import make_persons

SIZE = (64, 48)
FINE = 8.0  # an oversampling that leaves every crop at the picture's resolution
BOXED = (
    "released",
    "paper-literal",
    "paper-divided",
    "mild",
    "none",
)  # augmentations of boxes, not of MPII's


def quiet(_):
    pass


def make(folder, persons, augmentation="released", workers=1, **settings):
    return make_store(folder, persons, SIZE, augmentation, Store(**settings), workers, report=quiet)


def opened(folder, persons, size=SIZE, augmentation="released", **settings):
    return open_store(folder, persons, size, augmentation, Store(**settings))


def images(persons, store, recipe="released", count=28):
    batches = training_batches(
        persons, input_size=SIZE, augmentation=recipe, seed=1, batch=count, store=store
    )
    return next(batches)


@pytest.fixture(scope="module")
def persons(tmp_path_factory):
    return make_persons(tmp_path_factory.mktemp("pictures"), 8)


@pytest.fixture(scope="module")
def store(persons, tmp_path_factory):
    folder = tmp_path_factory.mktemp("store") / "crops"
    make(folder, persons, oversampling=FINE)
    return opened(folder, persons, oversampling=FINE)


@pytest.mark.parametrize("name", BOXED)
def test_at_full_resolution_the_paths_agree_to_the_bit(persons, tmp_path, name):
    """Nothing that an augmentation can show is cut off."""
    make(tmp_path, persons, name, oversampling=FINE)
    store = opened(tmp_path, persons, augmentation=name, oversampling=FINE)
    exact, stored = images(persons, None, name, 64), images(persons, store, name, 64)
    assert torch.equal(exact.images, stored.images)
    assert torch.equal(exact.joints, stored.joints)


@pytest.mark.parametrize("skeleton", [COCO, MPII])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_sample_shows_more_than_its_reach(tmp_path_factory, skeleton, data):
    name = data.draw(st.sampled_from(BOXED if skeleton is COCO else ("mpii", "none")))
    seed = data.draw(st.integers(0, 1000))
    people = make_persons(tmp_path_factory.mktemp("p", numbered=True), 4, skeleton, seed)
    recipe = augmentation_for(name, skeleton)
    draws = np.random.default_rng(seed).random((4, 8))
    draws[:, 2:7] = np.where(draws[:, 2:7] < 0.3, 0, np.where(draws[:, 2:7] > 0.7, 1 - 1e-9, draws[:, 2:7]))
    draws[:, 7] = 1  # mirroring moves nothing: the crop follows the person
    draws[:, 5] = 0  # always turned
    matrices, _ = augment(people.boxes, people.joints, np.full(4, 99.0), skeleton, recipe, SIZE, draws)
    corners = np.array([[0, 0], [SIZE[1], 0], [0, SIZE[0]], [SIZE[1], SIZE[0]]], float)
    shown = transform(np.broadcast_to(corners, (4, 4, 2)), invert(matrices))
    limits = reach(people, recipe, SIZE)
    slack = 1e-4 * (1 + np.abs(limits).max())
    assert (shown >= limits[:, None, :2] - slack).all()
    assert (shown <= limits[:, None, 2:] + slack).all()


def test_small_and_far_boxes_cost_no_more_than_their_picture(persons):
    boxes = persons.boxes.copy()
    boxes[0] = (-5000, -5000, 9000, 9000)
    boxes[1] = (5000, 5000, 10, 10)
    boxes[2] = (10, 10, 0.01, 0.01)
    joints = persons.joints.copy()
    joints[:3] = 0
    place = layout(replace(persons, boxes=boxes, joints=joints), SIZE, "released", 2.0)
    frames = np.array([[persons.pictures[i].width, persons.pictures[i].height] for i in persons.image_ids])
    assert (place.regions[:, :2] >= 0).all()
    assert (place.regions[:, :2] + place.regions[:, 2:] <= frames).all()
    assert (place.sizes >= 1).all()
    assert (place.sizes <= place.regions[:, 2:]).all()
    assert place.sizes[1].tolist() == [1, 1]
    assert place.sizes[0].max() <= 8  # 9450 pixels shown in an input of 48: 2 x 48 stored for them


def test_reduced_resolution_differs_little(persons, tmp_path):
    make(tmp_path / "coarse", persons, oversampling=1.0)
    make(tmp_path / "fine", persons, oversampling=2.0)
    coarse, fine = (
        mean_difference(opened(tmp_path / name, persons, oversampling=o), persons, SIZE, "released")
        for name, o in (("coarse", 1.0), ("fine", 2.0))
    )
    assert 0 < fine < coarse < 6


def test_the_compressed_form_is_smaller_and_near(persons, tmp_path):
    raw, small = (make(tmp_path / form, persons, form=form) for form in ("raw", "jpeg"))
    assert small["bytes"] < 0.5 * raw["bytes"]
    assert estimate(layout(persons, SIZE, "released", 2.0), "raw") == raw["bytes"]
    assert small["bytes"] <= estimate(layout(persons, SIZE, "released", 2.0), "jpeg")
    stores = [opened(tmp_path / form, persons, form=form) for form in ("raw", "jpeg")]
    a, b = (images(persons, store).images.float() for store in stores)
    assert 0 < (a - b).abs().mean() < 3
    assert torch.equal(images(persons, DeviceStore(stores[1], "cpu")).joints, images(persons, None).joints)


def test_the_device_warps_as_opencv_does(persons, store):
    """OpenCV rounds places to 1/32 pixel: on these pictures at most a few levels, and little on average."""
    resident = DeviceStore(store, "cpu")
    ours, opencvs = images(persons, resident), images(persons, store)
    difference = (ours.images.int() - opencvs.images.int()).abs()
    assert ours.images.shape == opencvs.images.shape
    assert ours.images.dtype == torch.uint8
    assert difference.float().mean() < 0.25
    assert (difference > 8).float().mean() < 1e-3


def test_the_device_warps_as_grid_sample_does(persons, store):
    """The same crop by torch's own bilinear sampling, to within rounding."""
    resident = DeviceStore(store, "cpu")
    crop = torch.from_numpy(store.crop(3).copy()).permute(2, 0, 1)[None].float()
    _, _, height, width = crop.shape
    matrix = np.array([[[1.7, 0.4, -9.0], [-0.4, 1.7, 20.0]]])
    inside = transform(
        np.stack(np.meshgrid(np.arange(48.0), np.arange(64.0)), -1)[None],
        invert(matrix) - [[[0, 0, x] for x in store.index[3, 5:7]]],
    )
    grid = torch.from_numpy((inside + 0.5) / (width, height) * 2 - 1).float()
    literal = torch.nn.functional.grid_sample(crop, grid, padding_mode="zeros", align_corners=False)
    made = resident.warp(np.array([3]), matrix, SIZE)[0].permute(2, 0, 1)
    assert (made - literal[0]).abs().max() < 0.6


def small_shards(monkeypatch):
    monkeypatch.setattr(crops, "SHARD_BYTES", 60_000)


def test_an_interrupted_making_goes_on(persons, tmp_path, monkeypatch):
    small_shards(monkeypatch)
    folder = tmp_path / "store"
    whole = make(tmp_path / "whole", persons)
    assert len(whole["shards"]) > 2
    read, calls = crops.read_picture, []

    def fail_later(picture):
        calls.append(picture.path.name)
        if len(calls) > 3:
            raise KeyboardInterrupt
        return read(picture)

    monkeypatch.setattr(crops, "read_picture", fail_later)
    with pytest.raises(KeyboardInterrupt):
        make(folder, persons)
    with pytest.raises(UserError, match=r"unfinished crop store; run mspn crops"):
        opened(folder, persons)
    assert (folder / "00000.npy").exists()
    made = (folder / "00000.npy").stat().st_mtime_ns
    (folder / ".00001.npy.99.tmp").write_bytes(b"left over")
    monkeypatch.setattr(crops, "read_picture", read)
    assert make(folder, persons) == whole
    assert (folder / "00000.npy").stat().st_mtime_ns == made
    assert verify_store(folder) == (whole, [])


def test_a_making_does_not_depend_on_threads(persons, tmp_path):
    assert make(tmp_path / "one", persons) == make(tmp_path / "three", persons, workers=3)


def test_a_damaged_shard_is_made_anew_and_found_by_verify(persons, tmp_path, monkeypatch):
    small_shards(monkeypatch)
    whole = make(tmp_path, persons)
    data = bytearray((tmp_path / "00001.npy").read_bytes())
    data[-1] ^= 255
    (tmp_path / "00001.npy").write_bytes(data)
    assert verify_store(tmp_path) == (whole, [tmp_path / "00001.npy"])
    assert make(tmp_path, persons) == whole
    assert verify_store(tmp_path) == (whole, [])


@pytest.mark.parametrize("key", ["checks", "lengths"])
def test_a_damaged_note_of_a_shard_is_found_by_verify_and_the_shard_made_anew(persons, tmp_path, key):
    whole, note = make(tmp_path, persons), tmp_path / "00000.json"
    value = json.loads(note.read_text())
    value[key][0] += 1
    note.write_text(json.dumps(value))
    assert verify_store(tmp_path) == (whole, [note])
    assert make(tmp_path, persons) == whole
    assert verify_store(tmp_path) == (whole, [])


def test_a_damaged_crop_is_refused_when_it_is_read(persons, tmp_path, monkeypatch):
    """Also in a store of an older version, whose notes have no checks: those are made from a whole shard."""
    small_shards(monkeypatch)
    make(tmp_path, persons)
    note, path = tmp_path / "00001.json", tmp_path / "00001.npy"
    made = note.read_text()
    note.write_text(json.dumps({k: v for k, v in json.loads(made).items() if k != "checks"}))
    opened(tmp_path, persons)
    assert json.loads(note.read_text()) == json.loads(made)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    store = opened(tmp_path, persons)
    last = int(np.flatnonzero(store.index[:, 0] == 1)[-1])
    for row in set(range(len(persons))) - {last}:
        store.crop(row)
    with pytest.raises(UserError, match=r"00001\.npy: damaged crop store .*mspn crops"):
        join_stores([store, opened(tmp_path, persons)]).crop(last + len(persons))
    note.write_text(json.dumps({k: v for k, v in json.loads(made).items() if k != "checks"}))
    with pytest.raises(UserError, match=r"00001\.npy: damaged crop store"):
        opened(tmp_path, persons)
    path.write_bytes(path.read_bytes().replace(b"|u1", b"|i1", 1))
    with pytest.raises(UserError, match=r"00001\.npy: damaged crop store"):
        opened(tmp_path, persons)


def test_a_truncated_store_is_refused(persons, tmp_path):
    make(tmp_path / "store", persons)
    for name in ("00000.npy", "index.npy"):
        folder = tmp_path / name
        shutil.copytree(tmp_path / "store", folder)
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[:-100])
        with pytest.raises(UserError, match=rf"{name}: \d+ bytes, not {len(data)}: truncated.*make it anew"):
            opened(folder, persons)
        (folder / name).unlink()
        with pytest.raises(UserError, match="0 bytes"):
            opened(folder, persons)
    (tmp_path / "store/manifest.json").write_text('{"format": 1}')
    with pytest.raises(UserError, match=r"manifest.json: not a crop store"):
        opened(tmp_path / "store", persons)
    with pytest.raises(UserError, match=r"manifest.json: no crop store; run mspn crops"):
        opened(tmp_path / "nowhere", persons)


def test_a_foreign_store_is_refused(persons, tmp_path, monkeypatch):
    make(tmp_path, persons)
    moved = replace(persons, boxes=persons.boxes + np.float32(0.5))
    with pytest.raises(UserError, match=r"other persons than .* has now; .*else the annotations are damaged"):
        opened(tmp_path, moved)
    with pytest.raises(UserError, match="foreign crop store: input_size is"):
        opened(tmp_path, persons, (96, 72))
    with pytest.raises(UserError, match="foreign crop store: persons is 8, not 3"):
        opened(tmp_path, persons.select(np.arange(3)))
    with pytest.raises(UserError, match="foreign crop store: augmentation is"):
        opened(tmp_path, persons, augmentation="none")
    with pytest.raises(UserError, match=r"foreign crop store: oversampling is 2.0, not 0.5"):
        opened(tmp_path, persons, oversampling=0.5)
    with pytest.raises(UserError, match="foreign crop store: form is raw, not jpeg"):
        opened(tmp_path, persons, form="jpeg")
    changed = replace(AUGMENTATIONS["released"], rotation=90.0)
    monkeypatch.setitem(AUGMENTATIONS, "released", changed)
    with pytest.raises(UserError, match="foreign crop store: augmentation is"):
        opened(tmp_path, persons)


def test_other_data_or_settings_are_made_anew(persons, tmp_path):
    make(tmp_path, persons)
    moved = replace(persons, boxes=persons.boxes + np.float32(0.5))
    make(tmp_path, moved)
    opened(tmp_path, moved)
    manifest = make(tmp_path, moved, oversampling=1.0)
    assert manifest["oversampling"] == 1.0
    assert manifest["opencv"] == plan_of(moved, SIZE, "released", Store())["opencv"]


def test_a_full_disk_is_seen_before_anything_is_written(persons, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(UserError, match=r"needs 0.\d MB more, 0.0 MB are free; make room"):
        make(tmp_path, persons)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_picture_stops_the_making(persons, tmp_path):
    gone = {**persons.pictures, 11: Picture(tmp_path / "gone.png", 110, 110)}
    with pytest.raises(UserError, match=r"gone.png: cannot be read"):
        make(tmp_path / "store", replace(persons, pictures=gone))
    assert not (tmp_path / "store/manifest.json").exists()


def test_joined_stores_follow_joined_persons(persons, tmp_path, store):
    other = make_persons(tmp_path / "pictures", 5, seed=50)
    make(tmp_path / "store", other, oversampling=FINE)
    both = join([persons, other])
    stored = join_stores([store, opened(tmp_path / "store", other, oversampling=FINE)])
    rows = np.arange(13)
    matrices = np.tile(np.array([[0.5, 0.1, 3], [-0.1, 0.5, 9]]), (13, 1, 1))
    exact = Pictures(both).warp(rows, matrices, SIZE)
    # An arbitrary map shows more than the store keeps: compare where the store has something.
    stored_images = stored.warp(rows, matrices, SIZE)
    assert (stored_images.bool() & (stored_images != exact)).float().mean() < 0.05
    assert torch.equal(images(both, stored).images, images(both, None).images)


def test_threads_change_nothing(persons, store):
    settings_ = {"input_size": SIZE, "augmentation": "released", "seed": 1, "batch": 5, "store": store}
    alone, many = (
        torch.stack([b.images for b in islice(training_batches(persons, workers=w, **settings_), 6)])
        for w in (0, 3)
    )
    assert torch.equal(alone, many)


def test_the_verb(tmp_path, monkeypatch, capsys):
    from tests.data_cases import coco_annotation, write_coco

    root = tmp_path / "coco"
    write_coco(root, "train", [coco_annotation(1, 5), coco_annotation(2, 6)])
    scale = tmp_path / "tiny.yaml"
    scale.write_text(
        "extends: demo\nname: tiny\nruns: [mspn-1]\ninputs: {256x192: 96x72}\ndatasets:\n"
        f"  coco: {{kind: coco, root: {root}, train: train, val: val}}\n"
    )
    monkeypatch.setattr("mspn.experiment.experiment.ROOT", tmp_path)
    call = ["crops", "--scale", str(scale), "--dataset", "coco"]
    folder = tmp_path / "results/tiny/crops/coco-96x72"
    assert main([*call, "--run", "mspn-1", "--estimate"]) == 0
    assert not folder.exists()
    assert main([*call, "--run", "mspn-1", "--verify"]) == 2
    assert main([*call, "--run", "mspn-1"]) == 0
    assert main([*call, "--input", "96x72", "--verify"]) == 0
    assert "whole, 2 persons" in capsys.readouterr().out
    measured = json.loads((folder / "difference.json").read_text())["mean_grey_levels_of_255"]
    assert 0 <= measured < 3
    sheet = tmp_path / "sheet.png"
    shown = ["show-batch", "--scale", str(scale), "--run", "mspn-1", "--out", str(sheet), "--samples", "3"]
    assert main([*shown]) == 0
    assert sheet.stat().st_size > 1000
    with pytest.raises(SystemExit):
        main([*call, "--input", "97x72"])
    assert main(["crops", "--scale", str(scale), "--dataset", "external", "--run", "mspn-1"]) == 2
