"""The evidence of a scale in one archive, built the same each time, and its check.

The archive holds results, configurations, logs, environments and the page, at their places below the
repository's root, so that the page's links work in it. It leaves out pictures, crops, checkpoints and
weights, but those of runs that are asked for: their hashes stand in the results. A report that shows
photographs is refused. ``manifest-sha256.txt`` lists every other file with its checksum (BagIt's form);
``ro-crate-metadata.json`` describes them (RO-Crate 1.1).

A small bundle is for keeping in a repository: without predictions, timings, the rules' logs, PNGs and what
the repository holds itself, with the matches and ``runs.csv`` of the main protocol alone (each evaluation's
``metrics.json`` has the figures of the others) and every tenth step of each training's log, of which a
trunk's is the beginning. The page's links to what is left out are plain text in it.
`mspn.report.verify` checks both.
"""

import hashlib
import json
import mimetypes
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pandas as pd

import mspn
from mspn.errors import UserError
from mspn.evaluation.metrics.matches import load_matches, save_matches
from mspn.evaluation.rescoring import MAIN, MATCHES
from mspn.experiment.config import CONFIG
from mspn.experiment.experiment import Experiment
from mspn.experiment.load import OWNER
from mspn.experiment.log import LOG, thinned
from mspn.experiment.paper import FIGURES
from mspn.files import atomic, read_json, sha256
from mspn.report.addresses import trainings_of
from mspn.report.popover import without_links
from mspn.report.results import Results, collect

MANIFEST, CRATE = "manifest-sha256.txt", "ro-crate-metadata.json"
SCALE = "resolved-scale.json"  # with every default filled in and every variable replaced
KINDS = {".json", ".jsonl", ".csv", ".tsv", ".npz", ".log", ".txt", ".md", ".sha256"}
# Below results/SCALE: pictures and what is made of them, weights in the making, what can be made again at
# once.
LEFT_OUT = {"data", "crops", "checkpoints", "replicates"}
PICTURES = {"stages.npz"}  # holds a crop
NOT_SMALL = {"predictions.json", "timing.jsonl"}
FOUND_AT_ROOT = ("environment.yml", "requirements.lock", "pyproject.toml", "LICENSE", "CITATION.cff")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can tell


def bundled_files(experiment: Experiment, small: bool = False) -> list[Path]:
    """The files of the bundle, relative to the repository's root, sorted."""
    page = experiment.reports / "index.html"
    if not page.is_file() and not experiment.scale.search:  # a search ends in its table
        raise UserError(f"{page}: no such file; make the report first (mspn report make)")
    if page.is_file():
        _refuse_photographs(experiment)
    left_out = LEFT_OUT | ({"logs", "benchmarks", "trunks"} if small else set())
    found = {
        path
        for path in experiment.results.rglob("*")
        if path.is_file()
        and path.suffix in KINDS
        and path.name not in {*PICTURES, OWNER}  # a restored folder belongs to who takes it up
        and path.relative_to(experiment.results).parts[0] not in left_out
    }
    found |= {
        path
        for path in experiment.reports.rglob("*")
        if path.is_file() and path.suffix not in ({".zip", ".png"} if small else {".zip"})
    }
    found |= {FIGURES} if FIGURES.is_file() else set()
    if not small:
        found |= {path for path in CONFIG.rglob("*") if path.is_file()}
        found |= {path for path in map(Path, FOUND_AT_ROOT) if path.is_file()}
    return sorted(
        path
        for path in found
        if not any(part.startswith(".") for part in path.parts) and not (small and path.name in NOT_SMALL)
    )


def _refuse_photographs(experiment: Experiment) -> None:
    """UserError where the report shows photographs, or does not say: a bundle is for passing on."""
    description = experiment.reports / "report.json"
    if read_json(description, "report's description").get("photographs", True):
        raise UserError(
            f"{experiment.reports}: the report shows photographs of persons, which a bundle leaves out; make "
            f"it without (mspn report make --scale {experiment.scale.name} --no-photographs), then pack it"
        )


def contents_of(
    experiment: Experiment, small: bool = False, runs: Sequence[str] = ()
) -> dict[str, Path | bytes]:
    """Name -> file or bytes of all that the bundle holds but its manifest, sorted.

    Of ``runs`` the weights of the first seed that has some are among them.
    """
    paths = bundled_files(experiment, small)
    results = collect(experiment)
    used = {name for e in results.evaluations.values() for name in trainings_of(e.address)}
    unused = {experiment.results / "trainings" / name for name in set(results.superseded) - used}
    paths = [path for path in paths if path.parent not in unused]
    paths += [weights_of(experiment, run) for run in runs]
    contents: dict[str, Path | bytes] = {path.as_posix(): path for path in paths}
    page, rows = experiment.reports / "index.html", experiment.reports / "runs.csv"
    if small and page.is_file():
        contents[page.as_posix()] = _without_dead_links(page, contents)
        contents[rows.as_posix()] = _main_rows(rows)
    if small:
        contents |= {path.as_posix(): thinned(path.read_bytes()) for path in paths if path.name == LOG}
        contents |= {path.as_posix(): _main_matches(path) for path in paths if path.name == MATCHES}
    contents[SCALE] = _json(experiment.scale.model_dump(mode="json"))
    contents[CRATE] = _json(crate(experiment, results, contents))
    return dict(sorted(contents.items()))


def weights_of(experiment: Experiment, name: str) -> Path:
    """The weights of a run's first seed that has some; UserError where none has."""
    run = experiment.run(name)
    files = [experiment.weights_file(run, seed) for seed in experiment.scale.seeds]
    found = [path for path in files if path.is_file()]
    if not found:
        raise UserError(f"{files[0]}: no such file, nor of another seed: train {name} first")
    return found[0]


def _without_dead_links(page: Path, contents: dict[str, Path | bytes]) -> bytes:
    """The page with links to files that are not among the contents made plain text."""

    def there(link: str) -> bool:
        return Path(os.path.normpath(page.parent / unquote(link))).as_posix() in contents

    def keep(link: re.Match[str]) -> str:
        return link[0] if there(link[1]) else link[2]

    text = re.sub(r'<a href="([^"#:]+)"[^>]*>([^<]*)</a>', keep, page.read_text(encoding="utf-8"))
    return without_links(text, there).encode()


def _main_matches(path: Path) -> bytes:
    """The file with the matches of the main protocol alone, from which the tables' figures come."""
    kept = {name: one for name, one in load_matches(path).items() if name.partition(":")[0] == MAIN}
    with tempfile.TemporaryDirectory() as folder:
        save_matches(Path(folder) / MATCHES, kept)
        return (Path(folder) / MATCHES).read_bytes()


def _main_rows(path: Path) -> bytes:
    """The tidy table with the rows of the main protocol alone."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)  # no number is written anew
    return table[table["protocol"] == MAIN].to_csv(index=False, lineterminator="\n").encode()


def write_bundle(
    experiment: Experiment, path: Path, small: bool = False, runs: Sequence[str] = ()
) -> tuple[int, str]:
    """Write a zip, or a folder where ``path`` does not end in ``.zip``; the same files give the same bytes.

    ``runs`` are those whose weights go with it. Returns how many files it holds and the SHA-256 of the zip,
    or of the folder's manifest. Raises UserError for a folder that holds something other than a former
    bundle.
    """
    contents = contents_of(experiment, small, runs)
    if path.suffix != ".zip":
        _write_folder(path, contents)
        return len(contents) + 1, sha256(path / MANIFEST)
    with atomic(path) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
            for name, data in _with_manifest(contents):
                file.writestr(_info(name), data)
        digest = sha256(temporary)
    return len(contents) + 1, digest


def _with_manifest(contents: dict[str, Path | bytes]) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of each file, one at a time, and of the manifest at the end."""
    manifest = []
    for name, content in contents.items():
        data = content if isinstance(content, bytes) else content.read_bytes()
        manifest.append(f"{hashlib.sha256(data).hexdigest()}  {name}\n")
        yield name, data
    yield MANIFEST, "".join(manifest).encode()


def _write_folder(folder: Path, contents: dict[str, Path | bytes]) -> None:
    if folder.exists() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        raise UserError(
            f"{folder}: is there and holds no {MANIFEST}: not a former bundle; name another folder"
        )
    fresh, former = (folder.with_name(f".{folder.name}.{word}") for word in ("new", "old"))
    for path in (fresh, former):
        shutil.rmtree(path, ignore_errors=True)
    for name, data in _with_manifest(contents):
        (fresh / name).parent.mkdir(parents=True, exist_ok=True)
        (fresh / name).write_bytes(data)
    if folder.exists():
        folder.rename(former)
    fresh.rename(folder)
    shutil.rmtree(former, ignore_errors=True)


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = 3  # Unix, wherever it is built
    info.external_attr = 0o644 << 16
    return info


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def crate(experiment: Experiment, results: Results, contents: dict[str, Path | bytes]) -> dict[str, Any]:
    """The RO-Crate 1.1 description: the metadata's own entity, the root data set, every file, the
    software.
    """
    files = [
        {
            "@id": quote(name),
            "@type": "File",
            "name": name,
            "contentSize": str(len(content) if isinstance(content, bytes) else content.stat().st_size),
            "encodingFormat": mimetypes.guess_type(name)[0] or "application/octet-stream",
        }
        for name, content in sorted(contents.items())
    ]
    commits = sorted(
        {str(e.address["commit"]) for e in results.evaluations.values() if e.address.get("commit")}
    )
    page = (experiment.reports / "index.html").as_posix()
    graph: list[dict[str, Any]] = [
        {
            "@id": CRATE,
            "@type": "CreativeWork",
            "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
            "about": {"@id": "./"},
        },
        {
            "@id": "./",
            "@type": "Dataset",
            "name": f"Evidence of the MSPN benchmark, {experiment.scale.name} scale",
            "description": experiment.scale.description,
            "datePublished": published(results),
            "license": {"@id": "https://spdx.org/licenses/Apache-2.0"},
            "mentions": {"@id": "#mspn"},
            **({"mainEntity": {"@id": quote(page)}} if page in contents else {}),
            "hasPart": [{"@id": file["@id"]} for file in files],
        },
        {
            "@id": "https://spdx.org/licenses/Apache-2.0",
            "@type": "CreativeWork",
            "name": "Apache License 2.0",
        },
        {
            "@id": "#mspn",
            "@type": "SoftwareApplication",
            "name": "mspn",
            "softwareVersion": mspn.__version__,
            "description": f"Results made at commit {', '.join(commits) or 'unknown'}",
        },
    ]
    return {"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": graph + files}


def published(results: Results) -> str:
    """The day of the newest training: a date that the results themselves tell, so that a rebuild is the
    same.
    """
    days = [
        str(attempt.get("started", ""))[:10]
        for training in results.trainings.values()
        for attempt in training.environment.get("attempts", ())
    ]
    return max(filter(None, days), default="1980-01-01")
