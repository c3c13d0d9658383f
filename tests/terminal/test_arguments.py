"""What a person types as `key=value`, in the types that a tool wants."""

from typing import Any

import pytest

from terminal.arguments import Mistyped, arguments

SCHEMA: dict[str, Any] = {
    "type": "object",
    "$defs": {"Colour": {"enum": ["red", "5"]}, "Loop": {"$ref": "#/$defs/Loop"}, "a/b": {"type": "integer"}},
    "properties": {
        "text": {"type": "string"},
        "count": {"type": "integer"},
        "share": {"type": "number"},
        "sure": {"type": "boolean"},
        "names": {"type": "array", "items": {"type": "string"}},
        "sizes": {"type": "array", "items": {"type": "integer"}},
        "more": {"type": "object"},
        "either": {"type": ["integer", "null"]},
        "optional": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "one_or_many": {"oneOf": [{"type": "string"}, {"type": "array"}]},
        "colour": {"$ref": "#/$defs/Colour"},
        "slashed": {"$ref": "#/$defs/a~1b"},
        "circle": {"$ref": "#/$defs/Loop"},
        "nowhere": {"$ref": "#/$defs/Missing"},
        "anything": {},
        "odd": {"type": "file"},
        "wrong": 5,
    },
}


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (["text=5"], {"text": "5"}),
        (["text=a=b"], {"text": "a=b"}),
        (["text="], {"text": ""}),
        (["count=5"], {"count": 5}),
        (["count=5.0"], {"count": 5}),
        (["share=5"], {"share": 5}),
        (["share=0.5"], {"share": 0.5}),
        (["sure=true"], {"sure": True}),
        (["names=a"], {"names": ["a"]}),
        (["names=a", "names=5"], {"names": ["a", "5"]}),
        (['names=["a", "b"]'], {"names": ["a", "b"]}),
        (["sizes=1", "sizes=2"], {"sizes": [1, 2]}),
        (["sizes=[]"], {"sizes": []}),
        (['more={"a": 1}'], {"more": {"a": 1}}),
        (["either=null"], {"either": None}),
        (["either=3"], {"either": 3}),
        (["optional=x"], {"optional": "x"}),
        (["optional=5"], {"optional": "5"}),
        (["one_or_many=x"], {"one_or_many": "x"}),
        (["one_or_many=x", "one_or_many=y"], {"one_or_many": ["x", "y"]}),
        (["colour=5"], {"colour": "5"}),
        (["slashed=7"], {"slashed": 7}),
        (["circle=7"], {"circle": 7}),
        (["nowhere=x"], {"nowhere": "x"}),
        (["anything=5"], {"anything": 5}),
        (["anything=hello"], {"anything": "hello"}),
        (["anything=a", "anything=b"], {"anything": ["a", "b"]}),
        (["odd=x"], {"odd": "x"}),
        (["wrong=x"], {"wrong": "x"}),
    ],
)
def test_a_value_is_of_the_type_that_the_tool_wants(words: list[str], value: dict[str, Any]) -> None:
    assert arguments(words, SCHEMA, {}) == value


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["count=many"], "'count': expected a whole number"),
        (["count=5.5"], "'count': expected a whole number"),
        (["share=NaN"], "'share': expected a number"),
        (["sure=yes"], "'sure': expected true or false"),
        (["more=[]"], "'more': expected a JSON object"),
        (["either=x"], "'either': expected a whole number or null"),
        (["sizes=x"], "'sizes': expected a whole number"),
        (["text=a", "text=b"], "'text' stands here 2 times, and is no list"),
        (["txt=a"], "the tool has no argument 'txt'; did you mean 'text'?"),
        (["zzz=a"], "the tool has no argument 'zzz'; there is text, count"),
        (["text"], "expected KEY=VALUE in place of 'text'"),
        (["=x"], "expected KEY=VALUE in place of '=x'"),
    ],
)
def test_what_cannot_be_is_named(words: list[str], said: str) -> None:
    with pytest.raises(Mistyped) as caught:
        arguments(words, SCHEMA, {})
    assert str(caught.value).startswith(said)


def test_where_no_schema_is_known_a_value_is_json_or_a_text() -> None:
    assert arguments(["a=5", "b=x", "c=[1]", "d={", "e=1", "e=x"], None, {}) == {
        "a": 5,
        "b": "x",
        "c": [1],
        "d": "{",
        "e": [1, "x"],
    }


def test_words_win_over_json() -> None:
    assert arguments(["count=2"], SCHEMA, {"count": 1, "text": "x"}) == {"count": 2, "text": "x"}


def test_a_tool_that_takes_more_than_it_says_is_believed() -> None:
    schema = {"properties": {}, "additionalProperties": True}
    assert arguments(["a=1"], schema, {}) == {"a": 1}
