"""Puts the files of `poster2plot/bundled_files.py` into a wheel; all else is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

FILES = ("models/poster2plot-title", "assets/posters", "streamlit_app.py", ".streamlit/config.toml")


class BuildWithFiles(build_py):
    """Copies the files into the package as it is built, the repository's own layout kept."""

    def run(self) -> None:
        """Build, then copy; an editable install finds the files where they are."""
        super().run()
        if self.editable_mode:
            return
        for name in FILES:
            source, target = Path(name), Path(self.build_lib, "poster2plot", "bundled", name)
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True)
            else:
                shutil.copy(source, target)


setup(cmdclass={"build_py": BuildWithFiles})
