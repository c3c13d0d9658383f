"""What the specification names is what the SDK takes it to be, which this program does not import."""

import subprocess
import sys

import mcp.shared.inbound as sdk_headers
import mcp.shared.subscriptions as sdk_subscriptions
import mcp_types as sdk
import mcp_types.methods as sdk_methods
import mcp_types.version as sdk_versions
import pytest

from gateway import specification

OWN = {"NAMED_BY": sdk_headers.NAME_BEARING_METHODS, "MCP_PARAM_HEADER_PREFIX": "mcp-param-"}
"""What has another name there, or another spelling."""


@pytest.mark.parametrize("name", [name for name in vars(specification) if name.isupper() and name[0] != "_"])
def test_a_name_means_what_it_does_in_the_sdk(name: str) -> None:
    places = (sdk, sdk_methods, sdk_versions, sdk_headers, sdk_subscriptions)
    theirs = [OWN[name]] if name in OWN else [vars(each)[name] for each in places if name in vars(each)]
    assert theirs
    assert all(getattr(specification, name) == value for value in theirs)


@pytest.mark.parametrize("oldest", sdk_versions.KNOWN_PROTOCOL_VERSIONS)
def test_revisions_have_an_order_and_what_is_unknown_is_none_of_them(oldest: str) -> None:
    for version in (*sdk_versions.KNOWN_PROTOCOL_VERSIONS, "", "2026-07-29", "zzz"):
        expected = sdk_versions.is_version_at_least(version, oldest)
        assert specification.is_at_least(version, oldest) == expected


@pytest.mark.parametrize("program", ["gateway.__main__", "supervisor.__main__"])
def test_no_program_waits_for_libraries_that_few_configurations_need(program: str) -> None:
    """Each of them costs a tenth of a second of every start, or more."""
    heavy = ("mcp", "mcp_types", "redis", "jwt", "cryptography", "limits", "httpx2", "yaml")
    code = f"import sys, {program}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
