"""Builds the shim (supervisor/shim.c) where there is a C compiler. Where there is none, shells do what it does.

`CC` names another compiler than `cc`. What pyproject.toml says holds for everything else.
"""

import os
import re
import shlex
import subprocess
from pathlib import Path

from setuptools import Command, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build import build

SOURCE = "supervisor/shim.c"
PROGRAM = "supervisor/mcp-shim"
FLAGS = [
    "-std=gnu11",
    "-Os",
    # It has no library, and nothing of it is to be written to: one piece of memory, which all sessions share.
    *("-ffreestanding", "-fno-builtin", "-fno-stack-protector", "-fno-pie", "-fcf-protection=none"),
    *("-fno-asynchronous-unwind-tables", "-fno-unwind-tables"),
    *("-static", "-nostdlib", "-no-pie", "-s"),
    *("-Wl,--build-id=none", "-Wl,-z,noseparate-code", "-Wl,-z,noexecstack"),
]


class BuildShim(Command):
    """Compile it into the package: into what is installed, or, for an editable install, beside its source."""

    description = "build the program that starts children"
    user_options = [("build-lib=", "d", "where to")]  # noqa: RUF012 - setuptools' own way
    editable_mode = False

    def initialize_options(self) -> None:
        """Nothing is given yet."""
        self.build_lib: str | None = None

    def finalize_options(self) -> None:
        """Take from `build` what was not given."""
        self.set_undefined_options("build", ("build_lib", "build_lib"))

    def run(self) -> None:
        """Compile. Without a compiler, and where it cannot, there is a warning, and no file."""
        target = self._target()
        target.parent.mkdir(parents=True, exist_ok=True)
        new = target.with_suffix(".new")  # a supervisor may be running, and use the one that is there
        compiler = shlex.split(os.environ.get("CC") or "cc")
        try:
            subprocess.run([*compiler, *FLAGS, SOURCE, "-o", str(new)], check=True)
            new.replace(target)
        except (OSError, subprocess.CalledProcessError) as error:
            new.unlink(missing_ok=True)
            target.unlink(missing_ok=True)  # it would be that of another source
            self.warn(f"{PROGRAM} is not built, and shells will do what it does: {error}")

    def get_source_files(self) -> list[str]:
        """What belongs into a source distribution."""
        return [SOURCE]

    def get_outputs(self) -> list[str]:
        """What was built."""
        return [str(self._target())] if self._target().exists() else []

    def get_output_mapping(self) -> dict[str, str]:
        """No file of the source tree becomes the program."""
        return {}

    def _target(self) -> Path:
        assert self.build_lib is not None
        return Path(PROGRAM) if self.editable_mode else Path(self.build_lib) / PROGRAM


class Build(build):
    """Builds it after the modules."""

    sub_commands = [*build.sub_commands, ("build_shim", None)]  # noqa: RUF012


class Wheel(bdist_wheel):
    """For this kind of machine, where the program is in it; for every Python."""

    def get_tag(self) -> tuple[str, str, str]:
        """What the wheel's name says it fits."""
        built = self.get_finalized_command("build_shim").get_outputs()
        platform = re.sub(r"[-. ]", "_", self.plat_name) if built else "any"
        return "py3", "none", platform


setup(cmdclass={"build": Build, "build_shim": BuildShim, "bdist_wheel": Wheel})
