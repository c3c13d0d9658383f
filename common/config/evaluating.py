"""Which command lines would run a word of their own as code, or as the name of what to run. Pure.

A user's own words may be arguments of a program, and never what is run. What is known here are the usual shells,
interpreters and launchers; of their options only as much as it takes to see where their own words end. Where that is
not plain, the answer is no.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

_VERSIONED: Final = re.compile(r"([A-Za-z_]+?)[0-9.-]+")
"""`python` of `python3.11`."""


@dataclass(frozen=True)
class _Program:
    """One that is told what to run. Any option that is not known is taken to have an argument of its own."""

    code: str = ""
    """Letters of options that take code."""
    codes: frozenset[str] = frozenset()
    """Whole words that do so."""
    flags: str = ""
    """Letters of options that take nothing."""
    clustered: str = ""
    """Letters of options whose argument comes later, so that a letter of code may stand right behind one."""
    bare: frozenset[str] = frozenset()
    """Long ones that take nothing."""
    module: str = ""
    """Letters of options whose argument is what to run."""
    passed: frozenset[str] = frozenset()
    """Words that come before the name of what to run."""
    launches: bool = False
    """What it runs is a program, with words of its own."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SHELL: Final = _Program(
    code="c",
    flags="abefhiklmnprstuvxBCDEHPT",
    clustered="oO",
    bare=_words("--login --norc --noprofile --posix --restricted"),
)
_NODE: Final = _Program(
    code="ep",
    codes=_words("--eval --print"),
    flags="ich",
    bare=_words("--no-warnings --enable-source-maps --trace-warnings --no-deprecation --use-system-ca"),
)
_PYTHON: Final = _Program(code="c", flags="bBdEhiIOPqRsSuvVx", module="m")
_NPX: Final = _Program(
    code="c",
    codes=_words("--call"),
    flags="yq",
    bare=_words("--yes --no --quiet --silent --offline --prefer-offline --ignore-existing"),
    passed=_words("exec x dlx run"),
    launches=True,
)
_UV: Final = _Program(
    flags="qvn", bare=_words("--isolated --offline --quiet --no-cache"), passed=_words("tool run x"), launches=True
)
_CONTAINER: Final = _Program(
    flags="itdP",
    bare=_words("--rm --init --interactive --tty --read-only --detach"),
    passed=_words("run exec container"),
    launches=True,
)

_PROGRAMS: Final = {
    **dict.fromkeys("sh bash dash zsh ash ksh mksh fish csh tcsh pwsh rbash".split(), _SHELL),
    **dict.fromkeys("python pypy".split(), _PYTHON),
    **dict.fromkeys("node nodejs".split(), _NODE),
    "bun": _Program(code="ep", codes=_words("--eval --print"), passed=_words("run x"), launches=True),
    "deno": _Program(codes=_words("eval repl"), flags="A", passed=_words("run"), launches=True),
    "perl": _Program(code="eE", flags="acdlnpsStTuUvwWX"),
    "ruby": _Program(code="e", flags="aclnpsSvwW"),
    "php": _Program(code="rBRE", flags="nqC"),
    **dict.fromkeys("lua luajit".split(), _Program(code="e", flags="iEW")),
    **dict.fromkeys("Rscript julia".split(), _Program(code="eE")),
    **dict.fromkeys("npx npm pnpm pnpx yarn bunx".split(), _NPX),
    **dict.fromkeys("uvx uv pipx poetry pdm hatch rye conda micromamba mise".split(), _UV),
    **dict.fromkeys("docker podman nerdctl".split(), _CONTAINER),
}

_NEVER: Final = _words(
    """env xargs busybox toybox eval exec nice ionice chrt taskset timeout nohup setsid stdbuf time sudo doas su runuser
    setpriv chroot unshare nsenter bwrap firejail flock script watch ssh parallel find strace ltrace gdb expect tclsh
    awk gawk mawk nawk sed ed vi vim ex make osascript systemd-run start-stop-daemon dbus-run-session xvfb-run prlimit
    unbuffer tini dumb-init gosu su-exec"""
)
"""What runs its own words, or can be told to by any of them. Whoever needs one puts it into a script."""

_IS_RUN: Final = "there the word of a user would be what is run, or could be; name the program itself before it"
_IS_CODE: Final = "a user's own words may not stand in a command line with code in it; put the code into a file"


def evaluates(words: Sequence[str], is_users: Callable[[str], bool]) -> str | None:
    """Why a command line, the command first, may not have a user's own words in it; None where it may, or has none."""
    if not any(map(is_users, words)):
        return None
    if _name(words[0]) in _NEVER:
        return f"'{_name(words[0])}' runs its own words, so none of a user's may be among them; put it into a script"
    first = _PROGRAMS.get(_name(words[0]))
    for at, word in enumerate(words):
        program = _PROGRAMS.get(_name(word))
        why = _scan(program, words[at + 1 :], is_users) if program is not None else None
        if why is _IS_CODE or (why is not None and (at == 0 or (first is not None and first.launches))):
            return why
    return None


def _name(word: str) -> str:
    """The name of a program, without directories and, unless it is known by it, without a version."""
    last = word.rpartition("/")[2]
    match = _VERSIONED.fullmatch(last)
    return match[1] if match is not None and last not in _PROGRAMS and last not in _NEVER else last


def _scan(program: _Program, words: Sequence[str], is_users: Callable[[str], bool]) -> str | None:
    """Follow the program's own words, up to the name of what it runs."""
    may_be_argument = is_named_next = False
    for word in words:
        if is_users(word):
            return _IS_RUN
        if word in program.codes or _has_letter(word, program.flags + program.clustered, program.code):
            return _IS_CODE
        if word.startswith(("-", "+")) and len(word) > 1:
            is_named_next = _has_letter(word, program.flags, program.module)
            may_be_argument = "=" not in word and not _is_flag(word, program) and not is_named_next
        elif is_named_next or (not may_be_argument and word not in program.passed):
            return None
        else:
            may_be_argument = False
    return None


def _has_letter(word: str, flags: str, letters: str) -> bool:
    """Whether it is an option of one of `letters`, after none but `flags`."""
    return bool(letters) and re.match(rf"[-+][{flags or letters}]*[{letters}]", word) is not None


def _is_flag(word: str, program: _Program) -> bool:
    return word == "--" or word in program.bare or set(word[1:]) <= set(program.flags)
