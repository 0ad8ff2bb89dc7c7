"""The rooms of the house: no arrow runs back to an earlier room's guest, no two files import each other."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("experiment", "data", "networks", "training", "evaluation", "report", "cluster", "commands")
LANDING = {"__init__", "__main__", "errors", "files"}  # of the package: what every room needs, and its face


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted((ROOT / "mspn").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """The package's modules that a file imports, inside functions and for type checking as well."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            whole = {f"{node.module}.{alias.name}" for alias in node.names} & set(known)
            found |= whole or {node.module}
    return found & set(known)


def room(module: str) -> int:
    """The room's place in the order; the landing comes before all rooms."""
    name = module.split(".")[1] if "." in module else ""
    return ROOMS.index(name) if name in ROOMS else -1


def test_there_are_eight_rooms_and_little_on_the_landing() -> None:
    here = ROOT / "mspn"
    assert {path.name for path in here.iterdir() if path.is_dir() and path.name != "__pycache__"} == set(
        ROOMS
    )
    assert {path.stem for path in here.glob("*.py")} == LANDING


def test_no_arrow_runs_to_a_later_room() -> None:
    known = modules()
    face = {"mspn.__main__"}
    back = [
        f"{module} -> {other}"
        for module, path in known.items()
        for other in imports(path, known)
        if module not in face and room(other) > room(module)
    ]
    assert not back, "\n".join(back)


def test_no_circle_of_imports() -> None:
    known = modules()
    waiting = {module: imports(path, known) - {module} for module, path in known.items()}
    done: set[str] = set()
    while ready := [module for module, needs in waiting.items() if needs <= done]:
        done |= set(ready)
        waiting = {module: needs for module, needs in waiting.items() if module not in done}
    assert not waiting, f"in a circle, or behind one: {', '.join(sorted(waiting))}"


def test_baselines_use_networks_alone() -> None:
    known = modules()
    for path in (ROOT / "baselines").glob("*.py"):
        assert {room(module) for module in imports(path, known)} <= {ROOMS.index("networks"), -1}, path


def test_the_workflow_imports_the_experiment_alone() -> None:
    files = [ROOT / "Snakefile", *sorted((ROOT / "workflow" / "rules").glob("*.smk"))]
    lines = [line.strip() for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    used = {line.split()[1] for line in lines if line.startswith(("from mspn", "import mspn"))}
    assert all(module.startswith(("mspn.experiment", "mspn.errors", "mspn.files")) for module in used), used
