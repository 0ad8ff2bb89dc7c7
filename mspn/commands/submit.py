"""Write the file that a test server takes: COCO's test-dev or test-challenge, or MPII's test.

COCO needs --image-info (image_info_test-dev2017.json; for the challenge image_info_test2017.json), --images
(test2017/) and --boxes (detections on those images). MPII needs --annotations (the official
mpii_human_pose_v1_u12_1.mat) and --images. Several checkpoints of one geometry are averaged. The predictions
are checked first; nothing is written that the server would refuse. What they score only the server knows.
"""

import argparse
from pathlib import Path

HELP = "write a submission for COCO's or MPII's test server"
SERVERS = ("coco-test-dev", "coco-test-challenge", "mpii-test")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("server", choices=SERVERS)
    parser.add_argument(
        "--checkpoint", type=Path, nargs="+", required=True, metavar="F", help="weight file(s)"
    )
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="the test pictures")
    parser.add_argument("--image-info", type=Path, metavar="JSON", help="COCO's list of test images")
    parser.add_argument("--boxes", type=Path, metavar="JSON", help="COCO: detections on the test images")
    parser.add_argument("--annotations", type=Path, metavar="MAT", help="MPII's official release")
    parser.add_argument("--algorithm", default="MSPN", help="COCO: the name within the file's name (MSPN)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the submission")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(auto)")
    parser.add_argument("--batch", type=int, default=32, help="crops per pass (32)")
    parser.add_argument("--workers", type=int, default=0, help="threads that read pictures ahead (0)")


def run(args: argparse.Namespace) -> int:
    import numpy as np

    from mspn.data.persons import Persons
    from mspn.errors import UserError
    from mspn.evaluation import submission
    from mspn.evaluation.evaluate import joints_by_way, joints_of
    from mspn.evaluation.inference import load_ensemble
    from mspn.evaluation.metrics import coco
    from mspn.evaluation.protocols import PROTOCOLS
    from mspn.training.hardware import pick_device

    mpii = args.server == submission.MPII_SERVER
    needed = ("annotations",) if mpii else ("image_info", "boxes")
    missing = [f"--{key.replace('_', '-')}" for key in needed if getattr(args, key) is None]
    if missing:
        raise UserError(f"{args.server} needs {', '.join(missing)}")
    ensemble = load_ensemble(args.checkpoint, pick_device(args.device))
    wanted = "mpii" if mpii else "coco"
    if ensemble.skeleton.name != wanted:
        raise UserError(
            f"{args.checkpoint[0]}: predicts {ensemble.skeleton.name} joints, {args.server} wants {wanted}"
        )
    paper = PROTOCOLS["paper"]

    def joints_on(boxes: Persons) -> np.ndarray:
        found = joints_by_way(ensemble, boxes, [paper], batch=args.batch, workers=args.workers)
        return found[joints_of(paper)]

    if mpii:
        test = submission.read_mpii_test(args.annotations, args.images)
        joints = joints_on(test.persons)
        by_person = dict(zip(test.persons.ids.tolist(), joints, strict=True))
        path = submission.write_mpii(args.out, test, by_person)
    else:
        from mspn.data.load import load_detections

        pictures = submission.coco_pictures(args.image_info, args.images)
        boxes = load_detections(args.boxes, pictures)
        joints = joints_on(boxes)
        scores = joints[..., 2].mean(axis=1) * boxes.scores
        results = coco.results(boxes.image_ids, joints, scores)
        path = submission.write_coco(args.out, args.server, args.algorithm, results, set(pictures.pictures))
    print(f"{path}: checked; its test figure is the server's to give")
    return 0
