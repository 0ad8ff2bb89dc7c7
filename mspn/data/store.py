"""Reading a crop store: warped from memory-mapped files on the CPU, or from the device's own memory."""

import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from mspn.data.augment import augment, augmentation_for, draw
from mspn.data.batches import Pictures, trainable
from mspn.data.crops import FORMAT, finished_shard, plan_of
from mspn.data.geometry import compose, invert
from mspn.data.persons import Persons
from mspn.errors import UserError
from mspn.experiment.config import Store
from mspn.files import read_json, sha256, write_json

REMEDY = "run mspn crops for it again, which makes anew what is damaged"


@dataclass(frozen=True)
class CropStore:
    """An open store, or several joined: ``shards`` flat uint8 arrays (memory-mapped) and ``index`` (N, 9).

    ``checks`` (N,) int64 are the crops' CRC-32; ``checked`` (N,) bool tells whose was compared. That is done
    when a crop is first read, so that opening a store of a hundred gigabytes does not read it.
    """

    shards: Sequence[np.ndarray]
    index: np.ndarray
    encoded: Sequence[bool]  # by shard
    files: Sequence[Path]  # by shard
    checks: np.ndarray
    checked: np.ndarray

    @property
    def raw_bytes(self) -> int:
        """Bytes that the crops take as pixels, as they do in a device's memory."""
        return int(3 * self.index[:, 3:5].prod(axis=1).sum())

    def crop(self, row: int) -> np.ndarray:
        """(h, w, 3) uint8 BGR: a person's stored crop; a view of the file where that is raw.

        UserError where it is not what was stored.
        """
        shard, offset, length, width, height = self.index[row, :5].tolist()
        data = self.shards[shard][offset : offset + length]
        if not self.checked[row]:
            if zlib.crc32(data.data) != self.checks[row]:
                raise UserError(f"{self.files[shard]}: damaged crop store (row {row}); {REMEDY}")
            self.checked[row] = True
        if not self.encoded[shard]:
            return data.reshape(height, width, 3)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
        if image is None or image.shape != (height, width, 3):
            raise UserError(f"{self.files[shard]}: damaged crop store (row {row}); {REMEDY}")
        return image

    def warp(self, rows: np.ndarray, matrices: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
        """(N, H, W, 3) uint8, on the CPU: persons ``rows`` warped by ``matrices``, picture -> input."""
        height, width = size
        out = np.empty((len(rows), height, width, 3), np.uint8)
        maps = compose(matrices, store_to_picture(self.index[rows]))
        for i, row in enumerate(rows.tolist()):
            cv2.warpAffine(self.crop(row), maps[i], (width, height), dst=out[i], flags=cv2.INTER_LINEAR)
        return torch.from_numpy(out)


def store_to_picture(index: np.ndarray) -> np.ndarray:
    """(N, 2, 3): stored crop -> picture, for rows of an index (N, 9); corners of pixels go to corners."""
    factor = index[:, 7:9] / index[:, 3:5]
    matrices = np.zeros((len(index), 2, 3))
    matrices[:, [0, 1], [0, 1]] = factor
    matrices[:, :, 2] = index[:, 5:7] + factor / 2 - 0.5
    return matrices


def open_store(
    folder: Path, persons: Persons, input_size: tuple[int, int], augmentation: str, store: Store
) -> CropStore:
    """Open a store made from ``persons`` (as ``load_split`` gives them) with these settings.

    Raises UserError that names the file and the remedy where the store is absent or unfinished, was made from
    other data or settings, or a file is truncated. A crop is checked when it is first read; ``verify_store``
    reads all.
    """
    manifest = _manifest(folder)
    remedy = f"make it anew: remove {folder} and run mspn crops"
    for key, value in plan_of(persons, input_size, augmentation, store).items():
        if key == "source" and manifest[key] != value:
            raise UserError(
                f"{folder}: foreign crop store: it was made from other persons than {persons.name} has now; "
                f"were those changed by intent, {remedy}; else the annotations are damaged: restore them, "
                "and the store is good"
            )
        if manifest[key] != value and key != "opencv":
            raise UserError(f"{folder}: foreign crop store: {key} is {manifest[key]}, not {value}; {remedy}")
    for entry in (manifest["index"], *manifest["shards"]):
        path = folder / entry["file"]
        found = path.stat().st_size if path.exists() else 0
        if found != entry["file_bytes"]:
            raise UserError(
                f"{path}: {found} bytes, not {entry['file_bytes']}: truncated crop store; {remedy}"
            )
    index_path = folder / manifest["index"]["file"]
    if sha256(index_path) != manifest["index"]["sha256"]:
        raise UserError(f"{index_path}: damaged crop store; {remedy}")
    index = np.load(index_path, allow_pickle=False)
    files = [folder / entry["file"] for entry in manifest["shards"]]
    flat = [_mapped(path) for path in files]
    checks = np.full(len(index), -1, np.int64)
    for number, (entry, shard) in enumerate(zip(manifest["shards"], flat, strict=True)):
        rows = np.flatnonzero(index[:, 0] == number)
        checks[rows] = _checks(folder, entry, shard, index[rows])
    encoded = [manifest["form"] == "jpeg"] * len(flat)
    return CropStore(flat, index, encoded, files, checks, np.zeros(len(index), bool))


def _mapped(path: Path) -> np.ndarray:
    """A shard's bytes, mapped: a plain view of the file, which is quicker to slice."""
    try:
        shard = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (ValueError, EOFError, SyntaxError) as error:
        raise UserError(f"{path}: damaged crop store ({error}); {REMEDY}") from None
    if shard.dtype != np.uint8 or shard.ndim != 1:
        raise UserError(f"{path}: damaged crop store (not a row of bytes); {REMEDY}")
    return shard


def _checks(folder: Path, entry: dict[str, Any], shard: np.ndarray, index: np.ndarray) -> list[int]:
    """The CRC-32 of each crop of a shard, out of the note beside it.

    An older version wrote none: then they are computed once, from a file that has the manifest's hash.
    """
    path = folder / entry["file"]
    beside = path.with_suffix(".json")
    note = read_json(beside, "note of a shard") if beside.is_file() else {}
    checks = note.get("checks") if isinstance(note, dict) else None
    if checks is None:
        if sha256(path) != entry["sha256"]:
            raise UserError(f"{path}: damaged crop store; {REMEDY}")
        spans = zip(index[:, 1].tolist(), index[:, 2].tolist(), strict=True)
        checks = [zlib.crc32(shard[start : start + length].data) for start, length in spans]
        with suppress(OSError):  # a store that cannot be written to is hashed each time
            note = {**entry, "lengths": index[:, 2].tolist(), "checks": checks}
            write_json(beside, note, indent=None)
    if not isinstance(checks, list) or len(checks) != len(index):
        raise UserError(f"{beside}: damaged crop store; {REMEDY}")
    return checks


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    if not path.exists():
        state = "unfinished" if (folder / "plan.json").exists() else "no"
        raise UserError(f"{path}: {state} crop store; run mspn crops, which goes on where it stopped")
    manifest = read_json(path, "crop store's manifest")
    needed = {"format", "form", "oversampling", "input_size", "augmentation", "jpeg_quality", "revision"}
    needed |= {"persons", "source", "index", "shards"}
    if not isinstance(manifest, dict) or not needed <= set(manifest) or manifest["format"] != FORMAT:
        raise UserError(f"{path}: not a crop store of format {FORMAT}; remove {folder} and run mspn crops")
    return manifest


def verify_store(folder: Path) -> tuple[dict[str, Any], list[Path]]:
    """The manifest, and the files that are not as it says, all read; UserError where it is none."""
    manifest, damaged = _manifest(folder), []
    for number, entry in enumerate([*manifest["shards"], manifest["index"]]):
        path = folder / entry["file"]
        if not path.exists() or sha256(path) != entry["sha256"]:
            damaged.append(path)
        elif path.with_suffix(".json").exists() and finished_shard(folder, number) is None:
            damaged.append(path.with_suffix(".json"))
    return manifest, damaged


def join_stores(stores: list[CropStore]) -> CropStore:
    """Several stores as one, rows in order, as ``mspn.data.load.join`` joins their persons."""
    shards: list[np.ndarray] = []
    encoded: list[bool] = []
    files: list[Path] = []
    indices = []
    for store in stores:
        index = store.index.copy()
        index[:, 0] += len(shards)
        indices.append(index)
        shards += store.shards
        encoded += store.encoded
        files += store.files
    checks, checked = (np.concatenate([getattr(one, key) for one in stores]) for key in ("checks", "checked"))
    return CropStore(shards, np.concatenate(indices), encoded, files, checks, checked)


class DeviceStore:
    """A store resident in a device's memory, warped there: training reads no crop from the host.

    Crops lie one after the other, each at its own size. So a sample's four neighbours are gathered from one
    flat array instead of by ``grid_sample``, which wants crops of one size; the weights are exact where
    OpenCV rounds places to 1/32 pixel.
    """

    def __init__(self, store: CropStore, device: torch.device | str) -> None:
        sizes = 3 * store.index[:, 3] * store.index[:, 4]
        starts = np.cumsum(sizes) - sizes
        self.pixels = torch.empty(int(sizes.sum()), dtype=torch.uint8, device=device)
        for row, (start, size) in enumerate(zip(starts.tolist(), sizes.tolist(), strict=True)):
            crop = np.ascontiguousarray(store.crop(row)).reshape(-1)
            self.pixels[start : start + size] = torch.from_numpy(crop.copy())
        self.pixels = self.pixels.view(-1, 3)
        self.starts = torch.from_numpy(starts // 3).to(device)
        self.sizes = torch.from_numpy(store.index[:, 3:5].copy()).to(device)
        self.maps = store_to_picture(store.index)

    def warp(self, rows: np.ndarray, matrices: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
        """(N, H, W, 3) uint8, on the device: bilinear, zeros outside the crop, rounded to the nearest."""
        device = self.pixels.device
        height, width = size
        inverse = self._sent(invert(compose(matrices, self.maps[rows])).astype(np.float32))
        index = self._sent(rows)
        x = torch.arange(width, device=device, dtype=torch.float32)
        y = torch.arange(height, device=device, dtype=torch.float32)[:, None]
        a = inverse[:, :, :, None, None]
        place = a[:, :, 0] * x + a[:, :, 1] * y + a[:, :, 2]  # (N, 2, H, W) in pixels of the stored crop
        corner = place.floor()
        weight = place - corner
        corner = corner.long()
        wide, high = self.sizes[index].unbind(1)
        total = torch.zeros(len(rows), height, width, 3, device=device)
        for dy in (0, 1):
            for dx in (0, 1):
                column, line = corner[:, 0] + dx, corner[:, 1] + dy
                inside = (column >= 0) & (column < wide[:, None, None])
                inside &= (line >= 0) & (line < high[:, None, None])
                flat = self.starts[index][:, None, None] + line * wide[:, None, None] + column
                share = (weight[:, 0] if dx else 1 - weight[:, 0]) * (
                    weight[:, 1] if dy else 1 - weight[:, 1]
                )
                pixels = self.pixels[flat.masked_fill(~inside, 0)]
                total += pixels * (share * inside)[..., None]
        return total.round_().clamp_(0, 255).to(torch.uint8)

    def _sent(self, array: np.ndarray) -> torch.Tensor:
        """The array on the device, without waiting for what that has still to do."""
        here, device = torch.from_numpy(array), self.pixels.device
        return (here.pin_memory() if device.type == "cuda" else here).to(device, non_blocking=True)


def mean_difference(
    store: CropStore, persons: Persons, input_size: tuple[int, int], augmentation: str, samples: int = 256
) -> float:
    """The mean absolute difference, in grey levels of 255, of samples by the store and by the exact path.

    Of ``samples`` persons evenly spread, augmented as in the first epoch of seed 0; all pixels and channels.
    """
    persons = trainable(persons)
    rows = np.unique(np.linspace(0, len(persons) - 1, samples).round().astype(np.int64))
    widths = np.array([persons.pictures[i].width for i in persons.image_ids[rows].tolist()], float)
    draws = draw(0, 0, len(persons))[rows]
    chosen = persons.select(rows)
    recipe = augmentation_for(augmentation, chosen.skeleton)
    matrices, _ = augment(chosen.boxes, chosen.joints, widths, chosen.skeleton, recipe, input_size, draws)
    exact = Pictures(persons)
    total = 0.0
    for part in np.array_split(np.arange(len(rows)), max(len(rows) // 16, 1)):
        ours = store.warp(rows[part], matrices[part], input_size)
        theirs = exact.warp(rows[part], matrices[part], input_size)
        total += float((ours.float() - theirs.float()).abs().mean()) * len(part)
    return total / len(rows)
