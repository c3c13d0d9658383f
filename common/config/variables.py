"""Where `${VAR}` of the configuration comes from: the environment, or a credential of systemd's."""

from collections.abc import Mapping
from pathlib import Path


class Unreadable(Exception):
    """There is a credential of that name, and it cannot be read; the text says why, without a word of it."""


def look_up(name: str, environ: Mapping[str, str]) -> str | None:
    """The value of the variable `name`, or None.

    What the environment does not have may be a file in $CREDENTIALS_DIRECTORY (`LoadCredential=`, systemd.exec(5)); a
    newline at its end is not part of the value. Raises Unreadable.
    """
    if name in environ:
        return environ[name]
    directory = environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        return None
    try:
        return (Path(directory) / name).read_bytes().decode().removesuffix("\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unreadable(f"the credential {name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Unreadable(f"the credential {name} is no text in UTF-8") from None
