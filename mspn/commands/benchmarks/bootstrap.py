"""Bootstrap replicates of COCO's ten figures per second, on made-up matches of COCO's size.

By default 5,000 images with some 11,000 persons and 50,000 detections, as in COCO's validation split with a
detector's boxes. One thread; processor time.
"""

import argparse
import json
import time
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mspn.evaluation.metrics.bootstrap import Matches

HELP = "bootstrap: replicates per second at COCO's size"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", type=int, default=5000, help="images (5000)")
    parser.add_argument("--replicates", type=int, default=1000, help="replicates (1000)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    from mspn.evaluation.metrics.bootstrap import replicates

    matches = made_up(args.images)
    start = time.process_time()
    values = replicates(matches, seed=0, count=args.replicates)
    seconds = time.process_time() - start
    spread = float(100 * np.nanstd(values[:, 0]))
    if args.json:
        print(json.dumps({"seconds": seconds, "replicates": args.replicates, "images": args.images}))
    else:
        print(
            f"{args.replicates} replicates of ten figures on {args.images} images, "
            f"{len(matches.scores)} detections: {seconds:.2f} s (AP's standard deviation {spread:.2f})"
        )
    return 0


def made_up(images: int) -> "Matches":
    """Matches as an evaluation gives them: better detections are hits at more thresholds and score higher."""
    from mspn.evaluation.metrics.bootstrap import Matches

    rng = np.random.default_rng(0)
    persons = rng.poisson(2.2, images)
    detections = persons + rng.poisson(8, images)
    image = np.repeat(np.arange(images, dtype=np.int32), detections)
    about = rng.random(len(image)) < persons.sum() / len(image)
    quality = np.where(about, rng.beta(4, 1.5, len(image)), 0)
    scores = 0.6 * quality + 0.4 * rng.random(len(image))
    order = np.argsort(-scores, kind="stable")
    quality, large = quality[order], (rng.random(len(image)) < 0.5)
    hit = quality >= np.linspace(0.5, 0.95, 10)[:, None]
    aside = np.broadcast_to(rng.random(len(image)) < 0.05, hit.shape)
    ignored = np.stack([aside, aside | large, aside | ~large])
    medium = persons // 2
    counts = np.stack([persons, medium, persons - medium]).astype(np.int32)
    return Matches(np.arange(images), image[order], scores[order], hit & ~ignored, ignored, counts)
