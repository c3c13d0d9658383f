"""`audit`: whether a record is kept of who did what, and where; what is in it: `gateway.audit`."""

from typing import Annotated, Final

from pydantic import ValidatorFunctionWrapHandler, WrapValidator

from common.config.base import Model
from common.config.values import Directory

STDERR: Final = "stderr"


def _place(value: object, as_path: ValidatorFunctionWrapHandler) -> object:
    return value if value == STDERR else as_path(value)


class Audit(Model):
    """`audit`. Without it no record is kept."""

    file: Annotated[Directory, WrapValidator(_place)]
    """Where the lines go: a file that only its owner may read, or among the log's."""
    arguments: bool = False
    """Whether what tools are called with is recorded, too."""
