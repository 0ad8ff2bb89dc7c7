"""From a scale's name to its experiment: the grid's runs, what searches and budgets add, all checked."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from mspn.errors import UserError, did_you_mean
from mspn.experiment.config import CocoData, Scale, SynthData, joint_set_of
from mspn.experiment.experiment import Experiment
from mspn.experiment.grid import GRID, Run, load_grid
from mspn.experiment.joint_sets import load_joint_set
from mspn.experiment.networks import NETWORKS, family, is_own, network_spec
from mspn.experiment.scale_file import load_scale, scale_path
from mspn.files import read_json, write_json

OWN_RUNS = "own"  # among a scale's runs: all rows of the grid whose networks are of one's own
OWNER = "scale.json"  # in the folder of results: the scale that they are of
# The backbones that torchvision publishes ImageNet weights of; of Res-254 there are none.
PUBLISHED = ("resnet18", "resnet50", "resnet101", "resnet152")


def load_experiment(scale: str, grid: Path = GRID) -> Experiment:
    """Read and check a scale and the grid together; UserError says what is wrong, before any work starts."""
    config = load_scale(scale)
    runs = load_grid(grid)
    if config.runs is not None:
        unknown = [name for name in config.runs if name not in runs and name != OWN_RUNS]
        if unknown:
            hint = did_you_mean(unknown[0], runs)
            raise UserError(
                f"scale {config.name}: runs: unknown {unknown}; {hint}the grid has: {', '.join(runs)}"
            )
        own = OWN_RUNS in config.runs
        runs = {
            name: run for name, run in runs.items() if name in config.runs or (own and is_own(run.network))
        }
    else:
        runs = {name: run for name, run in runs.items() if not _elsewhere(config, run)}
    _check_data(config, {name for run in runs.values() for name in run.datasets})
    runs = {name: _with_data(config, run) for name, run in runs.items()}
    known = {run.network for run in runs.values() if run.network} | set(NETWORKS)
    unknown = [name for name in config.tuned if name not in known | {family(network) for network in known}]
    if unknown:
        raise UserError(f"scale {config.name}: tuned: {unknown} are neither families nor networks")
    runs = _expand(Experiment(config, runs))
    experiment = Experiment(config, runs)
    for run in runs.values():
        _check_run(experiment, run)
    owner = _owner(experiment)
    if owner and scale_path(owner).resolve() != scale_path(scale).resolve():
        raise UserError(
            f"{experiment.results}: holds the results of scale {owner}, not of {scale}: two scales have one "
            "name; give one of them another (`name:`)"
        )
    return experiment


def claim_results(experiment: Experiment, scale: str) -> None:
    """Note in the scale's folder of results which scale they are of; `load_experiment` refuses any other."""
    if not _owner(experiment):
        name, here = scale_name(scale), Path.cwd().resolve()
        if name.endswith((".yaml", ".yml")):  # a copied tree keeps what is its own
            file = scale_path(scale).resolve()
            name = str(file.relative_to(here) if file.is_relative_to(here) else file)
        write_json(experiment.results / OWNER, {"scale": name})


def _owner(experiment: Experiment) -> str:
    """The scale that the results are of; empty where none is noted, or its file is there no more."""
    path = experiment.results / OWNER
    try:
        noted = read_json(path, "note of a scale") if path.is_file() else {}
    except UserError as error:
        raise UserError(f"{error}; remove it where these are this scale's results") from None
    scale = str(noted.get("scale", "")) if isinstance(noted, dict) else ""
    return scale if scale and scale_path(scale).is_file() else ""


def scale_name(scale: str) -> str:
    """A scale's shortest spelling: its name where the file lies among the others, else its path as given."""
    path = scale_path(scale)
    own = scale_path(path.stem)
    return path.stem if path.resolve() == own.resolve() else scale


def missing_sources(experiment: Experiment) -> list[Path]:
    """The files from elsewhere that the scale's runs need and that are not there.

    Snakemake takes a result that is there for a source where what makes it lacks its own: so this is asked
    before it builds its graph.
    """
    scale, wanted = experiment.scale, dict[Path, None]()
    for run in experiment.grid.values():
        for place, dataset in enumerate(run.datasets):
            if not isinstance(scale.datasets[dataset], SynthData):
                wanted |= dict.fromkeys(experiment.annotation_files(dataset, "train"))
                wanted |= dict.fromkeys(experiment.annotation_files(dataset, "val") if place == 0 else ())
        for detector in experiment.detectors(run):
            wanted |= dict.fromkeys(experiment.detection_files(detector))
        backbone = str(network_spec(run.network)[1].get("down", "")) if run.network else ""
        if scale.pretrained and backbone in PUBLISHED and experiment.pretrained_file(run) is None:
            wanted[scale.pretrained / f"{backbone}.pth"] = None
    return [path for path in wanted if not path.is_file()]


def left_out(experiment: Experiment, grid: Path = GRID) -> list[Run]:
    """The grid's rows that a scale does not run, though it names no runs: those on data that it has not."""
    scale = experiment.scale
    return [] if scale.runs is not None else [r for r in load_grid(grid).values() if _elsewhere(scale, r)]


def _elsewhere(scale: Scale, run: Run) -> bool:
    """Whether a row is on other data sets than the scale's; a name that is nearly one of them is refused."""
    known = {*scale.datasets, *scale.stand_in_data}
    unknown = [name for name in run.datasets if name not in known]
    for name in unknown:
        if hint := did_you_mean(name, known):
            raise UserError(f"scale {scale.name}: run {run.run!r}: no data set {name!r}; {hint.strip()}")
    return bool(unknown)


def _check_data(scale: Scale, used: set[str]) -> None:
    """Refuse joint sets that cannot be read or scored, two files of one name, recipes of none, and stand-ins
    for data sets that no run uses.
    """
    references: dict[str, str] = {}
    for dataset, data in scale.datasets.items():
        place, reference = f"scale {scale.name}: datasets.{dataset}", joint_set_of(data)
        try:
            found = load_joint_set(reference)
        except UserError as error:
            raise UserError(f"{place}: joints: {error}") from None
        if found.without_sigma and isinstance(data, CocoData):
            lacking = ", ".join(found.without_sigma)
            raise UserError(f"{place}: joints: {reference} has no sigmas: none for {lacking}; OKS needs them")
        if references.setdefault(found.name, reference) != reference:
            raise UserError(f"{place}: joints: {reference} and {references[found.name]} have one name")
    unknown = [name for name in scale.recipes if name not in references]
    if unknown:
        raise UserError(
            f"scale {scale.name}: recipes: {', '.join(unknown)}: no data set has such joints; they have: "
            f"{', '.join(references)}"
        )
    for old, new in scale.stand_in_data.items():
        if old not in used or new not in scale.datasets:
            raise UserError(
                f"scale {scale.name}: stand_in_data: {old}: {new}: the runs use {', '.join(sorted(used))}, "
                f"the scale has {', '.join(scale.datasets)}"
            )


def _with_data(scale: Scale, run: Run) -> Run:
    """The run on the data sets that the scale takes for the grid's, with their joints."""
    names = tuple(scale.stand_in_data.get(name, name) for name in run.datasets)
    missing = [name for name in names if name not in scale.datasets]
    if missing:
        raise UserError(
            f"scale {scale.name}: run {run.run!r} needs datasets {', '.join(missing)}; "
            f"there are: {', '.join(scale.datasets)}"
        )
    references = {name: joint_set_of(scale.datasets[name]) for name in names}
    if len(set(references.values())) > 1:
        said = "; ".join(f"{n}: {', '.join(load_joint_set(r).joints)}" for n, r in references.items())
        raise UserError(f"scale {scale.name}: run {run.run!r}: its data sets have different joints. {said}")
    return replace(run, data="+".join(names), joint_set=references[names[0]])


def _expand(experiment: Experiment) -> dict[str, Run]:
    """The runs, with those that a search or partial budgets make of each."""
    scale = experiment.scale
    found: dict[str, Run] = {}
    for run in experiment.grid.values():
        if scale.search is None:
            found[run.run] = run
            for share in scale.budgets if run.network else ():
                recipe = experiment.recipe(run)
                part = _variant(run, recipe.batch, {"iterations": round(share * recipe.iterations)})
                found[part.run] = replace(part, detectors=run.detectors[:1])
        elif run.network:
            for candidate in scale.search.candidates:
                changes = candidate.model_dump(exclude_none=True)
                for one in scale.search.rounds:
                    batch = experiment.recipe(run).batch
                    part = _variant(run, batch, {**changes, "iterations": one.iterations})
                    found[part.run] = part
    return found


def _variant(run: Run, batch: int, changes: dict[str, Any]) -> Run:
    """A run with changes to its recipe, named after them and the samples seen: ``mspn-2-lr-0.02-6k``."""
    samples = changes["iterations"] * batch
    named = [f"{key}-{value}" for key, value in changes.items() if key != "iterations"]
    budget = f"{samples / 1000:.0f}k" if samples >= 1000 else str(samples)
    name = "-".join([run.run, *named, budget]).replace("_", "-")
    return replace(run, run=name, row=run.run, changes=tuple(changes.items()))


def _check_run(experiment: Experiment, run: Run) -> None:
    scale = experiment.scale
    for table, keys in (
        ("inputs", [run.input]),
        ("recipes", [load_joint_set(run.joint_set).name]),
        ("detectors", experiment.detectors(run)),
    ):
        there = getattr(scale, table)
        missing = [key for key in keys if key not in there]
        if missing:
            raise UserError(
                f"scale {scale.name}: run {run.run!r} needs {table} {', '.join(missing)}; "
                f"there are: {', '.join(there)}"
            )
    for member in run.members:
        if member not in experiment.grid:
            raise UserError(f"scale {scale.name}: run {run.run!r} needs its member {member!r} among the runs")
