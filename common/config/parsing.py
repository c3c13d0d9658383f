"""From the bytes of a file to its parsed document, or to what is wrong with its YAML. No problem quotes a value."""

import json
import re
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.constructor import DuplicateKeyError, RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import ScalarNode

from common.config import hints
from common.config.source import ConfigError, Problem
from common.config.values import WrittenFloat, WrittenInt

_QUOTED = re.compile(r"""(["'])(.*?)\1""")


def parse(path: Path) -> CommentedMap:
    """What stands in the file at `path`, with the line of each key. Raises ConfigError."""
    file = str(path)
    try:
        yaml = YAML(typ="rt")
        yaml.Constructor = _Constructor
        document = yaml.load(_with_blanks(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError([Problem(file, 0, "", f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError:
        raise ConfigError([Problem(file, 0, "", "expected a text in UTF-8")]) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        if isinstance(error, DuplicateKeyError):
            text = hints.of_duplicate(error.problem or "")
        else:
            said = _without_quotes(error.problem or error.context or "it cannot be parsed")
            text = f"bad YAML: {said}{hints.of_yaml(said)}"
        raise ConfigError([Problem(file, mark.line + 1 if mark else 0, "", text)]) from None
    except (YAMLError, ValueError) as error:
        raise ConfigError([Problem(file, 0, "", f"bad YAML: {_without_quotes(str(error))}")]) from None
    if not isinstance(document, CommentedMap):
        raise ConfigError([Problem(file, 1, "", "expected a map of keys to values, with 'servers' among them")])
    return document


def _with_blanks(text: str) -> str:
    """JSON may be indented by tabs, which YAML does not take; within its texts there can be none."""
    if "\t" not in text or not text.lstrip().startswith("{"):
        return text
    try:
        json.loads(text)
    except ValueError:
        return text
    return text.replace("\t", " ")


def _without_quotes(text: str) -> str:
    """What the parser says, on one line, without what it quotes of the file; a single character may stay."""
    text = " ".join(text.split())
    return _QUOTED.sub(lambda quoted: quoted[0] if len(quoted[2]) < 3 or quoted[2][0] == "<" else "…", text)


class _Constructor(RoundTripConstructor):
    """Keeps the digits of numbers, and takes a date for the text that it is."""

    def number(self, node: ScalarNode) -> object:
        """An int or a float, as it was written."""
        is_float = str(node.tag).endswith("float")
        value = self.construct_yaml_float(node) if is_float else self.construct_yaml_int(node)
        number = WrittenFloat(value) if is_float else WrittenInt(value)
        number.written = node.value
        return number

    def text(self, node: ScalarNode) -> object:
        """Any scalar's own text."""
        return node.value


for _tag in ("int", "float"):
    _Constructor.add_constructor(f"tag:yaml.org,2002:{_tag}", _Constructor.number)
_Constructor.add_constructor("tag:yaml.org,2002:timestamp", _Constructor.text)
