"""The configuration: what is accepted, and what a person is told when something is not."""

import json
from itertools import pairwise
from pathlib import Path

import jsonschema
import pytest
import yaml

from mspn.errors import UserError
from mspn.experiment.config import CocoData, parse_size
from mspn.experiment.scale_file import load_scale
from mspn.experiment.schema import scale_schema

SCALES = sorted(path.stem for path in Path("workflow/config/scales").glob("*.yaml"))


@pytest.mark.parametrize("name", SCALES)
def test_every_scale_in_the_repository_is_valid(name):
    assert load_scale(name).name == name


def test_the_schema_for_editors_is_the_models_and_takes_every_scale():
    text = Path("workflow/schemas/scale.schema.json").read_text()
    schema = json.loads(text)
    assert schema == scale_schema(), "mspn schema > workflow/schemas/scale.schema.json"
    for name in SCALES:
        jsonschema.validate(yaml.safe_load(Path(f"workflow/config/scales/{name}.yaml").read_text()), schema)
    for wrong in (
        {"widht": 1},
        {"datasets": {"coco": {"imagess": 3}}},
        {"recipes": {"coco": {"lr": "5e-4"}}},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    return str(path)


def test_all_mistakes_are_listed_with_place_and_allowed_values(tmp_path):
    text = """
extends: demo
nam: own
width: wide
recipes: {coco: {batch_size: 3}}
search: {candidates: [{rate: 1}, {lr: 0.1}], rounds: [{iterations: 1, keep: 1}]}
tuned: {mspn: {momentum: 0.9}}
crops: {size: 3}
datasets: {coco: {imagess: 3}}
"""
    with pytest.raises(UserError) as error:
        load_scale(write(tmp_path, text))
    message = str(error.value)
    assert "own.yaml: 8 wrong" in message
    assert "nam: unknown key; allowed: name," in message
    assert "recipes.coco.batch_size: unknown key; allowed: batch, norm_batch" in message
    assert "datasets.coco.synth.imagess: unknown key; allowed: kind, layout" in message
    assert "search.candidates.0.rate: unknown key; allowed: lr, iterations, precision" in message
    assert "tuned.mspn.momentum: unknown key; allowed: lr," in message
    assert "crops.Store.size: unknown key; allowed: form, oversampling" in message
    assert "width: " in message and "'wide'" in message


BOMB = "".join(f"{b}: &{b} [{','.join(10 * [f'*{a}'])}]\n" for a, b in pairwise("abcdefg"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1, 2]", "mapping"),
        ("a: [", "not valid YAML"),
        ("extends: nowhere", "no such scale; there are: "),
        ("extends: dmeo", "no such scale; did you mean demo? there are: "),
        ("extends: OWN", "extends itself"),
        ("extends: OTHER", "extends itself, by way of"),
        ("extends: demo\nseeds: [0, -1]", "greater than or equal to 0"),
        ("extends: demo\nseeds: [true]", "valid integer"),
        ("extends: demo\nbootstrap: 1000000000000", "less than or equal to"),
        ("extends: demo\ndatasets: {coco: {train_images: 0}}", "greater than 0"),
        ("extends: demo\nseeds: [1, 1]", "a seed is there twice"),
        ("extends: demo\nrecipes: {coco: {lr: .inf}}", "finite"),
        ("extends: demo\nrecipes: {coco: {warmup_iterations: 1000}}", "the warm-up must end before"),
        ("extends: demo\nrecipes: {coco: {norm_batch: 5}}", "norm_batch 5 does not divide the batch, 16"),
        ("extends: demo\nevaluate_on: [best]", "unknown ['best']"),
        ("extends: demo\nstand_in: {det-49.4: best}", "stand_in: unknown ['best']"),
        ("extends: demo\ninputs: {256x192: 96by72}", "HEIGHTxWIDTH"),
        ("extends: demo\ndatasets: {coco: {kind: cocoo}}", "'coco'"),
        ("extends: demo\ninputs: {256x192: [0, -4]}", "HEIGHTxWIDTH"),
        ("extends: demo\ninputs: {256x192: [99999999999999999999, 4]}", "HEIGHTxWIDTH"),
        ("extends: demo\nseeds: [1]\nseeds: [2]", "the key 'seeds' is there twice"),
        ("extends: demo\nseeds: &s [1, *s]", "an alias contains itself"),
        ("a: &a [1,1,1,1,1,1,1,1,1,1]\n" + BOMB, "more than 200000 values"),
        ("extends: demo\nseeds: [" + 5000 * "1" + "]", "not valid YAML"),
        (99_999 * "[", "not valid YAML"),
        ("extends: demo\ndetectors: {../../../evil: {kind: truth}}", "should match pattern"),
        ("extends: demo\ndetectors: {GT: {kind: truth}}", "should match pattern"),
        ("extends: demo\ndetectors: {'gt\\n': {kind: truth}}", "should match pattern"),
        ("extends: demo\ndetectors: {-x: {kind: truth}}", "should match pattern"),
        (f"extends: demo\ndetectors: {{{300 * 'x'}: {{kind: truth}}}}", "at most 60 characters"),
        (f"extends: demo\nname: {300 * 'x'}", "at most 60 characters"),
        ("extends: demo\ndatasets: {coco: {kind: coco, root: 'data/{run}'}}", "braces"),
        ("extends: demo\npretrained: --help", "must not begin with '-'"),
    ],
)
def test_bad_files_are_refused_with_the_reason(tmp_path, text, expected):
    with pytest.raises(UserError, match=r"own\.yaml|nowhere|dmeo") as error:
        (tmp_path / "other.yaml").write_text(f"extends: {tmp_path}/own.yaml")
        text = text.replace("OWN", f"{tmp_path}/own.yaml").replace("OTHER", f"{tmp_path}/other.yaml")
        load_scale(write(tmp_path, text))
    assert expected in str(error.value)


def test_a_change_of_kind_replaces_the_whole_entry(tmp_path):
    scale = load_scale(write(tmp_path, "extends: demo\ndatasets: {coco: {kind: coco, root: x}}"))
    assert scale.datasets["coco"].kind == "coco"
    assert scale.datasets["mpii"] == load_scale("demo").datasets["mpii"]


def test_a_scales_name_is_its_files_own(tmp_path):
    assert load_scale(write(tmp_path, "extends: demo\ndescription: x")).name == "own"
    assert load_scale(write(tmp_path, "extends: demo\nname: given")).name == "given"
    heir = tmp_path / "heir.yaml"
    heir.write_text(f"extends: {tmp_path / 'own.yaml'}")
    assert load_scale(str(heir)).name == "heir"


def test_environment_variables_have_a_default(tmp_path, monkeypatch):
    path = write(tmp_path, 'extends: demo\ndatasets: {coco: {kind: coco, root: "${OWN_COCO:-data/coco}"}}')

    def root() -> Path:
        data = load_scale(path).datasets["coco"]
        assert isinstance(data, CocoData)
        return data.root

    assert root() == Path("data/coco")
    monkeypatch.setenv("OWN_COCO", "/elsewhere")
    assert root() == Path("/elsewhere")


def test_sizes_are_height_by_width_in_multiples_of_four():
    assert parse_size("256x192") == (256, 192)
    for wrong in ("256", "255x192", "0x4", "256x192x3", "-4x4"):
        with pytest.raises(ValueError, match="HEIGHTxWIDTH"):
            parse_size(wrong)
