"""What pyproject.toml cannot say: a wheel has the graph, its configuration and the baselines in ``mspn``."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

# As they lie beside ``mspn`` in a checkout; see mspn/files.py, which finds them in either place.
ALONG = (
    "baselines", "workflow", "reports/paper", "Snakefile", "environment.yml", "requirements.lock",
)  # fmt: skip


class BuildWithProject(build_py):
    """Copies ALONG into the package that is built; an editable one has them already."""

    def run(self) -> None:
        """Build, then copy."""
        super().run()
        if self.editable_mode:
            return
        for name in ALONG:
            target = Path(self.build_lib, "mspn", name)
            target.parent.mkdir(parents=True, exist_ok=True)
            if Path(name).is_dir():
                left_out = shutil.ignore_patterns("__pycache__")
                shutil.copytree(name, target, dirs_exist_ok=True, ignore=left_out)
            else:
                shutil.copy(name, target)


setup(cmdclass={"build_py": BuildWithProject})
