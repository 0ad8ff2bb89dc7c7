"""A storage for Snakemake, for tests: a folder to which and from which files and folders are copied."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from snakemake_interface_storage_plugins.io import IOCacheStorageInterface
from snakemake_interface_storage_plugins.storage_object import StorageObjectRead, StorageObjectWrite
from snakemake_interface_storage_plugins.storage_provider import (
    ExampleQuery,
    Operation,
    StorageProviderBase,
    StorageQueryValidationResult,
)


class StorageProvider(StorageProviderBase):
    """Its objects are named by their paths on the shelf."""

    @classmethod
    def example_queries(cls) -> list[ExampleQuery]:
        return []

    def rate_limiter_key(self, query: str, operation: Operation) -> None:
        return None

    def default_max_requests_per_second(self) -> float:
        return 0

    def use_rate_limiter(self) -> bool:
        return False

    @classmethod
    def is_valid_query(cls, query: str) -> StorageQueryValidationResult:
        return StorageQueryValidationResult(query=query, valid=True)

    def list_objects(self, query: str) -> Iterable[str]:
        return map(str, Path(query).rglob("*"))


class StorageObject(StorageObjectRead, StorageObjectWrite):
    """A file or a folder on the shelf."""

    async def inventory(self, cache: IOCacheStorageInterface) -> None:
        pass  # nothing comes for free

    def get_inventory_parent(self) -> None:
        return None

    def local_suffix(self) -> str:
        return str(self.query).removeprefix("/")

    def cleanup(self) -> None:
        pass

    def exists(self) -> bool:
        return Path(self.query).exists()

    def mtime(self) -> float:
        return Path(self.query).stat().st_mtime

    def size(self) -> int:
        path = Path(self.query)
        return 0 if path.is_dir() else path.stat().st_size

    def retrieve_object(self) -> None:
        _copy(Path(self.query), self.local_path())

    def store_object(self) -> None:
        _copy(self.local_path(), Path(self.query))

    def remove(self) -> None:
        _remove(Path(self.query))


def _copy(source: Path, target: Path) -> None:
    _remove(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
