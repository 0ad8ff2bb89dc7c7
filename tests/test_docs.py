"""The documents are true to the repository: links, anchors, files, scales, and every command's options."""

import argparse
import contextlib
import csv
import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from mspn.commands.cli import build_parser
from mspn.experiment.config import CONFIG, Scale
from mspn.experiment.load import load_experiment
from mspn.experiment.scale_file import RECIPES

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "config/README.md",
    *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
]
SCALES = {path.stem for path in (ROOT / CONFIG / "scales").glob("*.yaml")}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
CODE = re.compile(r"`([^`\n]+)`")
# Where paths begin that users, runs or sites put there, and which a checkout has not.
ELSEWHERE = re.compile(
    r"(data|results|reports|profiles|evidence|downloads|photos|found|trip|annotations|images|tools|overlays|tables|figures)/"
)
KEPT = re.compile(r"(results/reference|reports/paper)/")


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def prose(page: str) -> str:
    """A page without its blocks of code."""
    return FENCE.sub("", text_of(page))


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def commands(page: str) -> list[str]:
    """The lines of a page's shell blocks, continued ones joined, without comments and empty ones."""
    blocks = [body for kind, body in FENCE.findall(text_of(page)) if kind in ("sh", "bash")]
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


def words(line: str, program: str) -> list[str]:
    """What follows a program's name in a line of shell, up to a pipe or a redirection; nothing without it."""
    found = shlex.split(line, comments=True)
    starts = [n for n, word in enumerate(found) if Path(word).name == program and "=" not in word]
    # `docker run mspn` names an image, `--entrypoint mspn mspn` the program and then the image.
    if not starts or (found[0] in ("docker", "apptainer") and program == "mspn"):
        return []
    rest = found[starts[0] + 1 :]
    return rest[: next((n for n, word in enumerate(rest) if word in ("|", ">", "&&", ";")), len(rest))]


def parsers() -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    """Every verb, sub-verbs included, and its parser."""

    def below(
        parser: argparse.ArgumentParser, name: tuple[str, ...]
    ) -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
        yield name, parser
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for verb, sub in action.choices.items():
                    yield from below(sub, (*name, verb))

    return below(build_parser(), ())


VERBS = dict(parsers())


def verb_of(said: list[str]) -> tuple[tuple[str, ...], argparse.ArgumentParser]:
    """The longest verb that words begin with."""
    name: tuple[str, ...] = ()
    for word in said:
        if (*name, word) not in VERBS:
            break
        name = (*name, word)
    return name, VERBS[name]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"https?://|mailto:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), f"{page}: {target}"
        assert ROOT in file.resolve().parents, f"{page}: {target} leads out of the repository"
        assert not anchor or anchor in anchors(file.read_text(encoding="utf-8")), f"{page}: {target}"


def test_every_page_is_in_the_index_and_the_index_in_the_readme():
    index = prose("docs/README.md")
    missing = [p for p in PAGES if p.startswith("docs/") and f"({Path(p).name})" not in index]
    assert missing == ["docs/README.md"]
    assert "(docs/README.md)" in prose("README.md")


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_exist(page):
    """Paths in the text, and in commands and examples where they begin with a folder of the repository."""
    own = "|".join(sorted(path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "."))
    blocks = "\n".join(body for _, body in FENCE.findall(text_of(page)))
    named = [code for code in CODE.findall(prose(page)) if re.fullmatch(r"[\w.-]+/[\w./*{},-]*", code)]
    named += re.findall(rf"(?<![\w/.$])(?:{own})/[\w./*-]*\w", blocks)
    for path in named:
        if ELSEWHERE.match(path) and not KEPT.match(path):
            continue
        places = (ROOT, ROOT / "mspn", (ROOT / page).parent)
        assert any(list(place.glob(path.rstrip("/"))) for place in places), f"{page}: {path}"


@pytest.mark.parametrize("page", PAGES)
def test_commands_are_parsed_as_written(page):
    for line in commands(page):
        said = words(line, "mspn")
        if said and not {"--help", "-h"} & set(said):
            errors = io.StringIO()
            try:
                with contextlib.redirect_stderr(errors):
                    build_parser().parse_args(said)
            except SystemExit:
                pytest.fail(f"{page}: {line}: {errors.getvalue().splitlines()[-1]}")


@pytest.mark.parametrize("page", PAGES)
def test_verbs_and_options_in_the_text_exist(page):
    for code in CODE.findall(prose(page)):
        if not code.startswith("mspn ") or re.match(r"mspn (VERB|-)", code):
            continue
        said = shlex.split(code)[1:]
        name, parser = verb_of(said)
        assert name, f"{page}: `{code}`: no such verb"
        known = {option for action in parser._actions for option in action.option_strings}
        used = {word.partition("=")[0] for word in said if word.startswith("--")}
        assert used <= known, f"{page}: `{code}`: no option {used - known}"


@pytest.mark.parametrize("page", PAGES)
def test_snakemake_takes_its_options_as_written(page):
    from snakemake.cli import get_argument_parser

    parser = get_argument_parser()
    lines = [line for line in commands(page) if words(line, "snakemake")]
    for said in [words(line, "snakemake") for line in lines]:
        with contextlib.redirect_stderr(io.StringIO()):
            _, unknown = parser.parse_known_args(said)
        assert not unknown, f"{page}: {said}"


@pytest.mark.parametrize("page", PAGES)
def test_scales_that_are_named_exist(page):
    found = re.findall(r"(?:--config scale=|--scale[ =]|the scale `)([\w./-]+)", text_of(page))
    found += re.findall(r"(?<![\w-])scale=([\w./-]+)", text_of(page))
    unknown = {name for name in found if not name.endswith(".yaml")} - SCALES - {"NAME"}
    assert not unknown, f"{page}: {unknown}"


def test_the_page_of_scales_has_all_of_them_their_keys_and_the_recipes():
    first = set(re.findall(r"^\| (`[^|]+)\|", prose("docs/scales.md"), re.M))
    named = {name for cell in first for name in CODE.findall(cell)}
    recipes = set(yaml.safe_load((ROOT / RECIPES).read_text()))
    keys = set(Scale.model_fields) - {"name"}
    assert named == SCALES | recipes | keys


def test_scales_of_ones_own_load_as_written(tmp_path, monkeypatch):
    """The examples of YAML, under the names in their first lines; joints as `mspn joints` writes them."""
    for name in ("workflow", "reports"):
        (tmp_path / name).symlink_to(ROOT / name)
    joints = ["nose", "left_paw", "right_paw", "tail"]
    dog = {"joints": joints, "upper_body": ["nose"], "sigmas": dict.fromkeys(joints, 0.08)}
    (tmp_path / "dog.yaml").write_text(yaml.safe_dump(dog))
    monkeypatch.chdir(tmp_path)
    blocks = [body for page in PAGES for kind, body in FENCE.findall(text_of(page)) if kind == "yaml"]
    names = [re.match(r"# (my-[\w-]+)\.yaml", body) for body in blocks]
    assert len(blocks) >= 2 and all(names)
    for match, body in zip(names, blocks, strict=True):
        assert match
        Path(f"{match[1]}.yaml").write_text(body)
        assert load_experiment(f"{match[1]}.yaml").scale.name == match[1]


def test_the_page_of_flops_has_what_is_counted():
    """Each printed figure of the paper's own networks with ours, as the reference run's report has it."""
    path = ROOT / "results/reference/bench/results/bench/flops/flops.csv"
    with path.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["printed"]]
    own = [row for row in rows if not row["run"].startswith(("simple-baseline", "hrnet"))]
    page = prose("docs/flops.md")
    for row in own:
        assert f"| {row['printed']} | {float(row['gflops_paper_convention']):.3f}" in page, row["run"]
    met = sum(row["verdict"] == "match" for row in own)
    assert f"paper's {len(own)} printed figures {met} are met" in prose("README.md")
