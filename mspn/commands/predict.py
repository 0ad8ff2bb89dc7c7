"""Find the joints of persons on any pictures.

Without --boxes every picture shows one person. With it, each box is a person; the file is either a mapping
  {"photo.jpg": [[x, y, width, height], ...], ...}
or COCO detections
  [{"image_id": 139, "category_id": 1, "bbox": [x, y, width, height], "score": 0.9}, ...]
where a picture may also be named by "file_name". Written to --out: predictions.json (COCO's result form, with
file names) and overlays/ with the skeletons drawn. Several checkpoints of one geometry are averaged.

Exit code 1 if a picture could not be read or a box's picture is not there; all others are done and written.
"""

import argparse
from pathlib import Path

HELP = "find joints on your own pictures"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Weights, pictures, and where the results go."""
    parser.add_argument(
        "--checkpoint", type=Path, nargs="+", required=True, metavar="F", help="weight file(s)"
    )
    parser.add_argument("--images", type=Path, required=True, metavar="PATH", help="a picture or a folder")
    parser.add_argument("--boxes", type=Path, metavar="JSON", help="boxes of the persons (see above)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the results")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(auto)")
    parser.add_argument("--json", action="store_true", help="print the results")


def run(args: argparse.Namespace) -> int:
    """Predict and print what was done; names every picture that was skipped."""
    import json
    import sys

    from mspn.evaluation.inference import load_ensemble
    from mspn.evaluation.predict import find_pictures, predict_pictures, read_boxes
    from mspn.training.hardware import pick_device

    ensemble = load_ensemble(args.checkpoint, pick_device(args.device))
    pictures = find_pictures(args.images)
    boxes = read_boxes(args.boxes) if args.boxes else None
    done = predict_pictures(ensemble, pictures, args.images, boxes, args.out)
    if args.json:
        print(json.dumps(done.results))
    else:
        print(f"{len(done.results)} persons on {len(pictures)} pictures: {args.out / 'predictions.json'}")
    for problem in done.problems:
        print(f"mspn: skipped: {problem}", file=sys.stderr)
    return 1 if done.problems else 0
