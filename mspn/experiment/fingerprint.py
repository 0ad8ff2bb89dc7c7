"""A hash of what a module computes: its code and that of the project modules it imports.

Comments, docstrings and formatting do not count, so that editing them repeats no work; nothing is imported,
so that the workflow can ask without loading torch.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_PACKAGES = ("mspn", "baselines")
# What says how work is called, shown or checked, not what it computes.
_NEUTRAL = {
    "mspn.commands.cli",
    "mspn.experiment.config",
    "mspn.errors",
    "mspn.experiment.experiment",
    "mspn.files",
    "mspn.experiment.fingerprint",
    "mspn.experiment.grid",
    "mspn.experiment.networks",
}


def _source(module: str) -> Path | None:
    base = _ROOT.joinpath(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


def _strip_docstrings(tree: ast.Module) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            first = node.body[0] if node.body else None
            value = first.value if isinstance(first, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                node.body = node.body[1:] or [ast.Pass()]


def _imports(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] in _PACKAGES}


@cache
def _parse(module: str) -> tuple[str, frozenset[str]]:
    path = _source(module)
    if path is None:
        return "", frozenset()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    _strip_docstrings(tree)
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest(), frozenset(_imports(tree))


def modules_of(*modules: str) -> list[str]:
    """The modules named and every project module they import, directly or not, sorted."""
    seen: set[str] = set()
    queue = list(modules)
    while queue:
        module = queue.pop()
        if module in seen or module in _NEUTRAL or _source(module) is None:
            continue
        seen.add(module)
        queue += _parse(module)[1]
    return sorted(seen)


@cache
def fingerprint(*modules: str) -> str:
    """Hexadecimal hash (16 digits) of the code of ``modules`` and of what they import in this project."""
    lines = [f"{module} {_parse(module)[0]}" for module in modules_of(*modules)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
