"""`mcp-gateway hash`: what stands in the configuration instead of a secret."""

import secrets
import sys

import click

from common.hashes import LONG_ENOUGH, looks_random, sha256_of


@click.command("hash")
@click.option("--token", is_flag=True, help="It is a long random text, not of a person's choosing: hash it fast.")
@click.option("--new", is_flag=True, help="Make a new token, and print it with its hash.")
@click.argument("given", nargs=-1, metavar="")
def hash_(token: bool, new: bool, given: tuple[str, ...]) -> None:
    """Print the hash of a secret, for `password_hash` or `hash` in the configuration.

    The secret is asked for, or read from standard input where that is no terminal; it is never an argument, which
    everybody on this machine could read. The hash is argon2id, which is slow on purpose: right for what people choose.
    With --token it is SHA-256, which is right for long random texts, and costs nothing to check.
    """
    if given:  # click's own complaint would show it again
        raise click.UsageError("expected the secret on standard input: an argument can be read by everybody here")
    if new:
        made = secrets.token_urlsafe(32)
        click.echo(f"token: {made}\nhash: {sha256_of(made)}")
        return
    secret = _asked_for() if sys.stdin.isatty() else _read()
    if not token:
        from argon2 import PasswordHasher  # `serve` has no use for it, and starts with this module

        click.echo(PasswordHasher().hash(secret))
    elif looks_random(secret):
        click.echo(sha256_of(secret))
    else:
        raise click.ClickException(
            f"this is no long random text ({LONG_ENOUGH} characters or more); leave --token away, or make one with --new"
        )


def _asked_for() -> str:
    """What a person types, twice the same."""
    secret: str = click.prompt("Secret", hide_input=True, confirmation_prompt=True, err=True)
    return secret


def _read() -> str:
    """All of standard input, without a newline at its end. Raises ClickException for nothing, and for what is no text."""
    try:
        secret = sys.stdin.buffer.read().decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise click.ClickException("expected a text in UTF-8 on standard input") from None
    if not secret:
        raise click.ClickException("there is nothing on standard input; expected the secret")
    return secret
