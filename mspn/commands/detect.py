"""Write a detector's boxes on a data set's validation split, in COCO's result format, and measure their box
AP.

true boxes (kind truth): those of annotated persons that are not crowd and have a labelled joint, score 1;
simulated: every annotated person's box made worse until pycocotools measures the wanted AP; file: the best
100 boxes of each image over all categories, then persons. Box AP is over all annotated persons, labelled
joints or not, crowd ignored: true boxes measure below 100 where persons without joints are annotated. MPII
has no such measure.
"""

import argparse

HELP = "write a detector's boxes and measure their AP"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scale", default="demo", help="the scale (default: %(default)s)")
    parser.add_argument("--dataset", default="coco", help="a data set of the scale (default: coco)")
    parser.add_argument("--detector", required=True, help="a detector of the scale, such as gt or det-49.4")


def run(args: argparse.Namespace) -> int:
    from mspn.data.detectors import BOXES_HASH, detect
    from mspn.data.load import is_mpii, load_annotations, load_split
    from mspn.errors import UserError
    from mspn.experiment.load import load_experiment
    from mspn.files import sha256, write_json, write_sealed

    experiment = load_experiment(args.scale)
    detectors, datasets = experiment.scale.detectors, experiment.scale.datasets
    if args.detector not in detectors:
        raise UserError(
            f"scale {args.scale}: no detector {args.detector!r}; there are: {', '.join(detectors)}"
        )
    if args.dataset not in datasets:
        raise UserError(f"scale {args.scale}: no data set {args.dataset}; there are: {', '.join(datasets)}")
    data, root = datasets[args.dataset], experiment.data_folder(args.dataset)
    persons = load_split(data, root, "val", check_pictures=False)
    annotations = None if is_mpii(data) else load_annotations(data, root, "val")
    detections, metrics = detect(detectors[args.detector], persons, annotations)
    path = experiment.boxes_file(args.dataset, args.detector)
    metrics = {"scale": args.scale, "dataset": args.dataset, "detector": args.detector, **metrics}
    write_json(path, detections, indent=None)
    write_sealed(path.with_suffix(".metrics.json"), {**metrics, BOXES_HASH: sha256(path)})
    ap = "not defined" if metrics["box_ap"] is None else f"{metrics['box_ap']:.2f}"
    print(f"{path}: {len(detections)} boxes on {metrics['images']} images, box AP {ap}")
    return 0
