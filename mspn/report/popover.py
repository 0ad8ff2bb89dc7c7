"""The addresses of the page's numbers as data: one popover is filled from it when a number is pressed.

Entries that several addresses share are kept once: most name the same files, commit and versions.
"""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from mspn.report.cells import Address

ELEMENT = "addresses"  # the id of the page's script element
_ELEMENT = re.compile(rf'(<script type="application/json" id="{ELEMENT}">)(.*?)(</script>)', re.S)


def pack(addresses: Iterable[Address], link: Callable[..., str]) -> str:
    """JSON for a script element, in which what is shared stands once.

    ``folders`` of the linked files; ``entries``, each label and text, then the number of a folder and the
    name of a file in it where there is a link; ``blocks``, the numbers of entries that stand together, such
    as a seed's; ``addresses`` by key, each its title and the numbers of its blocks. ``link`` gives the link
    to a file.
    """
    folders: dict[str, int] = {}
    entries: dict[tuple[str | int, ...], int] = {}
    blocks: dict[tuple[int, ...], int] = {}
    packed = {}
    for address in addresses:
        parts: list[list[int]] = [[]]
        for entry in address.entries:
            row: tuple[str | int, ...] = (entry.label, entry.text)
            if entry.link:
                folder, _, name = link(entry.link).rpartition("/")
                row = (*row, folders.setdefault(folder or ".", len(folders)), name)
            if entry.label == "seed":
                parts.append([])
            parts[-1].append(entries.setdefault(row, len(entries)))
        numbers = [blocks.setdefault(tuple(part), len(blocks)) for part in parts]
        packed[address.key] = [address.title, numbers]
    document = {"folders": [*folders], "entries": [*entries], "blocks": [*blocks], "addresses": packed}
    return _dump(document)


def without_links(page: str, keep: Callable[[str], bool]) -> str:
    """The page with the links of its addresses that ``keep`` refuses made plain text."""
    data = _unpack(page)
    for entry in data["entries"]:
        if len(entry) > 2 and not keep(f"{data['folders'][entry[2]]}/{entry[3]}"):
            del entry[2:]
    return _ELEMENT.sub(lambda found: found[1] + _dump(data) + found[3], page)


def _unpack(page: str) -> dict[str, Any]:
    found = _ELEMENT.search(page)
    return dict(json.loads(found[2])) if found else {"folders": [], "entries": []}


def _dump(data: dict[str, Any]) -> str:
    """JSON that ends no script element and starts no comment."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
