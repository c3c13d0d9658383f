"""The marks, as text and as number."""

import pytest

from supervisor.tags import bears_token, make_tag, token

OURS = token(make_tag(0x7, 3)).encode()


def test_a_token_says_what_a_tag_does() -> None:
    assert token(make_tag(0xABC, 0x12)) == "abc.12"


@pytest.mark.parametrize(
    ("environ", "bears"),
    [
        (b"MCP_GATEWAY_TREE=" + OURS, True),
        (b"A=b\0MCP_GATEWAY_TREE=" + OURS + b"\0C=d\0", True),
        (b"", False),
        (b"NOT_MCP_GATEWAY_TREE=" + OURS, False),
        (b"A=MCP_GATEWAY_TREE=" + OURS, False),
        (b"MCP_GATEWAY_TREE=77.1", False),
        (b"MCP_GATEWAY_TREE=7", False),
        (b"mcp_gateway_tree=" + OURS, False),
    ],
)
def test_an_environment_bears_the_token_of_a_run_or_does_not(environ: bytes, bears: bool) -> None:
    assert bears_token(environ, 7) is bears
