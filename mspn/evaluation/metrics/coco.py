"""COCO's keypoint metric by pycocotools itself: its ten figures and its per-image matches."""

import contextlib
import io
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mspn.data.coco_form import MOST, numbers
from mspn.data.skeletons import COCO as COCO_JOINTS
from mspn.data.skeletons import Skeleton
from mspn.errors import UserError

PERSON = 1  # category id
KEYS = ("image_id", "category_id", "keypoints", "score")  # of an entry of results
VALUES = 3 * len(COCO_JOINTS.joints)  # of its keypoints: x, y, v of each
MAX_DETECTIONS = 20  # per image, by score; COCO's keypoint parameters


def index(annotations: dict[str, Any]) -> COCO:
    """pycocotools' index of annotations (``images``, ``annotations``, ``categories``); persons only count.

    Annotations that lack what scoring needs (such as boxes without keypoints), or have an area that no person
    can have, raise UserError: OKS is measured in areas.
    """
    pictures = {image.get("id"): image for image in annotations["images"]}
    for annotation in annotations["annotations"]:
        if annotation.get("category_id") == PERSON and not {"keypoints", "area", "bbox"} <= set(annotation):
            raise UserError(
                f"annotation {annotation.get('id')}: no keypoints, area or bbox; "
                "these are not keypoint annotations"
            )
        if annotation.get("category_id") == PERSON:
            _check_person(annotation, pictures.get(annotation.get("image_id"), {}))
    with quiet():
        truth = COCO()
        # pycocotools writes flags into annotations: it gets its own.
        truth.dataset = {
            key: [dict(entry) for entry in annotations[key]]
            for key in ("images", "annotations", "categories")
        }
        for annotation in truth.dataset["annotations"]:
            annotation.setdefault("num_keypoints", sum(v > 0 for v in annotation.get("keypoints", [])[2::3]))
            annotation.setdefault("iscrowd", 0)
        truth.createIndex()
    return truth


def _check_person(annotation: dict[str, Any], picture: dict[str, Any]) -> None:
    """Refuse numbers that are none, and a labelled person's area that is 0 or above both picture and box."""
    what = f"annotation {annotation.get('id')}: area"
    (area,), box = numbers([annotation["area"]], 1, what), numbers(annotation["bbox"], 4, f"{what}: bbox")
    points = annotation["keypoints"]
    numbers(points, len(points) if isinstance(points, list) else 0, f"{what}: keypoints")
    if annotation.get("iscrowd") or not any(points[2::3]):
        return
    width, height = (picture.get(key) or 0 for key in ("width", "height"))
    most = max(width * height, box[2] * box[3])
    if not 0 < area <= 1.01 * most:  # a mask's area, rounded another way than the box
        raise UserError(f"{what}: {area} square pixels, not between 0 and {most} of its box and picture")


def results(
    image_ids: np.ndarray, joints: np.ndarray, scores: np.ndarray, decimals: int = 3
) -> list[dict[str, Any]]:
    """Persons in COCO's result format, rounded: what is scored is what stands in the file.

    ``joints`` is (N, K, 3), x, y in picture pixels and the joint's score.
    """
    points = np.round(np.asarray(joints, np.float64), decimals).reshape(len(joints), -1).tolist()
    rounded = np.round(np.asarray(scores, np.float64), 9).tolist()
    return [
        {"image_id": int(image), "category_id": PERSON, "keypoints": keypoints, "score": score}
        for image, keypoints, score in zip(image_ids, points, rounded, strict=True)
    ]


def fault(entry: Any, images: set[int], boxes: bool = False) -> str:
    """What is wrong with an entry of results, which has a box or none; empty where nothing is."""
    if not isinstance(entry, dict):
        return "not an object with image_id, category_id, keypoints and score"
    missing = [key for key in KEYS if key not in entry]
    if missing:
        return f"lacks {', '.join(missing)}"
    image, category, keypoints, score = (entry[key] for key in KEYS)
    if not isinstance(image, int) or image not in images:
        return f"image_id {image!r} is not among the images"
    if category != PERSON:
        return f"category_id {category!r} is not the person's, {PERSON}"
    if not _are_numbers([score]):
        return f"score {score!r} is not a finite number"
    if not isinstance(keypoints, list) or len(keypoints) != VALUES:
        there = f"{len(keypoints)} numbers" if isinstance(keypoints, list) else repr(keypoints)[:40]
        return f"keypoints are {there}, not {VALUES} numbers"
    if not _are_numbers(keypoints):
        return "a keypoint is not a finite number"
    box = entry.get("bbox")
    if boxes and not (isinstance(box, list) and len(box) == 4 and _are_numbers(box)):
        return "no bbox of four finite numbers, though the first entry has one"
    if not boxes and box is not None:
        return "a bbox, though the first entry has none"
    return ""


def _are_numbers(values: list[Any]) -> bool:
    return all(type(value) in (int, float) and abs(value) <= MOST for value in values)


def evaluate(
    truth: COCO,
    predictions: list[dict[str, Any]],
    image_ids: list[int] | None = None,
    skeleton: Skeleton = COCO_JOINTS,
    by_size: bool = True,
) -> COCOeval:
    """pycocotools' evaluation, accumulated and summarised: ``stats`` holds the ten figures, 0 to 1.

    A figure without annotated persons is -1, as pycocotools has it, and so are, in a third of the time, those
    of medium and large persons without ``by_size``. ``image_ids`` limits the images. Other joints than COCO's
    are weighed by their own sigmas.
    """
    with quiet():
        if predictions:
            # pycocotools writes ids and areas into the entries, but leaves their keypoints alone.
            detections = truth.loadRes([dict(entry) for entry in predictions])
        else:  # loadRes fails on an empty list
            detections = COCO()
            detections.dataset = {**truth.dataset, "annotations": []}
            detections.createIndex()
        evaluation = COCOeval(truth, detections, "keypoints")
        evaluation.params.catIds = [PERSON]
        if skeleton.name != COCO_JOINTS.name:  # pycocotools' own differ from ours in the last digit
            evaluation.params.kpt_oks_sigmas = np.array(skeleton.sigmas)
        if not by_size:
            evaluation.params.areaRng = evaluation.params.areaRng[:1]
            evaluation.params.areaRngLbl = evaluation.params.areaRngLbl[:1]
        if image_ids is not None:
            evaluation.params.imgIds = sorted(image_ids)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def check_truth_scores_one(
    truth: COCO,
    image_ids: np.ndarray,
    joints: np.ndarray,
    source: str,
    skeleton: Skeleton = COCO_JOINTS,
    tolerance: float = 1e-6,
) -> None:
    """The annotated persons as predictions must score AP 1; anything else means a broken data path.

    ``joints`` (N, K, 3) are the annotated ones as this project read them. Images with more persons than
    COCO counts detections are left out. Raises UserError.
    """
    images, counts = np.unique(image_ids, return_counts=True)
    crowded = set(images[counts > MAX_DETECTIONS].tolist())
    keep = ~np.isin(image_ids, list(crowded))
    predictions = results(image_ids[keep], joints[keep], np.ones(keep.sum()), decimals=6)
    others = [image for image in truth.getImgIds() if image not in crowded]
    ap = float(evaluate(truth, predictions, others, skeleton, by_size=False).stats[0])
    if abs(ap - 1) > tolerance:
        raise UserError(
            f"{source}: the annotated persons as predictions score AP {100 * ap:.2f} instead of 100; "
            "the persons read and the annotation file do not belong together: make the data set again"
        )


@contextlib.contextmanager
def quiet() -> Any:
    """pycocotools prints its progress; a metric here is returned, not printed."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
