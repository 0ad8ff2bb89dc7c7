"""The report's files of settings: YAML, read and checked."""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from mspn.errors import UserError
from mspn.experiment.plain_yaml import read_yaml
from mspn.files import project_file

T = TypeVar("T")


def read_settings(path: Path) -> Any:
    """The value in a YAML file, the working directory's or this program's; UserError where there is none."""
    try:
        return read_yaml(project_file(path))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None


def checked(kind: type[T], value: Any, place: object) -> T:
    """The value as that type; UserError, which begins with ``place``, lists every wrong entry."""
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc'])) or '(whole file)'}: {e['msg']}" for e in error.errors()]
        raise UserError(f"{place}: {len(lines)} wrong\n" + "\n".join(lines)) from None
