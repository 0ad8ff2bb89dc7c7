"""Joint sets from files: those of this program, one's own, and what is refused with which words."""

import json
import subprocess
import sys

import pytest
import yaml
from pycocotools.cocoeval import Params

from mspn.commands.cli import main
from mspn.data.skeletons import COCO, LSP, MPII, skeleton, skeleton_of_weights
from mspn.errors import UserError
from mspn.experiment.joint_sets import load_joint_set, shipped

JOINTS = ["neck", "left_ear", "right_ear", "left_paw", "right_paw", "tail_tip"]
SIGMAS = dict.fromkeys(JOINTS, 0.05)
OWN = {"joints": JOINTS, "limbs": [["neck", "left_paw"], ["neck", "right_paw"]], "sigmas": SIGMAS}


def write(folder, name="dog.yaml", **changes):
    value = {key: entry for key, entry in (OWN | changes).items() if entry is not None}
    path = folder / name
    path.write_text(yaml.safe_dump(value))
    return str(path)


def test_the_sets_of_this_program():
    assert shipped() == ["coco", "lsp", "mpii"]
    assert [len(one.joints) for one in (COCO, LSP, MPII)] == [17, 14, 16]
    # COCO's as pycocotools and its annotations have them.
    assert COCO.sigmas == pytest.approx(Params("keypoints").kpt_oks_sigmas)
    assert COCO.joints[:5] == ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
    assert COCO.limbs[:2] == ((15, 13), (13, 11)) and COCO.upper_body == tuple(range(13))
    assert COCO.mirrored.tolist() == [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
    # The protocol's mirror pairs of MPII.
    assert MPII.mirror_pairs == ((0, 5), (1, 4), (2, 3), (10, 15), (11, 14), (12, 13))
    assert MPII.sigmas is None


def test_ones_own(tmp_path):
    found = skeleton(write(tmp_path))
    assert found.name == "dog" and found.mirror_pairs == ((1, 2), (3, 4)) and found.limbs == ((0, 3), (0, 4))
    assert found.upper_body == (0, 1, 2)  # by the joints' names
    assert skeleton(write(tmp_path, upper_body=["tail_tip"])).upper_body == (5,)


def test_what_decides_a_training(tmp_path):
    """Neither sigmas nor limbs nor the file's name; order and upper body do."""
    first = load_joint_set(write(tmp_path)).identity
    others = {"sigmas": dict.fromkeys(JOINTS, 0.1), "limbs": None}
    assert load_joint_set(write(tmp_path, "cat.yaml", **others)).identity == first
    assert load_joint_set(write(tmp_path, upper_body=["neck"])).identity != first
    assert load_joint_set(write(tmp_path, joints=JOINTS[::-1])).identity != first
    assert load_joint_set("coco").identity == "coco"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"sigmas": {"neck": 0.1, "left_paw": 0.1}},
            "sigmas: none for left_ear, right_ear, right_paw, tail_tip;",
        ),
        ({"sigmas": SIGMAS | {"nose": 0.1}}, "sigmas: not among the joints: nose"),
        ({"sigmas": SIGMAS | {"neck": -1}}, "sigmas.neck: Input should be greater than 0"),
        ({"sigmas": SIGMAS | {"neck": float("nan")}}, "sigmas.neck"),
        ({"joints": ["neck", "left_paw"]}, "joints: without the other side's: left_paw"),
        ({"joints": ["neck", "tail", "neck"]}, "joints: there twice: neck"),
        ({"joints": ["a b", "neck"]}, "joints.0: String should match"),
        ({"joints": "neck"}, "joints"),
        ({"joints": ["tail", "trunk"]}, "upper_body: the names of the joints do not tell it"),
        ({"limbs": [["neck", "nose"]]}, "limbs: not among the joints: nose"),
        ({"upper_body": ["nose"]}, "upper_body: not among the joints: nose"),
        ({"pck": {"PCK": {"ends": ["neck", "hip"], "share": 0.2}}}, "pck: not among the joints: hip"),
        ({"sigma": {}}, "sigma: Extra inputs are not permitted"),
    ],
)
def test_what_is_refused(tmp_path, changes, message):
    with pytest.raises(UserError) as error:
        load_joint_set(write(tmp_path, **changes))
    assert "dog.yaml: not a joint set" in str(error.value) and message in str(error.value)


def test_files_that_are_none(tmp_path):
    with pytest.raises(UserError, match="unknown joint set 'cocoo'; there are: coco, lsp, mpii"):
        load_joint_set("cocoo")
    with pytest.raises(UserError, match=r"none\.yaml: no such joint set"):
        load_joint_set(str(tmp_path / "none.yaml"))
    with pytest.raises(UserError, match=r"coco\.yaml: 'coco' is a joint set of this program"):
        load_joint_set(write(tmp_path, "coco.yaml"))
    for text, message in (("a: [", "not valid YAML"), ("[1]", "a mapping")):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(UserError, match=message):
            load_joint_set(str(tmp_path / "bad.yaml"))


def test_nothing_here_imports_torch():
    code = "import sys; from mspn.data import skeletons; assert not {'torch', 'scipy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def annotations(folder, **changes):
    category = {
        "id": 1,
        "name": "dog",
        "keypoints": ["nose", "left_paw", "right_paw"],
        "skeleton": [[1, 2], [1, 3]],
    }
    path = folder / "annotations.json"
    path.write_text(json.dumps({"categories": [{"id": 7, "name": "cat"}, category | changes]}))
    return str(path)


def test_a_file_from_annotations(tmp_path, capsys):
    out = tmp_path / "dog.yaml"
    assert main(["joints", annotations(tmp_path), "--out", str(out)]) == 0
    assert "sigmas to fill in: left_paw, right_paw" in capsys.readouterr().out
    with pytest.raises(UserError, match="sigmas: none for left_paw, right_paw"):
        load_joint_set(str(out))
    value = yaml.safe_load(out.read_text())
    value["sigmas"] |= {"left_paw": 0.1, "right_paw": 0.1}
    out.write_text(yaml.safe_dump(value))
    found = skeleton(str(out))
    assert found.limbs == ((0, 1), (0, 2)) and found.upper_body == (0,) and found.sigmas == (0.026, 0.1, 0.1)
    assert main(["joints", annotations(tmp_path), "--out", str(out)]) == 2
    assert "give a new file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"skeleton": [[1, 4]]}, "skeleton: not pairs of numbers from 1 to 3"),
        ({"skeleton": [[0, 1]]}, "skeleton: not pairs"),
        ({"skeleton": [["a", 1]]}, "skeleton: not pairs"),
        ({"skeleton": 3}, "skeleton: not pairs"),
        ({"id": 2}, "categories: none of id 1"),
        ({"keypoints": None}, "categories: none of id 1"),
        ({"keypoints": ["nose", "left_paw", 3]}, "joints.2"),
        ({"keypoints": ["nose", "left_paw", "tail"]}, "without the other side's: left_paw"),
    ],
)
def test_annotations_that_tell_no_joint_set(tmp_path, changes, message, capsys):
    assert main(["joints", annotations(tmp_path, **changes), "--out", str(tmp_path / "dog.yaml")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "dog.yaml").exists()


def test_what_a_weight_file_says_of_its_joints(tmp_path):
    own = load_joint_set(write(tmp_path)).model_dump(mode="json")
    assert skeleton_of_weights({"joint_set": "mpii"}) == MPII
    assert skeleton_of_weights({"joint_set": "dog", "joints": own}) == skeleton(str(tmp_path / "dog.yaml"))
    for header, message in (
        ({"joint_set": "dog"}, "unknown joint set 'dog'; there are: coco, lsp, mpii"),
        ({"joint_set": str(tmp_path / "dog.yaml")}, "unknown joint set"),  # a header reads no files
        ({"joint_set": "coco", "joints": own | {"name": "coco"}}, "joints say 'coco'"),
        ({"joint_set": "cat", "joints": own}, "joint_set 'cat': joints say 'dog'"),
        ({"joint_set": "dog", "joints": {**own, "joints": 3}}, "joints: not a joint set"),
        ({"joint_set": "dog", "joints": []}, "joints: not a joint set"),
    ):
        with pytest.raises(UserError, match=message):
            skeleton_of_weights(header)
