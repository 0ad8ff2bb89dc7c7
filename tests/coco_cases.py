"""Small made-up COCO data sets and predictions for the tests of metrics."""

import json
from pathlib import Path
from typing import Any

import numpy as np


def dataset(rng: np.random.Generator, images: int = 12, most: int = 4) -> dict[str, Any]:
    """Persons of all sizes, some crowds, some without joints, some images without anybody."""
    annotations: list[dict[str, Any]] = []
    for image in range(1, images + 1):
        for _ in range(rng.integers(0, most + 1)):
            x, y = rng.uniform(0, 300, 2)
            w, h = rng.uniform(20, 150, 2)
            labelled = rng.random(17) < rng.choice([0.0, 0.5, 0.9])
            joints = np.stack([rng.uniform(x, x + w, 17), rng.uniform(y, y + h, 17), np.full(17, 2)], axis=1)
            joints[~labelled] = 0
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": 1,
                    "bbox": [x, y, w, h],
                    "area": w * h * 0.6,
                    "iscrowd": int(rng.random() < 0.1),
                    "keypoints": joints.round(2).ravel().tolist(),
                    "num_keypoints": int(labelled.sum()),
                }
            )
    return {
        "info": {},
        "images": [
            {"id": i, "file_name": f"{i}.png", "width": 640, "height": 480} for i in range(1, images + 1)
        ],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person"}],
    }


def predictions(
    rng: np.random.Generator, data: dict[str, Any], levels: int = 0, extra: float = 0.5
) -> list[dict[str, Any]]:
    """Truth with noise of very different sizes, some persons missing, some made up.

    ``levels``: scores take that many values only, so that many are equal.
    """
    results = []
    for annotation in data["annotations"]:
        for _ in range(rng.integers(0, 3)):
            joints = np.array(annotation["keypoints"]).reshape(17, 3)
            joints[:, :2] += rng.normal(0, rng.choice([0.5, 3, 8, 30]), (17, 2))
            results.append((annotation["image_id"], joints))
    for image in data["images"]:
        if rng.random() < extra:
            results.append((image["id"], rng.uniform(0, 400, (17, 3))))
    scores = rng.random(len(results))
    if levels:
        scores = np.ceil(scores * levels) / levels
    return [
        {"image_id": image, "category_id": 1, "keypoints": joints.ravel().tolist(), "score": float(score)}
        for (image, joints), score in zip(results, scores, strict=True)
    ]


def write(folder: Path, data: dict[str, Any]) -> Path:
    """The data set as an annotation file."""
    path = folder / "person_keypoints_val.json"
    path.write_text(json.dumps(data))
    return path
