"""A scale's file, read: by name or path, over the scales that it extends, checked before any work starts."""

import os
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from mspn.errors import UserError, did_you_mean, shown
from mspn.experiment.config import (
    CONFIG,
    Changes,
    CocoData,
    DetectionFile,
    MpiiData,
    Recipe,
    Round,
    Scale,
    Search,
    SimulatedDetector,
    Store,
    SynthData,
    TrueBoxes,
)
from mspn.experiment.plain_yaml import read_yaml
from mspn.files import PROJECT, project_file

RECIPES = CONFIG / "recipes.yaml"


def _expand(value: Any) -> Any:
    """Replace ``${NAME:-default}`` in every string by the environment variable or the default."""
    if isinstance(value, dict):
        return {key: _expand(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item) for item in value]
    if isinstance(value, str):
        return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda m: os.environ.get(m[1]) or m[2], value)
    return value


def _merge(base: dict[str, Any], delta: dict[str, Any]) -> dict[str, Any]:
    """``delta`` over ``base``, mappings merged; one whose ``kind`` changes replaces the base's."""
    merged = dict(base)
    for key, value in delta.items():
        old = merged.get(key)
        if (
            isinstance(old, dict)
            and isinstance(value, dict)
            and value.get("kind", old.get("kind")) == old.get("kind")
        ):
            merged[key] = _merge(old, value)
        else:
            merged[key] = value
    return merged


def _load_yaml(path: Path, heirs: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The scale's mapping over those that it extends; ``heirs`` are the files that led here."""
    if path in heirs:
        raise UserError(f"{path}: extends itself, by way of {' <- '.join(map(str, (*heirs, path)))}")
    value = _read_mapping(path)
    extends = value.pop("extends", None)
    if extends is None:
        return value
    base = _load_yaml(scale_path(str(extends)), (*heirs, path))
    base.pop("name", None)  # a name is a file's own
    return _merge(base, value)


def _read_mapping(path: Path) -> dict[str, Any]:
    try:
        value = read_yaml(path)
    except FileNotFoundError:
        names = sorted({p.stem for root in (Path(), PROJECT) for p in root.glob(f"{CONFIG}/scales/*.yaml")})
        hint = did_you_mean(path.stem, names)
        raise UserError(
            f"{shown(str(path), 300)}: no such scale; {hint}there are: {', '.join(names)}; or give a path to "
            "a .yaml file"
        ) from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: a scale is a mapping of keys to values")
    return value


def scale_path(name: str) -> Path:
    """The file of a scale given by name, or by its path; UserError for what no file system takes."""
    if max(map(len, Path(name).parts), default=0) > 240 or len(name) > 1000 or "\0" in name:
        raise UserError(f"scale {shown(name)}: no name of a scale, nor of a file")
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    return project_file(CONFIG / "scales" / f"{name}.yaml")


def _with_recipes(scale: dict[str, Any], path: Path) -> dict[str, Any]:
    """The scale with each recipe's ``extends`` replaced by the recipe of that name in RECIPES."""
    recipes = scale.get("recipes")
    if not isinstance(recipes, dict):
        return scale
    found = {}
    for key, recipe in recipes.items():
        base = recipe.get("extends") if isinstance(recipe, dict) else None
        if base is not None:
            named = _read_mapping(project_file(RECIPES))
            if base not in named:
                raise UserError(
                    f"{path}: recipes.{key}.extends: no recipe {base!r}; {RECIPES} has: {', '.join(named)}"
                )
            recipe = {**named[base], **{name: value for name, value in recipe.items() if name != "extends"}}
        found[key] = recipe
    return {**scale, "recipes": found}


def load_scale(name: str) -> Scale:
    """A scale by name, or by the path of a YAML file; ``extends:`` names one that it is a change to.

    Raises UserError that lists every wrong key and value with its place.
    """
    path = scale_path(name)
    try:
        return Scale.model_validate({"name": path.stem, **_with_recipes(_expand(_load_yaml(path)), path)})
    except ValidationError as error:
        lines = [f"  {_place(e['loc'])}: {_advice(e)}" for e in error.errors()]
        raise UserError(f"{path}: {len(lines)} wrong\n" + "\n".join(lines)) from None


def _place(loc: tuple[int | str, ...]) -> str:
    return ".".join(shown(str(part)) for part in loc) or "(whole file)"


def _advice(error: Any) -> str:
    if error["type"] != "extra_forbidden":
        return f"{error['msg']} (found {error['input']!r})"
    tables: dict[str, type[BaseModel]] = {
        "synth": SynthData,
        "coco": CocoData,
        "mpii": MpiiData,
        "truth": TrueBoxes,
        "simulated": SimulatedDetector,
        "file": DetectionFile,
    }
    loc = error["loc"]  # such as (datasets, coco, synth, imagess): a union's loc ends in the kind and the key
    parts: dict[Any, type[BaseModel]] = {
        "recipes": Recipe, "tuned": Changes, "crops": Store, "search": Search,
        "candidates": Changes, "rounds": Round,
    }  # fmt: skip
    above = [parts[key] for key in loc[:-1] if key in parts]
    model = Scale if len(loc) == 1 else above[-1] if above else tables[str(loc[-2])]
    return f"unknown key; allowed: {', '.join(model.model_fields)}"
