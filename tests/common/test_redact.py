"""Secrets in what a child says."""

import pytest

from common.redact import REDACTED, SHORTEST, Redactor, secrets_of

KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA7bq\nq9fXz0123456789abcd\n-----END RSA PRIVATE KEY-----"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.SflKxwRJSMeKKF2QT4fwpM"

R = REDACTED


def redacted(text: str, **environment: str) -> str:
    """`text`, of a child with `environment`."""
    return Redactor(environment)(text)


@pytest.mark.parametrize(
    "name",
    """GITHUB_TOKEN apiKey API_KEY MY_SECRET DB_PASSWORD PGPASSWORD passphrase BASIC_AUTH AWS_CREDENTIALS COOKIE
    SESSION_ID SENTRY_DSN""".split(),
)
def test_the_value_of_a_variable_whose_name_is_a_secrets_is_taken_out(name: str) -> None:
    assert redacted("got hunter22, hunter22!", **{name: "hunter22"}) == f"got {R}, {R}!"


def test_other_variables_may_be_shown() -> None:
    assert redacted("in /srv/data at debug", DATA="/srv/data", LEVEL="debug") == "in /srv/data at debug"


def test_a_value_that_is_too_short_would_be_found_everywhere() -> None:
    assert redacted("a test of 12345", TOKEN="12345", KEY="a", SECRET="") == "a test of 12345"
    assert redacted("a test of 123456", TOKEN="123456") == f"a test of {R}"


def test_the_credentials_in_a_url_are_secrets_also_where_they_stand_alone() -> None:
    url = "postgres://ann:correct-horse@db.example/main"
    assert redacted(f"cannot open {url}", DATABASE=url) == f"cannot open {R}"
    assert redacted("password correct-horse refused for ann", DATABASE=url) == f"password {R} refused for ann"


def test_a_password_within_a_value_is_a_secret_where_it_stands_alone() -> None:
    assert redacted("tried correct-horse", CONNECTION="host=db password=correct-horse user=x") == f"tried {R}"


def test_a_value_is_known_in_the_other_ways_in_which_it_may_be_written() -> None:
    value = 'a"b/c d\\e'
    assert redacted('{"token": "a\\"b/c d\\\\e"}', X_KEY=value) == f'{{"token": "{R}"}}'
    assert redacted("GET /?k=a%22b%2Fc%20d%5Ce", X_KEY=value) == f"GET /?k={R}"


def test_a_value_of_many_lines_is_known_line_by_line() -> None:
    assert redacted("read MIIEowIBAAKCAQEA7bq", SIGNING=KEY) == "read MIIEowIBAAKCAQEA7bq"
    assert redacted("read MIIEowIBAAKCAQEA7bq", SIGNING_KEY=KEY) == f"read {R}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abcdefghi", R),  # one begins within the other
        ("abcdefdefghi!", f"{R}!"),  # one follows the other
        ("xabcdef-defghix", f"x{R}-{R}x"),
        ("abcdef", R),
        ("abcde", "abcde"),
    ],
)
def test_values_that_overlap_are_taken_out_whole(text: str, expected: str) -> None:
    assert redacted(text, A_KEY="abcdef", B_KEY="defghi") == expected


def test_a_value_within_another_leaves_nothing_of_the_longer_one() -> None:
    assert redacted("x longer-secret-value y", A_KEY="secret", B_KEY="longer-secret-value") == f"x {R} y"


def test_a_value_that_overlaps_itself_is_taken_out_whole() -> None:
    assert redacted("abaabaabaab!", A_KEY="abaaba") == f"{R}ab!"
    assert redacted("a" * 20 + "b", A_KEY="a" * 6) == f"{R}b"


def test_half_a_secret_at_the_end_of_what_was_cut_off_is_one() -> None:
    redactor = Redactor({"A_KEY": "hunter22", "B_KEY": "e hunter2!"})
    assert redactor.end("see hunter2") == f"se{R}"
    assert redactor.end("see a hunte") == "see a hunte"
    assert redactor("see a hunter2") == "see a hunter2"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Authorization: Bearer abc.def-123", f"Authorization: Bearer {R}"),
        ("authorization: basic YW5uOmh1bnRlcjI=", f"authorization: basic {R}"),
        ("key sk-proj-abcdefgh1234 refused", f"key {R} refused"),
        ("ghp_abcdefghijklmnop1234", R),
        ("github_pat_11ABCDEFG0123456789_x", R),
        ("glpat-abcdefghijklmnop12", R),
        ("xoxb-1234567890-abcdef", R),
        ("id AKIAIOSFODNN7EXAMPLE.", f"id {R}."),
        ("AIzaSyA1234567890abcdefghijklmnopqrstuv", R),
        (f"jwt {JWT},", f"jwt {R},"),
        ("password=hunter2 next", f"password={R} next"),
        ('"password": "two words", "x": 1', f'"password": "{R}", "x": 1'),
        ("api_key: 'it is'", f"api_key: '{R}'"),
        ("DB_PASSWORD=x;user=y", f"DB_PASSWORD={R};user=y"),
        ("redis://:hunter2@host/0", f"redis://:{R}@host/0"),
        ("https://ann:p@ss:w@host/a@b", f"https://ann:{R}@host/a@b"),
        (KEY, R),
        (f"before {KEY} between {KEY} after", f"before {R} between {R} after"),
        ("-----BEGIN PRIVATE KEY-----\nMIIEow", R),
        ("-----BEGIN PGP PRIVATE KEY BLOCK-----\nx\n-----END PGP PRIVATE KEY BLOCK-----!", f"{R}!"),
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text: str, expected: str) -> None:
    assert redacted(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Server listening on http://localhost:3000/mcp",
        "task-sk-1 disk-abcdefghijkl",
        "the bearer of news",
        "password required",
        "token: ",
        "-----BEGIN CERTIFICATE-----\nMIIEow\n-----END CERTIFICATE-----",
        "https://example.org/@scope/package",
        "3 keys, 4 tokens",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redacted(text) == text


def test_lines_that_belong_together_are_looked_at_together() -> None:
    assert Redactor({}).lines(["a", *KEY.split("\n"), "b"]) == ["a", R, "b"]


def test_it_does_not_show_what_it_knows() -> None:
    redactor = Redactor({"A_KEY": "hunter22"})
    assert repr(redactor) == "<Redactor of 1 secrets>"
    assert secrets_of({"A_KEY": "hunter22"}) == {"hunter22"}


@pytest.mark.parametrize(
    "bomb",
    [
        "a" * 64,
        " ",
        "://",
        "://a:",
        "://a@",
        "eyJ",
        "eyJaaaaa.",
        "-eyJaaaaaa",
        "sk-",
        "-sk-aaaaaaa",
        "password",
        "password=",
        "password ='",
        'token="',
        "bearer ",
        "bearer\t\t\t",
        "xoxb-",
        "ghp_",
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY----------END ",
        "AKIA",
    ],
)
def test_no_text_takes_more_than_linear_time(bomb: str) -> None:
    # What is not linear would take hours for this; the runner's own bound is the assertion.
    size = 400_000
    text = Redactor({"A_KEY": "aaaaaa", "B_KEY": "a" * 60})(bomb * (size // len(bomb)))
    assert len(text) <= 2 * size


def test_the_beginning_of_a_long_secret_is_found_at_the_end_of_a_line() -> None:
    secret = "".join(f"{number:04x}" for number in range(2000))
    redact = Redactor({"API_KEY": secret})
    assert redact.end("said: " + secret[:1500]) == "said: " + REDACTED
    assert redact.end("said: " + secret[:SHORTEST]) == "said: " + REDACTED
    assert redact.end("said: " + secret[: SHORTEST - 1]) == "said: " + secret[: SHORTEST - 1]
    assert redact.end(secret[:SHORTEST] + " is not the end") == secret[:SHORTEST] + " is not the end"
    assert Redactor({"API_KEY": "aaaaaaaaaaab"}).end("b" + "a" * 9) == "b" + REDACTED


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("npx foo --api-key abc123def", f"npx foo --api-key {R}"),
        ("foo --db-password 'two words' --verbose", f"foo --db-password '{R}' --verbose"),
        ("foo --token --verbose", "foo --token --verbose"),
        ("foo --token-file", "foo --token-file"),
        ("the password was wrong", "the password was wrong"),
        (r'{"m": "{\"access_token\": \"abc123def\"}"}', rf'{{"m": "{{\"access_token\": \"{R}"}}"}}'),
        (r"token=a\b", f"token={R}"),
    ],
)
def test_secrets_on_command_lines_and_in_json_within_json(said: str, shown: str) -> None:
    assert Redactor({})(said) == shown


def test_a_long_line_of_what_may_begin_an_option_takes_no_time() -> None:
    for line in ("--" * 50_000, "--token" * 20_000, "token" + "\\" * 100_000, "--a-" * 30_000):
        assert Redactor({})(line)


def test_what_is_known_to_be_private_is_found_whatever_it_is_called() -> None:
    redact = Redactor({"PLAIN": "nothing"}, ["hunter2hunter2", "q/w e", "tiny"])
    assert redact("it is hunter2hunter2, nothing else; tiny") == "it is [redacted], nothing else; tiny"
    assert redact.end("it ends with hunter2") == "it ends with [redacted]"
    assert Redactor({}, ["a/b c=d"])("in a URL a%2Fb%20c%3Dd") == "in a URL [redacted]"
