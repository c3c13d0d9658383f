"""The patterns of schemas are matched as ECMA-262 has it, in linear time, or not at all."""

import pytest

from gateway.rest.patterns import COSTLIEST, LONGEST, LONGEST_TEXT, Patterns, pattern_of


@pytest.mark.parametrize(
    ("source", "found", "not_found"),
    [
        ("a", ["cat"], ["dog"]),
        ("^a|b$", ["ax", "xb"], ["xa"]),
        (r"^\d+$", ["12"], ["", "٣"]),
        (r"^[\d.]+$", ["1.2"], ["a"]),
        (r"^\D$", ["٣"], ["3"]),
        (r"^[^\W]$", ["a"], ["ä", "-"]),
        (r"^\w+$", ["a_1"], ["ä"]),
        (r"\bis\b", ["it is so"], ["this"]),
        (r"^[a-z\/\-[.]+$", ["a/[-."], ["]"]),
        (r"^\u0041\x42$", ["AB"], ["ab"]),
        (r"^\p{L}{2}$", ["äß"], ["a1"]),
        (r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", ["8e03978e-40d5-43dd-bc93-6894a57f9324"], ["8e03978e"]),
        ("^(a+)+$", ["a" * 10_000], ["a" * 10_000 + "!"]),
        ("(x+x+)+y", ["x" * 5000 + "y"], ["x" * 10_000]),
        ("^a$", ["a"], ["a\n"]),
    ],
)
def test_a_pattern_is_found_or_not(source: str, found: list[str], not_found: list[str]) -> None:
    pattern = pattern_of(source)
    assert pattern is not None
    assert all(map(pattern.is_found_in, found))
    assert not any(map(pattern.is_found_in, not_found))


@pytest.mark.parametrize(
    "source",
    [
        "(?=a)", "(?<!a)b", r"(a)\1", "[", "(", r"\Z", r"\<", "[a&&b]", "[a--b]", "[]a]", "[^]", "a\\",
        r"\w{99999}", r"((a{99}){99})", r"\p{L}{100}", r"\pL", r"[\p{L}\p{N}]{50}", "a" * (LONGEST + 1),
    ],
)  # fmt: skip
def test_what_is_not_known_or_too_large_is_not_checked(source: str) -> None:
    assert pattern_of(source) is None


def test_a_text_that_is_too_long_fits() -> None:
    pattern = pattern_of("^b")
    assert pattern is not None
    assert not pattern.is_found_in("a" * LONGEST_TEXT)
    assert pattern.is_found_in("a" * (LONGEST_TEXT + 1))


def test_all_patterns_of_a_schema_together_are_bounded() -> None:
    patterns = Patterns()
    made = [patterns[f"[^a]{{{COSTLIEST - 10}}}{n}"] for n in range(20)]
    assert 0 < len([each for each in made if each is not None]) < 5
    assert patterns[f"[^a]{{{COSTLIEST - 10}}}0"] is made[0]
