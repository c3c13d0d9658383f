"""An MCP server that costs next to nothing, so that what is measured is the bridge: `python3 -I -S light_child.py`.

It imports nothing but `os`, reads a line at a time and answers without looking closely. Its tools: `echo` returns its
`text`, and `blob` returns a text of `bytes` letters.
"""

import os

_HELLO = (
    b'{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"light_child","version":"1"}}'
)
_TOOLS = (
    b'{"tools":[{"name":"echo","description":"Returns its text.","inputSchema":{"type":"object","properties":'
    b'{"text":{"type":"string"}},"required":["text"]}},{"name":"blob","description":"Returns a text of so many bytes.",'
    b'"inputSchema":{"type":"object","properties":{"bytes":{"type":"integer"}},"required":["bytes"]}}]}'
)
_TEXT = b'{"content":[{"type":"text","text":"%b"}]}'


def _after(line: bytes, name: bytes) -> bytes:
    """What begins right after the member `name`, or nothing."""
    at = line.find(b'"' + name + b'":')
    return line[at + len(name) + 3 :].lstrip() if at >= 0 else b""


def _string(rest: bytes) -> bytes:
    """The JSON string with which `rest` begins, without its quotes, as it was written."""
    end = 1
    while rest[end : end + 1] not in (b'"', b""):
        end += 2 if rest[end : end + 1] == b"\\" else 1
    return rest[1:end]


def _id(line: bytes) -> bytes:
    """The JSON of the request's id, or nothing: a notification."""
    rest = _after(line, b"id")
    if rest.startswith(b'"'):
        return b'"' + _string(rest) + b'"'
    end = 0
    while rest[end : end + 1] not in (b",", b"}", b""):
        end += 1
    return rest[:end]


def _called(line: bytes) -> bytes:
    arguments = _after(line, b"arguments")
    if size := _after(arguments, b"bytes"):
        end = 0
        while size[end : end + 1].isdigit():
            end += 1
        return _TEXT % (b"x" * int(size[:end]))
    return _TEXT % (_string(_after(arguments, b"text")) or b"hello")


def _result(line: bytes) -> bytes:
    if b'"tools/call"' in line:
        return _called(line)
    if b'"initialize"' in line:
        return _HELLO
    return _TOOLS if b'"tools/list"' in line else b"{}"


def main() -> None:
    """Answer until the input ends."""
    rest = b""
    while data := os.read(0, 65536):
        *lines, rest = (rest + data).split(b"\n")
        said = b"".join(
            b'{"jsonrpc":"2.0","id":%b,"result":%b}\n' % (id_, _result(line)) for line in lines if (id_ := _id(line))
        )
        while said:
            said = said[os.write(1, said) :]


if __name__ == "__main__":
    main()
