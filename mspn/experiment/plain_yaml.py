"""YAML from people's files: plain values, read within limits."""

from pathlib import Path
from typing import Any

import yaml

from mspn.errors import UserError, shown

MOST_BYTES = 4_000_000
MOST_VALUES = 200_000  # with every alias in full
DEEPEST = 50  # lists and mappings within each other; a scale has six


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which takes the last of two equal keys in silence; this one refuses them.

    Nor does it read on in what is nested without end, which takes PyYAML time by the square of the depth.
    """

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """The next node; ValueError where it lies too deep."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise ValueError(f"more than {DEEPEST} lists and mappings within each other")
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping; ConstructorError where a key is there twice."""
        keys = [(key.tag, key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for number, (key, _) in enumerate(node.value):
            if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in keys[:number]:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is there twice", key.start_mark
                )
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """The value in a YAML file; FileNotFoundError where there is none.

    UserError where it is not YAML, a key is there twice, an alias contains itself, or it is larger than any
    file of this kind has to be.
    """
    where = shown(str(path), 300)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UserError(f"{where}: more than {MOST_BYTES / 1e6:.0f} MB: not a file of this kind")
        loader = _Loader(path.read_text(encoding="utf-8"))
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _count(node, (), [0])
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"{where}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
        words = shown(" ".join(str(error).split()), 300)
        raise UserError(f"{where}: not valid YAML: {words}") from None


def _count(node: yaml.Node, above: tuple[int, ...], count: list[int]) -> None:
    count[0] += 1
    if id(node) in above:
        raise ValueError("an alias contains itself")
    if count[0] > MOST_VALUES:
        raise ValueError(f"more than {MOST_VALUES} values, aliases in full")
    if isinstance(node, yaml.MappingNode | yaml.SequenceNode):
        for entry in node.value:
            for part in entry if isinstance(entry, tuple) else (entry,):
                _count(part, (*above, id(node)), count)
