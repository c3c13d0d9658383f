"""What is each user's own in how a server is started: values that the gateway sends with `Open`. No I/O."""

import re
from collections.abc import Mapping
from typing import Final

from common.config.model import ServerSpec

_MARK: Final = re.compile(r"\0((?:header|user)[:.][^\0]+)\0")


def for_user(spec: ServerSpec, values: Mapping[str, str]) -> ServerSpec:
    """`spec` with `values`, by placeholder, in the place of their marks. What is filled in is not looked at again."""

    def fill(text: str) -> str:
        return _MARK.sub(lambda found: values.get(found[1], found[0]), text)

    return spec.model_copy(
        update={
            "args": tuple(map(fill, spec.args)),
            "env": {name: fill(value) for name, value in spec.env.items()},
            "path": None if spec.path is None else fill(spec.path),
        }
    )
