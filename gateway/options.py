"""Options that several commands have. It imports little, for `serve` has one of them."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., object])


def config(what: str = "The configuration file") -> Callable[[_Command], _Command]:
    """The option `config`, a path; `what` says in the help which file it is."""
    return click.option(
        "--config",
        "-c",
        type=click.Path(path_type=Path),
        envvar="CONFIG_PATH",
        default="config.yaml",
        show_default=True,
        help=f"{what}; the environment variable CONFIG_PATH names one, too.",
    )
