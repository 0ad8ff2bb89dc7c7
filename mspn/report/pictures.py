"""Figures 4 and 5: targets and predictions stage by stage, and skeletons on pictures."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from mspn.data.persons import Persons
from mspn.data.skeletons import Skeleton, skeleton
from mspn.errors import UserError
from mspn.files import read_json
from mspn.report import style
from mspn.report.figures import DET, Drawn, scale_words
from mspn.report.results import Evaluation, Results

PICTURES = 8
SIDE_PX = 360  # pictures are reduced to this longer side before they go on the page


def _skeleton_lines(
    ax: Axes, joints: np.ndarray, shown: np.ndarray, skeleton: Skeleton, **options: Any
) -> None:
    """Limbs of one person, (K, 2) joints, where both ends are ``shown``."""
    lines = [joints[list(limb)] for limb in skeleton.limbs if shown[list(limb)].all()]
    ax.add_collection(LineCollection(lines, capstyle="round", **options))


def _bare(ax: Axes) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(visible=False)
    for spine in ax.spines.values():
        spine.set_visible(False)


def figure_4(results: Results, folder: Path) -> Drawn:
    """Targets (above) and predictions (below) of one person, a column each stage, as the evaluation wrote
    them.
    """
    title, name = "Figure 4: targets and predictions, stage by stage", "figure-4"
    evaluation = _pictured(results, "stages.npz")
    if evaluation is None:
        return Drawn(name, title, "Not run: no MSPN of several stages has been evaluated.")
    data = load_stages(evaluation.folder / "stages.npz")
    stages = len(data["prediction"])
    joints = skeleton(results.experiment.grid[evaluation.run].joint_set)
    with style.figure(height=4.8, rows=2, columns=stages) as (fig, axes):
        for s in range(stages):
            _draw_heat(axes[s], data["crop"], data["target"][s])
            _draw_heat(axes[stages + s], data["crop"], data["prediction"][s])
            _draw_stage(axes[stages + s], data["joints"], peaks(data["prediction"][s]), joints)
            axes[s].set_title(f"Stage {s + 1}")
        axes[0].set_ylabel("target", fontsize=8)
        axes[stages].set_ylabel("predicted", fontsize=8)
        fig.supxlabel(scale_words(results), fontsize=7, color=style.MUTED)
        svg = style.save(fig, folder, name)
    caption = (
        f"{evaluation.run}, seed {evaluation.seed}, on the validation person with the most visible joints: "
        "each stage's finest scale, the largest over joints. Green: annotated. Orange, dashed: predicted "
        f"(highest pixel). {scale_words(results).capitalize()}."
    )
    return Drawn(name, title, caption, svg)


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


def _draw_heat(ax: Axes, crop: np.ndarray, maps: np.ndarray) -> None:
    """The crop in grey, under the largest of the maps over joints."""
    height, width = crop.shape[:2]
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    ax.imshow(crop.mean(axis=-1), cmap="gray", vmin=0, vmax=400, extent=extent)
    largest = maps.max(axis=0)
    heat = np.clip(largest / max(float(largest.max()), 1e-6), 0, 1)
    colours = colormaps["inferno"](heat)
    colours[..., 3] = np.sqrt(heat)  # weak answers let the picture show through
    ax.imshow(colours, extent=extent, interpolation="nearest")
    ax.set(xlim=extent[:2], ylim=extent[2:])
    _bare(ax)


def _draw_stage(ax: Axes, truth: np.ndarray, predicted: np.ndarray, skeleton: Skeleton) -> None:
    shown = truth[:, 2] > 0
    _skeleton_lines(ax, truth[:, :2], shown, skeleton, colors="#3fbf6f", linewidths=1.6)
    _skeleton_lines(ax, predicted, shown, skeleton, colors="#ff9a1f", linewidths=1.2, linestyles="--")
    error = np.linalg.norm(predicted - truth[:, :2], axis=1)[shown]
    if len(error):
        ax.set_xlabel(f"median {np.median(error):.1f} px off", fontsize=7)


def figure_5(results: Results, folder: Path) -> Drawn:
    """Predicted skeletons on validation pictures, evenly spaced over the image ids; none is chosen for its
    result.
    """
    title, name = "Figure 5: predicted skeletons", "figure-5"
    evaluation = _pictured(results, "predictions.json")
    if evaluation is None:
        return Drawn(name, title, "Not run: no MSPN has predictions.")
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
    columns = 4
    rows = -(-len(chosen) // columns)
    with style.figure(height=1.75 * rows, rows=rows, columns=columns) as (fig, axes):
        for ax in axes:
            ax.set_axis_off()
        for ax, image_id in zip(axes, chosen, strict=False):
            _draw_picture(ax, persons.pictures[image_id].path, by_image[image_id], persons.skeleton)
        fig.supxlabel(scale_words(results), fontsize=7, color=style.MUTED)
        svg = style.save(fig, folder, name)
    caption = (
        f"{evaluation.run}, seed {evaluation.seed}, boxes {evaluation.detector}: pictures evenly spaced "
        "over the image ids, not chosen by result; persons that score at least half of the picture's best. "
        f"Left limbs are blue, right ones orange, the rest white. {scale_words(results).capitalize()}."
    )
    return Drawn(name, title, caption, svg)


def _pictured(results: Results, file: str) -> Evaluation | None:
    """The evaluation to draw: MSPN with the most stages whose folder has the file, on the paper's boxes if
    it can.
    """
    for run in ("mspn-4", "mspn-3", "mspn-2", "mspn-1"):
        for detector in (DET, "gt"):
            for seed in results.experiment.scale.seeds:
                evaluation = results.evaluations.get((run, detector, seed))
                if evaluation and (evaluation.folder / file).is_file():
                    return evaluation
    return None


def _validation(results: Results, evaluation: Evaluation) -> Persons | None:
    from mspn.data.load import load_split

    experiment = results.experiment
    dataset = experiment.grid[evaluation.run].datasets[0]
    data, root = experiment.scale.datasets[dataset], experiment.data_folder(dataset)
    try:
        return load_split(data, root, "val", check_pictures=False)
    except UserError:
        return None


def _draw_picture(ax: Axes, path: Path, predictions: list[dict[str, Any]], skeleton: Skeleton) -> None:
    from PIL import Image

    with Image.open(path) as opened:
        full = opened.convert("RGB")
    reduction = SIDE_PX / max(full.size)
    picture = np.asarray(full.resize([max(1, round(side * reduction)) for side in full.size]))
    ax.imshow(picture)
    best = max(float(p["score"]) for p in predictions)
    for prediction in predictions:
        if float(prediction["score"]) < best / 2:
            continue
        joints = np.asarray(prediction["keypoints"], float).reshape(-1, 3)[:, :2] * reduction
        _draw_person(ax, joints, skeleton)
    ax.set(xlim=(-0.5, picture.shape[1] - 0.5), ylim=(picture.shape[0] - 0.5, -0.5))


def _draw_person(ax: Axes, joints: np.ndarray, skeleton: Skeleton) -> None:
    names = skeleton.joints
    shown = np.ones(len(names), bool)
    _skeleton_lines(ax, joints, shown, skeleton, colors="#000000aa", linewidths=2.2)
    for side, colour in (("left_", "#56b4e9"), ("right_", "#ff8c32"), ("", "#ffffff")):
        lines = [joints[[a, b]] for a, b in skeleton.limbs if _side(names[a], names[b]) == side]
        ax.add_collection(LineCollection(lines, colors=colour, linewidths=1.3, capstyle="round"))


def _side(a: str, b: str) -> str:
    """``left_`` or ``right_`` where both ends are of that side, else empty."""
    for side in ("left_", "right_"):
        if a.startswith(side) and b.startswith(side):
            return side
    return ""
