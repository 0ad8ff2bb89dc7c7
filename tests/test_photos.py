"""Finding pictures, reading them as people see them, and telling whose a detector's boxes are."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mspn.data import photos
from mspn.data.notes import Notes
from mspn.data.photos import Photo, find_photos, read_boxes
from mspn.data.pictures import MOST_SIDE, _decode, read_upright
from mspn.errors import UserError
from tests.photo_cases import photos_of, write_photos


def test_folders_files_and_what_is_left_out(tmp_path):
    folder = write_photos(tmp_path / "p", ["b.jpg", "a.PNG", "more/b.jpg", "out/overlay.jpg", ".thumb/c.jpg"])
    (folder / "moving.gif").write_bytes(b"GIF89a")
    (folder / "dangling.jpg").symlink_to(tmp_path / "none")
    (folder / f"{'x' * 248}.jpg").write_bytes(b"")
    os.mkfifo(folder / "pipe.jpg")
    notes = Notes("test")
    found = find_photos([folder], folder / "out", notes)
    assert [photo.name for photo in found] == ["a.PNG", "b.jpg", "more/b.jpg"]
    assert [photo.image_id for photo in found] == [1, 2, 3]
    assert notes.counts == {photos.OTHER_FILES: 1, photos.NO_FILES: 3}
    assert "moving.gif" in notes.entries[photos.OTHER_FILES][0]


def test_several_folders_and_files_have_names_of_their_own(tmp_path, monkeypatch):
    write_photos(tmp_path, ["one/7.jpg", "two/7.jpg", "two/deep/8.jpg"])
    monkeypatch.chdir(tmp_path / "one")
    found = find_photos([tmp_path / "one/7.jpg", tmp_path / "one/../two"], tmp_path / "out", Notes("test"))
    assert [photo.name for photo in found] == ["one/7.jpg", "two/7.jpg", "two/deep/8.jpg"]
    (twice,) = find_photos([tmp_path / "one", tmp_path / "one/7.jpg"], tmp_path / "out", Notes("test"))
    assert (twice.name, twice.image_id) == ("7.jpg", 7)


def test_nothing_to_do_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no such picture or folder"):
        find_photos([tmp_path / "none"], tmp_path / "out", Notes("test"))
    (tmp_path / "a.heic").write_bytes(b"")
    with pytest.raises(UserError, match=r"no picture in it: 1 files that are not read \(only \.jpg"):
        find_photos([tmp_path], tmp_path / "out", Notes("test"))


def test_pictures_are_read_as_people_see_them(tmp_path):
    image = Image.fromarray(np.zeros((20, 40, 3), np.uint8))
    exif = image.getexif()
    exif[0x0112] = 6  # turned by a quarter
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert read_upright(tmp_path / "turned.jpg").shape == (40, 20, 3)


@pytest.mark.parametrize(
    "kind", ["CMYK.jpg", "L.jpg", "RGBA.png", "LA.png", "P.png", "RGB.webp", "I;16.tiff"]
)
def test_other_colours_are_read_as_three(tmp_path, kind):
    mode, suffix = kind.split(".")
    grey = Image.fromarray(np.full((20, 40), 100, np.uint8))
    image = Image.fromarray(np.full((20, 40), 25700, np.uint16)) if mode == "I;16" else grey.convert(mode)
    image.save(tmp_path / f"a.{suffix}")
    found = read_upright(tmp_path / f"a.{suffix}")
    assert found.shape == (20, 40, 3) and found.dtype == np.uint8
    assert np.abs(found.astype(int) - 100).max() < 4


def test_damage_in_the_middle_names_the_file_and_prints_nothing_itself(tmp_path, capfd):
    folder = write_photos(tmp_path, ["a.jpg", "b.png", "c.tiff"], size=(200, 200))
    for path in (photo.path for photo in photos_of(folder)):
        data = bytearray(path.read_bytes())
        data[len(data) // 2 : len(data) // 2 + 300] = bytes(300)
        path.write_bytes(data)
        with pytest.raises(UserError, match=rf"{path.name}: damaged \(.*copy it anew"):
            read_upright(path)
    assert capfd.readouterr().err == ""
    with pytest.raises(UserError, match=r"a\.jpg: damaged \(Corrupt JPEG data: "):
        read_upright(folder / "a.jpg")


def test_what_others_say_while_a_picture_is_decoded_is_passed_on(monkeypatch, capfd):
    def noisy(data, flags):
        os.write(2, b"a bar 12%\rCorrupt JPEG data: bad Huffman code\nlibpng warning: iCCP: known\nmine\n")
        return np.zeros((1, 1, 3), np.uint8)

    monkeypatch.setattr(cv2, "imdecode", noisy)
    image, damage = _decode(np.zeros(1, np.uint8))
    assert image is not None and damage == "Corrupt JPEG data: bad Huffman code"
    assert capfd.readouterr().err == "a bar 12%\rmine\n"


def test_too_large_and_no_picture_at_all(tmp_path):
    Image.new("L", (MOST_SIDE + 1, 1)).save(tmp_path / "long.png")
    data = bytearray((tmp_path / "long.png").read_bytes())
    data[16:24] = (30_000).to_bytes(4) * 2  # the head's width and height; its checksum comes later
    (tmp_path / "bomb.png").write_bytes(data)
    for name in ("long.png", "bomb.png"):
        with pytest.raises(UserError, match=rf"{name}: (too large|no picture)"):
            read_upright(tmp_path / name)
    Image.new("P", (9, 9)).save(tmp_path / "gif.jpg", "GIF")
    (tmp_path / "empty.jpg").write_bytes(b"")
    for name in ("gif.jpg", "empty.jpg"):
        with pytest.raises(UserError, match=rf"{name}: no picture of a kind that is read \(JPEG, PNG"):
            read_upright(tmp_path / name)
    with pytest.raises(UserError, match=r"none\.jpg: cannot be read \(No such file"):
        read_upright(tmp_path / "none.jpg")


@given(
    st.binary(max_size=300), st.integers(0, 400), st.sampled_from([".jpg", ".png", ".bmp", ".tif", ".webp"])
)
def test_mutated_pictures_are_read_or_refused(tmp_path_factory, noise, place, suffix):
    path = tmp_path_factory.mktemp("fuzz") / f"a{suffix}"
    data = bytearray(cv2.imencode(suffix, np.full((16, 16, 3), 90, np.uint8))[1].tobytes())
    data[place : place + len(noise)] = noise
    path.write_bytes(data)
    try:
        assert read_upright(path).ndim == 3
    except UserError as error:
        assert path.name in str(error)


@pytest.fixture
def folder(tmp_path):
    return write_photos(tmp_path / "p", ["a.jpg", "more/a.jpg", "000000000139.jpg", "b.png"])


def boxes_of(folder, content, notes=None):
    path = folder.parent / "boxes.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_boxes(path, photos_of(folder), notes or Notes("test"))


def test_detections_name_pictures_by_number_name_or_stem(folder):
    box = {"category_id": 1, "bbox": [1, 2, 30, 40], "score": 0.25}
    entries = [
        {"image_id": 139, **box},
        {"image_id": "000000000139", **box},
        {"file_name": "more/a.jpg", "bbox": [1, 2, 30, 40]},
        {"file_name": "a.jpg", **box},
        {"image_id": "b", **box},
        {"image_id": 139, **box, "category_id": 18},  # a dog
        {"image_id": 140, **box},
    ]
    notes = Notes("test")
    found = boxes_of(folder, entries, notes)
    assert {name: len(rows) for name, rows in found.items()} == {
        "000000000139.jpg": 2,
        "more/a.jpg": 1,
        "a.jpg": 1,
        "b.png": 1,
    }
    assert found["more/a.jpg"].tolist() == [[1, 2, 30, 40, 1]] and found["b.png"][0, 4] == 0.25
    assert notes.counts == {photos.OTHER_CATEGORIES: 1, photos.OTHER_PICTURES: 1}


def test_annotations_give_the_boxes_of_single_persons(folder):
    annotated = [
        {"id": 1, "image_id": 7, "category_id": 1, "bbox": [1, 2, 30, 40], "iscrowd": 0},
        {"id": 2, "image_id": 7, "category_id": 1, "bbox": [1, 2, 90, 90], "iscrowd": 1},
        {"id": 3, "image_id": 8, "category_id": 1, "bbox": [5, 6, 30, 40]},
    ]
    images = [{"id": 7, "file_name": "more/a.jpg"}, {"id": 8, "file_name": "b.png"}]
    notes = Notes("test")
    found = boxes_of(folder, {"images": images, "annotations": annotated}, notes)
    assert {name: rows.tolist() for name, rows in found.items()} == {
        "more/a.jpg": [[1, 2, 30, 40, 1]],
        "b.png": [[5, 6, 30, 40, 1]],
    }
    assert notes.counts == {photos.CROWDS: 1}


def test_what_fits_two_pictures_is_refused(folder):
    write_photos(folder, ["other/b.png"])
    (folder / "b.png").rename(folder / "more/b.png")
    with pytest.raises(UserError, match=r"'b.png' fits 2 pictures \(more/b\.png, other/b\.png"):
        boxes_of(folder, {"b.png": [[1, 2, 3, 4]]})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("3", "expected COCO detections, COCO annotations or a mapping"),
        ('{"images": [], "annotations": [{"image_id": 1}]}', "annotation 0: needs an image_id that is among"),
        ('{"images": [{"id": 1}], "annotations": []}', "image 0: needs id and file_name"),
        ('{"images": [], "annotations": {}}', "images and annotations are lists"),
        ('[{"bbox": [1, 2, 3, 4]}]', "entry 0: needs bbox and image_id or file_name"),
        ('[{"image_id": [1], "bbox": [1, 2, 3, 4]}]', "entry 0: needs bbox and image_id or file_name"),
        ('[{"image_id": 1, "bbox": [1, 2, 3, 4], "score": "high"}]', "'high' is not a finite number"),
        ('[{"image_id": 1, "bbox": [1, 2, 3, 4], "category_id": 0}]', "no box of a person.*categories: 0"),
        ('{"a": [[1, 2, 3]]}', "'a', box 0: expected 4 numbers, found 3"),
        ('{"a": [1, 2, 3, 4]}', "'a', box 0: expected 4 numbers"),
        ('{"a": 5}', "'a': expected a list of boxes"),
        ('{"a": [[1, 2, 0, 4]]}', "size above 0"),
        ('{"a": [[1, 2, 1e9, 4]]}', "in pixels"),
        ('{"a": [[1, 2, NaN, 4]]}', "not a finite number"),
        ('{"a": [[1, 2, 1' + "0" * 400 + ", 4]]}", "1000.* is not a finite number"),
        ('{"a": [[1, 2, 1' + "0" * 5000 + ", 4]]}", "not a valid boxes file"),
        ("[" * 100_000, "not a valid boxes file"),
        ("{", "not a valid boxes file"),
    ],
    ids=range(18),
)
def test_malformed_boxes_are_refused(folder, content, message):
    with pytest.raises(UserError, match=message):
        boxes_of(folder, content)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["a.jpg", "139", "x"]),
    lambda part: (
        st.lists(part, max_size=5)
        | st.dictionaries(
            st.sampled_from(
                [
                    "a.jpg",
                    "b",
                    "image_id",
                    "file_name",
                    "bbox",
                    "score",
                    "category_id",
                    "images",
                    "annotations",
                ]
            ),
            part,
        )
    ),
    max_leaves=12,
)
PHOTOS = [Photo(Path(name), name, k) for k, name in enumerate(("a.jpg", "more/a.jpg", "000139.jpg", "b.png"))]


@given(JSON | st.lists(st.dictionaries(st.sampled_from(["image_id", "bbox", "score"]), JSON)))
def test_any_json_is_boxes_or_refused(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("fuzz") / "boxes.json"
    path.write_text(json.dumps(value))
    try:
        found = read_boxes(path, PHOTOS, Notes("test"))
    except UserError as error:
        assert str(path) in str(error)
        return
    for rows in found.values():
        assert rows.shape[1] == 5 and np.isfinite(rows).all() and (rows[:, 2:4] > 0).all()
