"""Find the joints of persons on any pictures.

Give --boxes, COCO results of any detector:
  [{"image_id": 139, "category_id": 1, "bbox": [x, y, width, height], "score": 0.9}, ...]
where a picture may also be called by "file_name", or a mapping
  {"photo.jpg": [[x, y, width, height], ...], ...}
or COCO annotations, for the boxes that they have. Without it each picture is taken as one person, from edge
to edge.

Written to --out: predictions.jsonl, a line per person as it is found; predictions.json, the same as COCO
results; overlays/, the pictures with boxes and skeletons, in which joints are thin that are not above the
threshold; summary.json, what was done and all that was left out. Several checkpoints of one geometry are
averaged.

What cannot be used is left out and named, and the others are done. Exit code 0 if a person was done, 1 if
none was; stopped by Ctrl-C or SIGTERM it writes what it has and ends with 130 or 143. See docs/predict.md.
"""

import argparse
from pathlib import Path
from typing import Any

HELP = "find joints on your own pictures"
LISTED = 20  # unreadable pictures named on the screen
EXAMPLES = 3  # named of all else


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--checkpoint", type=Path, nargs="+", required=True, metavar="F", help="weight file(s)")
    add("--images", type=Path, nargs="+", required=True, metavar="PATH", help="pictures, or folders of them")
    add("--boxes", type=Path, metavar="JSON", help="boxes of the persons (see above)")
    add("--out", type=Path, required=True, metavar="DIR", help="folder of the results")
    add("--threshold", type=float, default=0.6, help="score above which a joint is drawn thick (0.6)")
    add("--batch", type=int, default=32, help="persons per pass, across pictures (32)")
    add("--threads", type=int, default=1, help="CPU threads of torch (1)")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(auto)")
    add("--json", action="store_true", help="print the summary as JSON")


def run(args: argparse.Namespace) -> int:
    import json
    import warnings

    import torch
    from tqdm import tqdm

    from mspn.data.notes import Notes
    from mspn.data.photos import find_photos, read_boxes
    from mspn.errors import UserError
    from mspn.evaluation.inference import load_ensemble
    from mspn.evaluation.predict import OVERLAYS, predict_photos
    from mspn.files import writing
    from mspn.training.hardware import pick_device
    from mspn.training.train import Stop

    if args.batch < 1 or args.threads < 1 or args.threshold != args.threshold:
        raise UserError("--batch and --threads must be 1 or more, --threshold a number")
    torch.set_num_threads(args.threads)
    warnings.filterwarnings("ignore", module=r"PIL\.")  # of damaged heads, without the file's name
    ensemble = load_ensemble(args.checkpoint, pick_device(args.device))
    notes = Notes("predict")
    photos = find_photos(args.images, args.out, notes)
    boxes = read_boxes(args.boxes, photos, notes) if args.boxes else None
    stop = Stop()
    with writing(args.out), stop.on_signals(), tqdm(total=len(photos), unit="picture", disable=None) as bar:
        (args.out / OVERLAYS).mkdir(parents=True, exist_ok=True)
        how = {"threshold": args.threshold, "batch": args.batch, "stop": stop, "seen": bar.update}
        summary = predict_photos(ensemble, photos, boxes, args.out, notes, **how)
    print(json.dumps(summary) if args.json else "\n".join(_told(summary, args.out)))
    _tell_left_out(summary["left_out"], args.out)
    if stop.signal and summary["stopped_by"]:
        return 128 + stop.signal
    return 0 if summary["persons"] else 1


def _told(summary: dict[str, Any], out: Path) -> list[str]:
    lines = [
        f"{summary['persons']} persons on {summary['predicted']} of {summary['pictures']} pictures, "
        f"{summary['joints_above_threshold']} of {summary['joints']} joints above the threshold "
        f"{summary['threshold']:g}: {out}"
    ]
    if summary["stopped_by"]:
        lines.append(f"stopped by {summary['stopped_by']} before the end; what was done is written")
    if summary["whole_pictures"]:
        lines.append("no --boxes: each picture taken as one person, from edge to edge")
    elif summary["without_box"]:
        lines.append(f"{summary['without_box']} pictures have no box of a person")
    if summary["joints_outside"]:
        lines.append(
            f"{summary['joints_outside']} joints lie outside their picture; they are drawn thin, at its edge"
        )
    return lines


def _tell_left_out(left_out: dict[str, Any], out: Path) -> None:
    import sys

    from mspn.evaluation.predict import SUMMARY, UNREADABLE

    shortened = False
    for rule, told in left_out.items():
        unreadable = rule == UNREADABLE
        which = told["which"][: LISTED if unreadable else EXAMPLES]
        named = [text if text.isprintable() else ascii(text) for text in which]
        if len(which) < len(told["which"]):
            named.append("...")
            shortened = True
        start, between = ("\n  ", "\n  ") if unreadable else (" ", ", ")
        print(f"mspn: left out: {told['count']} {rule}:{start}{between.join(named)}", file=sys.stderr)
    if shortened:
        print(f"mspn: all of them are named in {out / SUMMARY}", file=sys.stderr)
