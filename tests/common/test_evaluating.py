"""A user's own words are never what is run."""

import pytest

from common.config.evaluating import evaluates

MINE = "MINE"


def verdict(line: str) -> str:
    """What is said of a command line in which MINE is the user's."""
    why = evaluates(line.split(), lambda word: word == MINE)
    return "" if why is None else "code" if "code" in why else "run" if "would be what is run" in why else "never"


@pytest.mark.parametrize(
    "line",
    [
        "server MINE",
        "server --user MINE",
        "/opt/server -c MINE",
        "/bin/sh run.sh MINE",
        "bash -eu run.sh -c MINE",
        "bash --norc run.sh MINE",
        "python server.py MINE",
        "python -I -S server.py -c x MINE",
        "python3.11 -m server -c x --user MINE",
        "python -Im server MINE",
        "python -W ignore server.py MINE",
        "node server.js -e MINE",
        "node -r ./hook.js server.js MINE",
        "npx -y server MINE",
        "npx -p package server MINE",
        "uvx server --user MINE",
        "uvx --from package server MINE",
        "uv tool run server MINE",
        "uv run python server.py MINE",
        "poetry run server MINE",
        "x86_64-linux-gnu-sh-like MINE",
        "docker run -i --rm -e A=b image MINE",
        "perl -w server.pl MINE",
        "server --language python --as MINE",
        "sh -c code",
        "env -S x",
    ],
)
def test_a_users_words_may_be_arguments_of_a_program(line: str) -> None:
    assert verdict(line) == ""


@pytest.mark.parametrize(
    "line",
    [
        "sh -c code MINE",
        "/bin/bash -c MINE",
        "bash -oc posix code MINE",
        "dash -ec code sh MINE",
        "zsh +c MINE",
        "ash -o pipefail -c code MINE",
        "ksh -xc code MINE",
        "python -c code MINE",
        "python3.11 -Ic code MINE",
        "python -ccode MINE",
        "node -e code MINE",
        "node -pe code MINE",
        "nodejs --eval code MINE",
        "perl -ne code MINE",
        "ruby -e code MINE",
        "php -r code MINE",
        "deno eval code MINE",
        "npx -c code MINE",
        "npx --call code MINE",
        "uv run python -c code MINE",
        "docker run image sh -c code MINE",
        "wrapper bash -lc code MINE",
    ],
)
def test_there_are_none_beside_code(line: str) -> None:
    assert verdict(line) == "code"


@pytest.mark.parametrize(
    "line",
    [
        "sh MINE",
        "bash -eu MINE",
        "bash --rcfile MINE",
        "python MINE",
        "python -m MINE",
        "python -I MINE server.py",
        "python -W MINE server.py",
        "node MINE",
        "node -r MINE server.js",
        "npx MINE",
        "npx -y MINE",
        "npx -p server MINE",
        "npx -p MINE server",
        "npm exec MINE",
        "uvx MINE",
        "uvx --from MINE server",
        "uv tool run MINE",
        "uv run python MINE",
        "poetry run MINE",
        "docker run -e A MINE",
        "docker run -v MINE image",
    ],
)
def test_they_do_not_say_what_is_run(line: str) -> None:
    assert verdict(line) == "run"


@pytest.mark.parametrize(
    "line",
    [
        "env A=b server MINE",
        "xargs server MINE",
        "busybox sh MINE",
        "timeout 9 x MINE",
        "ssh h MINE",
        "awk p MINE",
        "systemd-run x MINE",
        "/usr/bin/env server MINE",
    ],
)
def test_they_are_no_words_of_a_program_that_runs_its_own(line: str) -> None:
    assert verdict(line) == "never"
