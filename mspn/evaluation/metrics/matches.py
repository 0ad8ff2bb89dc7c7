"""The file of an evaluation's matches: what its figures, and their bootstrap, are computed from."""

import hashlib
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from mspn.errors import UserError
from mspn.evaluation.metrics.bootstrap import Matches
from mspn.evaluation.metrics.distances import Distances
from mspn.files import atomic

# All that NumPy and zipfile raise of a damaged file; encryption, unknown compression are a flipped bit away.
_DAMAGED = (
    *(ValueError, OSError, EOFError, KeyError, SyntaxError, RuntimeError, MemoryError),
    *(zipfile.BadZipFile, zlib.error),
)


def save_matches(path: Path, by_protocol: Mapping[str, Matches | Distances]) -> None:
    """Write the matches of every protocol into one ``.npz`` of plain arrays, atomically."""
    arrays: dict[str, np.ndarray] = {"format": np.array([1])}
    for name, matches in by_protocol.items():
        arrays |= {f"{name}/{key}": value for key, value in _to_arrays(matches).items()}
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def load_matches(path: Path) -> dict[str, Any]:
    """Read what `save_matches` wrote: `Matches` or `Distances`, by protocol."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; evaluate the run first") from None
    except _DAMAGED as error:
        raise UserError(f"{path}: damaged ({error}); evaluate the run again") from None
    if "format" not in arrays:
        raise UserError(f"{path}: not the matches of an evaluation; evaluate the run again")
    names = list(dict.fromkeys(key.rsplit("/", 1)[0] for key in arrays if "/" in key))
    try:
        return {
            name: _from_arrays(
                {k.rsplit("/", 1)[1]: v for k, v in arrays.items() if k.startswith(f"{name}/")}
            )
            for name in names
        }
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(f"{path}: damaged ({error}); evaluate the run again") from None


def hashes(by_protocol: Mapping[str, Matches | Distances]) -> dict[str, str]:
    """The hash of each protocol's arrays, whatever the file's compression and other protocols in it."""
    found = {}
    for name, matches in by_protocol.items():
        digest = hashlib.sha256()
        for key, value in sorted(_to_arrays(matches).items()):
            digest.update(f"{key} {value.dtype} {value.shape} ".encode())
            digest.update(np.ascontiguousarray(value).tobytes())
        found[name] = digest.hexdigest()
    return found


def _to_arrays(matches: Matches | Distances) -> dict[str, np.ndarray]:
    arrays = dict(vars(matches))
    if isinstance(matches, Matches):
        # Eight truths to a byte: at COCO's size the difference between 3 and 25 MB.
        arrays["hit"] = np.packbits(matches.hit, axis=-1)
        arrays["ignored"] = np.packbits(matches.ignored, axis=-1)
    return arrays


def _from_arrays(arrays: dict[str, np.ndarray]) -> Any:
    """Matches or Distances; ValueError or TypeError where arrays lack or do not fit each other."""
    kind = Matches if "hit" in arrays else Distances
    if set(arrays) != (wanted := {field.name for field in fields(kind)}):
        raise ValueError(f"holds {', '.join(sorted(arrays))}; expected {', '.join(sorted(wanted))}")
    images, image = arrays["image_ids"], arrays["image"]
    rows = len(arrays["distances" if kind is Distances else "scores"])
    if image.shape != (rows,) or (rows and not 0 <= image.min() <= image.max() < len(images)):
        raise ValueError("its rows are of images that it does not have")
    if kind is Distances:
        return Distances(**arrays)
    for key in ("hit", "ignored"):
        if arrays[key].ndim != 3 or arrays[key].shape[-1] != (rows + 7) // 8:
            raise ValueError(f"{key} does not fit its {rows} detections")
        arrays[key] = np.unpackbits(arrays[key], axis=-1, count=rows).astype(bool)
    if arrays["persons"].shape != (len(arrays["hit"]), len(images)):
        raise ValueError(f"persons does not fit its {len(images)} images")
    return Matches(**arrays)
