"""Write a joint set's file from annotations in COCO's layout, for data of your own: names, limbs, sigmas.

Names and limbs are those of the category of id 1; pairs go by left_ and right_, the upper body by name.
A joint that COCO has as well gets COCO's sigma; the others' are named, for you to fill in: a data set whose
joints lack one is refused. Name the file as the data set's `joints:` in a scale; coco.yaml in
mspn/experiment/joints says what else it may hold.
"""

import argparse
from pathlib import Path
from typing import Any

HELP = "write a joint set's file from annotations in COCO's layout"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("annotations", type=Path, help="such as person_keypoints_train.json")
    parser.add_argument("--out", type=Path, required=True, metavar="YAML", help="such as dog.yaml")


def run(args: argparse.Namespace) -> int:
    import yaml

    from mspn.errors import UserError
    from mspn.experiment.joint_sets import checked, load_joint_set, shipped
    from mspn.files import read_json, write_text

    if args.out.suffix != ".yaml" or args.out.stem in shipped() or args.out.exists():
        raise UserError(f"{args.out}: give a new file NAME.yaml, other than {', '.join(shipped())}")
    place = f"{args.annotations}: categories"
    names, limbs = _category(read_json(args.annotations, "annotation file"), place)
    found = checked({"name": args.out.stem, "joints": names, "limbs": limbs}, place)
    known = load_joint_set("coco").sigmas or {}
    sigmas = {joint: known[joint] for joint in found.joints if joint in known}
    lacking = [joint for joint in found.joints if joint not in known]
    value = {
        "joints": list(found.joints),
        "limbs": [list(limb) for limb in found.limbs],
        "upper_body": list(found.upper_body),
        "sigmas": sigmas,
    }
    write_text(args.out, yaml.safe_dump(value, sort_keys=False, default_flow_style=None, width=110))
    upper = ", ".join(found.upper_body)
    print(f"{args.out}: {len(found.joints)} joints, {len(found.limbs)} limbs, upper body {upper}")
    if lacking:
        print(f"sigmas to fill in: {', '.join(lacking)} (COCO's run from 0.025, eyes, to 0.107, hips)")
    return 0


def _category(value: Any, place: str) -> tuple[list[Any], list[list[Any]]]:
    """Names of the joints, and limbs as pairs of names; COCO's skeleton counts from 1."""
    from mspn.errors import UserError

    categories = value.get("categories") if isinstance(value, dict) else None
    for category in categories if isinstance(categories, list) else []:
        names = category.get("keypoints") if isinstance(category, dict) and category.get("id") == 1 else None
        if isinstance(names, list):
            limbs = category.get("skeleton", [])
            try:
                if not all(number >= 1 for limb in limbs for number in limb):
                    raise IndexError
                return names, [[names[a - 1], names[b - 1]] for a, b in limbs]
            except (IndexError, TypeError, ValueError):
                raise UserError(f"{place}: skeleton: not pairs of numbers from 1 to {len(names)}") from None
    raise UserError(f"{place}: none of id 1 with a list of keypoints")
