"""`mcp-gateway hash`: what it reads, and what it prints."""

import pytest
from argon2 import PasswordHasher
from click.testing import CliRunner, Result

from common.hashes import is_argon2, sha256_of
from gateway.cli import main

RANDOM = "cyYiWBt_LTFiXDnXTApYIOtcDBk6DZS5m5gey5EyJ30"


def run(*arguments: str, given: str | bytes = "") -> Result:
    """The command, with this on its standard input."""
    return CliRunner().invoke(main, ["hash", *arguments], input=given)


@pytest.mark.parametrize("given", ["pass wörd", "pass wörd\n", "pass wörd\r\n"])
def test_a_password_is_hashed_slowly_without_its_newline(given: str) -> None:
    result = run(given=given)
    assert result.exit_code == 0
    hash_ = result.output.removesuffix("\n")
    assert is_argon2(hash_)
    assert PasswordHasher().verify(hash_, "pass wörd")
    assert "pass" not in result.output


def test_a_random_text_may_be_hashed_fast() -> None:
    assert run("--token", given=f"{RANDOM}\n").output == sha256_of(RANDOM) + "\n"


@pytest.mark.parametrize("given", ["hunter2", "hunter2" * 6])
def test_what_is_not_random_may_not(given: str) -> None:
    result = run("--token", given=given)
    assert result.exit_code == 1
    assert "--new" in result.output
    assert "hunter2" not in result.output


def test_a_new_token_comes_with_its_hash_and_is_another_each_time() -> None:
    outputs = [run("--new").output.split() for _ in range(2)]
    for output in outputs:
        assert output[0::2] == ["token:", "hash:"]
        assert sha256_of(output[1]) == output[3]
    assert outputs[0][1] != outputs[1][1]


@pytest.mark.parametrize(
    ("given", "said"), [(b"", "there is nothing on standard input"), (b"\n", "there is nothing"), (b"\xff", "UTF-8")]
)
def test_what_is_no_secret_is_refused(given: bytes, said: str) -> None:
    result = run(given=given)
    assert result.exit_code == 1
    assert said in result.output


def test_a_secret_is_never_an_argument_nor_shown_again() -> None:
    result = run("--token", "s3cret-by-mistake")
    assert result.exit_code == 2
    assert "an argument can be read by everybody here" in result.output
    assert "s3cret" not in result.output
