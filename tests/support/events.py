"""Server-sent events, parsed as the HTML standard says (9.2.6): what a browser, and a client that goes by it, hears."""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """One event that a listener is told of."""

    type: str
    data: str
    last_id: str


class EventParser:
    """Bytes in any portions into events. A block that has no data is no event, nor is one that never ends."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._line: list[str] = []
        self._after_return = False
        self._at_start = True
        self._type = ""
        self._data: list[str] = []
        self._last_id = ""
        self.retry: int | None = None

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events that `data` completes."""
        for character in self._decoder.decode(data):
            if self._at_start:
                self._at_start = False
                if character == "\ufeff":
                    continue
            if character == "\n" and self._after_return:
                self._after_return = False
                continue
            self._after_return = character == "\r"
            if character not in "\r\n":
                self._line.append(character)
                continue
            line = "".join(self._line)
            self._line.clear()
            if line:
                self._field(line)
            else:
                yield from self._dispatch()

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                self._type = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self._last_id = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry = int(value)

    def _dispatch(self) -> Iterator[Event]:
        data, type_ = "\n".join(self._data), self._type
        has_data = bool(self._data) and data != ""
        self._data.clear()
        self._type = ""
        if has_data:
            yield Event(type_ or "message", data, self._last_id)
