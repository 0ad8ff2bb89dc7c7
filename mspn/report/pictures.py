"""Figures 4 and 5: targets and predictions stage by stage, and skeletons on pictures."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from mspn.data.persons import Persons
from mspn.data.skeletons import Skeleton, skeleton
from mspn.errors import UserError, shown
from mspn.experiment.experiment import Experiment
from mspn.files import read_json
from mspn.report import style
from mspn.report.claim_parts import DET
from mspn.report.figures import scale_words
from mspn.report.points import whole
from mspn.report.results import Evaluation, Results
from mspn.report.style import Drawn

PICTURES = 8
GREY = 96  # in place of a photograph: white and black lines show on it
BLANK = " Photographs are left out."
SIDE_PX = 320  # pictures are reduced to this longer side before they go on the page


def figure_4(results: Results, folder: Path, photographs: bool = True) -> Drawn:
    """Targets (above) and predictions (below) of one person, a panel each stage, as the evaluation wrote
    them. Without ``photographs`` on black, where the person is not a drawn one.
    """
    title, name = "Figure 4: targets and predictions, stage by stage", "figure-4"
    evaluation = pictured(results, "stages.npz")
    if evaluation is None:
        return Drawn(name, title, "Not run: no network of several stages has been evaluated.")
    data = load_stages(evaluation.folder / "stages.npz")
    blank = not photographs and is_photographed(results.experiment, evaluation.run)
    if blank:
        data["crop"] = np.zeros_like(data["crop"])
    joints = skeleton(results.experiment.grid[evaluation.run].joint_set)
    stages = [_stage(data, s, joints) for s in range(len(data["prediction"]))]
    with style.figure(1.8 * len(stages), 4.8, 2, len(stages)) as (fig, axes):
        for s, stage in enumerate(stages):
            for ax, picture in zip(axes[:, s], (stage.target, stage.predicted), strict=True):
                ax.imshow(picture)
                ax.set_axis_off()
            for limbs, (colour, dashes) in zip((stage.truth, stage.limbs), FOUND, strict=True):
                axes[1, s].add_collection(
                    LineCollection(limbs, colors=colour, linewidths=1.4, linestyles="--" if dashes else "-")
                )
            axes[0, s].set_title(f"Stage {s + 1}: target")
            axes[1, s].set_title(f"predicted, {stage.error_px:.1f} px off")
        fig.supxlabel(scale_words(results), fontsize=7, color=style.MUTED)
        style.save(fig, folder, name)
    caption = (
        f"{evaluation.run}, seed {evaluation.seed}, on the validation person with the most visible joints: "
        "each stage's finest scale, the largest over joints. Green: annotated. Orange, dashed: predicted "
        "(highest pixel); the median distance between them in pixels of the input. "
        f"{scale_words(results).capitalize()}.{BLANK if blank else ''}"
    )
    panels = tuple(_stage_svg(s, stage) for s, stage in enumerate(stages))
    return Drawn(name, title, caption, panels, across=max(4, min(len(stages), 8)))


FOUND = (("#3fbf6f", ""), ("#ff9a1f", "3 2"))  # colour and dashes of annotated and of predicted limbs


@dataclass(frozen=True)
class Stage:
    """A stage's target and prediction over the crop, (H, W, 3) RGB uint8; annotated and predicted limbs, each
    (2, 2) in pixels of the input, and the median distance of their joints.
    """

    target: np.ndarray
    predicted: np.ndarray
    truth: list[np.ndarray]
    limbs: list[np.ndarray]
    error_px: float


def _stage(data: dict[str, np.ndarray], s: int, skeleton: Skeleton) -> Stage:
    truth, found = data["joints"], peaks(data["prediction"][s])
    shown = truth[:, 2] > 0
    limbs = [list(limb) for limb in skeleton.limbs if shown[list(limb)].all()]
    distance = np.linalg.norm(found - truth[:, :2], axis=1)[shown]
    return Stage(
        _heat(data["crop"], data["target"][s]),
        _heat(data["crop"], data["prediction"][s]),
        [truth[limb, :2] for limb in limbs],
        [found[limb] for limb in limbs],
        float(np.median(distance)) if len(distance) else 0.0,
    )


def _stage_svg(s: int, stage: Stage) -> str:
    """Target above, prediction below, each under its words, for the page."""
    height, width = stage.target.shape[:2]
    line = width / 14  # of text: 11 pixels where two panels share a telephone's width
    words = (f"Stage {s + 1}: target", f"predicted, {stage.error_px:.1f} px off")
    (annotated, _), (predicted, dashes) = FOUND
    lines = _strokes(stage.truth, annotated, width / 50)
    lines += _strokes(stage.limbs, predicted, width / 50, dashes)
    body = ""
    for place, (picture, over) in enumerate(((stage.target, ""), (stage.predicted, lines))):
        top = place * (height + 1.6 * line) + 1.5 * line
        look = f"font-size: {line}px; fill: {style.INK}"
        body += f'<text y="{top - 0.45 * line}" style="{look}">{words[place]}</text>{_jpeg(picture, top)}'
        body += f'<g transform="translate(0 {top})">{over}</g>'
    return _svg(width, 2 * (height + 1.6 * line), body)


def load_stages(path: Path) -> dict[str, np.ndarray]:
    """``crop`` (H, W, 3) BGR, ``target`` and ``prediction`` (S, K, H/4, W/4), ``joints`` (K, 3) in input
    pixels.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key].astype(np.float32) for key in ("crop", "target", "prediction", "joints")}
    except (KeyError, ValueError, OSError) as error:
        raise UserError(
            f"{path}: not the heat maps of an evaluation ({error}); evaluate the run again"
        ) from None


def peaks(maps: np.ndarray) -> np.ndarray:
    """(K, 2) x, y in input pixels of the highest pixel of each of the maps (K, H/4, W/4)."""
    joints, _, width = maps.shape
    highest = maps.reshape(joints, -1).argmax(axis=1)
    return np.stack([highest % width, highest // width], axis=1) * 4.0 + 2.0


def _heat(crop: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: the crop (H, W, 3) in grey under the largest of the maps (K, H/4, W/4) over joints."""
    grey = np.clip(crop.mean(axis=-1) / 400, 0, 1)[..., None]  # dark, so that the heat shows
    largest = maps.max(axis=0)
    heat = np.clip(largest / max(float(largest.max()), 1e-6), 0, 1)
    heat = heat.repeat(crop.shape[0] // heat.shape[0], 0).repeat(crop.shape[1] // heat.shape[1], 1)
    weight = np.sqrt(heat)[..., None]  # weak answers let the picture show through
    mixed = 255 * (grey * (1 - weight) + colormaps["inferno"](heat)[..., :3] * weight)
    return mixed.round().astype(np.uint8)


def figure_5(results: Results, folder: Path, named: str | None = None, photographs: bool = True) -> Drawn:
    """Predicted skeletons of the best run, or of the run ``named``, on validation pictures evenly spaced over
    the image ids; none is chosen for its result. Without ``photographs`` on grey in place of them.
    """
    title, name = "Figure 5: predicted skeletons", "figure-5"
    evaluation = pictured(results, "predictions.json", named)
    if evaluation is None:
        return Drawn(name, title, "Not run: no run has predictions.")
    persons = _validation(results, evaluation)
    if persons is None:
        return Drawn(name, title, "Not drawn: the validation pictures are not there.")
    by_image: dict[int, list[dict[str, Any]]] = {}
    for prediction in read_json(evaluation.folder / "predictions.json", "predictions file"):
        by_image.setdefault(int(prediction["image_id"]), []).append(prediction)
    ids = [i for i in sorted(by_image) if i in persons.pictures and persons.pictures[i].path.is_file()]
    if not ids:
        return Drawn(name, title, "Not drawn: none of the predicted pictures is there.")
    chosen = [ids[i] for i in np.unique(np.linspace(0, len(ids) - 1, PICTURES).round().astype(int))]
    overlays = [_overlay(persons.pictures[i].path, by_image[i], persons.skeleton) for i in chosen]
    blank = not photographs and is_photographed(results.experiment, evaluation.run)
    if blank:
        overlays = [(np.full_like(picture, GREY), limbs) for picture, limbs in overlays]
    _save_overlays(overlays, folder, name, scale_words(results))
    how = "" if named else ", the run of highest AP"
    caption = (
        f"{evaluation.run}{how}, seed {evaluation.seed}, boxes {evaluation.detector}: pictures evenly spaced "
        "over the image ids, not chosen by result; persons that score at least half of the picture's best. "
        f"Left limbs are blue, right ones orange, the rest white. {scale_words(results).capitalize()}."
        f"{BLANK if blank else ''}"
    )
    return Drawn(name, title, caption, tuple(map(_overlay_svg, overlays)), across=4)


def pictured(results: Results, file: str, named: str | None = None) -> Evaluation | None:
    """The evaluation to draw, of those whose folder has the file: of the run ``named``, else of the one of
    highest AP at its whole budget; on the boxes of the paper's curves if it can, else on true ones.

    UserError where the run named has none.
    """
    experiment = results.experiment
    runs = [run.run for run in whole(experiment)]
    if named is not None:
        runs = [experiment.run(named).run]
    best: tuple[float, Evaluation] | None = None
    for run in runs:
        found = _first_with(results, run, file)
        if found is not None and (best is None or found[0] > best[0]):
            best = found
    if named is not None and best is None:
        raise UserError(
            f"run {named!r} has no {file} at scale {experiment.scale.name}: evaluate it, or name another run"
        )
    return best[1] if best else None


def _first_with(results: Results, run: str, file: str) -> tuple[float, Evaluation] | None:
    """A run's AP and its first evaluation with the file."""
    for detector in dict.fromkeys((results.experiment.boxes_for(DET), "gt")):
        estimate = results.estimate(run, detector, "AP")
        for seed in estimate.seeds if estimate else ():
            evaluation = results.evaluations[run, detector, seed]
            if estimate and (evaluation.folder / file).is_file():
                return estimate.value, evaluation
    return None


def is_photographed(experiment: Experiment, run: str) -> bool:
    """Whether a run's persons are other than the project's own drawings."""
    return experiment.scale.datasets[experiment.grid[run].datasets[0]].kind != "synth"


def _validation(results: Results, evaluation: Evaluation) -> Persons | None:
    from mspn.data.load import load_split

    experiment = results.experiment
    dataset = experiment.grid[evaluation.run].datasets[0]
    data, root = experiment.scale.datasets[dataset], experiment.data_folder(dataset)
    try:
        return load_split(data, root, "val", check_pictures=False)
    except UserError:
        return None


# Side -> colour of its limbs, on a dark rim that shows on any picture.
COLOURS = {"left_": "#56b4e9", "right_": "#ff8c32", "": "#ffffff"}
RIM = "#000000aa"


Overlay = tuple[np.ndarray, dict[str, list[np.ndarray]]]  # a picture (H, W, 3) RGB; limbs on it by side


def _overlay(path: Path, predictions: list[dict[str, Any]], skeleton: Skeleton) -> Overlay:
    """The picture, reduced, and what is predicted on it: each limb (2, 2) in its pixels."""
    from PIL import Image

    try:
        with Image.open(path) as opened:
            full = opened.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        words = shown(str(error))
        raise UserError(f"{path}: damaged ({words}); `mspn doctor --deep` says what to do") from None
    reduction = min(1.0, SIDE_PX / max(full.size))
    picture = np.asarray(full.resize([max(1, round(side * reduction)) for side in full.size]))
    best = max(float(p["score"]) for p in predictions)
    limbs: dict[str, list[np.ndarray]] = {side: [] for side in COLOURS}
    for prediction in predictions:
        if float(prediction["score"]) >= best / 2:
            joints = np.asarray(prediction["keypoints"], float).reshape(-1, 3)[:, :2] * reduction
            for a, b in skeleton.limbs:
                limbs[_side(skeleton.joints[a], skeleton.joints[b])].append(joints[[a, b]])
    return picture, limbs


def _save_overlays(overlays: list[Overlay], folder: Path, name: str, words: str) -> None:
    columns = min(4, len(overlays))
    rows = -(-len(overlays) // columns)
    with style.figure(1.8 * columns, 1.75 * rows, rows, columns) as (fig, axes):
        for ax in axes.flat:
            ax.set_axis_off()
        for ax, overlay in zip(axes.flat, overlays, strict=False):
            _draw_overlay(ax, overlay)
        fig.supxlabel(words, fontsize=7, color=style.MUTED)
        style.save(fig, folder, name)


def _draw_overlay(ax: Axes, overlay: Overlay) -> None:
    picture, limbs = overlay
    ax.imshow(picture)
    every = [limb for group in limbs.values() for limb in group]
    ax.add_collection(LineCollection(every, colors=RIM, linewidths=2.2, capstyle="round"))
    for side, colour in COLOURS.items():
        ax.add_collection(LineCollection(limbs[side], colors=colour, linewidths=1.3, capstyle="round"))
    height, width = picture.shape[:2]
    ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def _overlay_svg(overlay: Overlay) -> str:
    """The same for the page: the picture as a JPEG, a fraction of what matplotlib's PNG takes."""
    picture, limbs = overlay
    height, width = picture.shape[:2]
    body = _jpeg(picture) + _strokes([limb for group in limbs.values() for limb in group], RIM, 4.0)
    body += "".join(_strokes(limbs[side], colour, 2.4) for side, colour in COLOURS.items())
    return _svg(width, height, body)


def _svg(width: float, height: float, body: str) -> str:
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">{body}</svg>'


def _jpeg(picture: np.ndarray, top: float = 0.0) -> str:
    """An element that shows a picture (H, W, 3) RGB uint8 at its own size."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "jpeg", quality=75, optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    height, width = picture.shape[:2]
    return f'<image y="{top}" width="{width}" height="{height}" href="data:image/jpeg;base64,{data}"/>'


def _strokes(limbs: list[np.ndarray], colour: str, width: float, dashes: str = "") -> str:
    """An element that draws limbs, each (2, 2), in one colour; empty without limbs."""
    if not limbs:
        return ""
    path = "".join(f"M{a:.1f} {b:.1f}L{c:.1f} {d:.1f}" for (a, b), (c, d) in limbs)
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    look = f'fill="none" stroke="{colour}" stroke-width="{width}" stroke-linecap="round"{dashed}'
    return f'<path d="{path}" {look}/>'


def _side(a: str, b: str) -> str:
    """``left_`` or ``right_`` where both ends are of that side, else empty."""
    for side in ("left_", "right_"):
        if a.startswith(side) and b.startswith(side):
            return side
    return ""
