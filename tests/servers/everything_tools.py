"""What the servers for the official conformance suite offer: the tools, prompts and resources that its scenarios name.

The payloads are the suite's contract: each of its server scenarios prints what it expects in its description. They are
the same whichever revision is spoken; how a question reaches the client is `everything_calls.Call.ask`'s affair.
"""

import json
from collections.abc import Awaitable, Callable

import anyio
import mcp_types as types
from everything_calls import Call, ToolFailed, confirmation, form, roots, sampling

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
SILENCE = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="

STEP = 0.05
"""Seconds between two things that a tool says, as the contract has it."""

Content = str | list[types.ContentBlock] | types.CallToolResult
Tool = Callable[[Call], Awaitable[Content]]

NO_ARGUMENTS = {"type": "object", "properties": {}}

TOOLS: dict[str, tuple[Tool, dict]] = {}
"""By name: what to do, and the schema of its arguments."""

OUTPUTS: dict[str, dict] = {}
"""The schema of its result, by name of a tool that has one."""


def tool(schema: dict = NO_ARGUMENTS) -> Callable[[Tool], Tool]:
    """Offer a function as the tool of its name."""

    def offer(function: Tool) -> Tool:
        TOOLS[function.__name__] = (function, schema)
        return function

    return offer


def one_text(name: str, **rest) -> dict:
    """The schema of one text that must be given."""
    return {"type": "object", "properties": {name: {"type": "string", **rest}}, "required": [name]}


def listed() -> list[types.Tool]:
    """What `tools/list` says."""
    return [
        types.Tool(
            name=name,
            description=(function.__doc__ or "").strip(),
            input_schema=schema,
            output_schema=OUTPUTS.get(name),
        )
        for name, (function, schema) in TOOLS.items()
    ]


def image() -> types.ImageContent:
    return types.ImageContent(data=PIXEL, mime_type="image/png")


def embedded(uri: str, mime_type: str, text: str) -> types.EmbeddedResource:
    return types.EmbeddedResource(resource=types.TextResourceContents(uri=uri, mime_type=mime_type, text=text))


@tool()
async def test_simple_text(call: Call) -> Content:
    """A text."""
    return "This is a simple text response for testing."


@tool()
async def test_image_content(call: Call) -> Content:
    """An image."""
    return [image()]


@tool()
async def test_audio_content(call: Call) -> Content:
    """A sound."""
    return [types.AudioContent(data=SILENCE, mime_type="audio/wav")]


@tool()
async def test_embedded_resource(call: Call) -> Content:
    """A resource, in the answer itself."""
    return [embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")]


@tool()
async def test_multiple_content_types(call: Call) -> Content:
    """A text, an image and a resource."""
    data = json.dumps({"test": "data", "value": 123}, separators=(",", ":"))
    return [
        types.TextContent(text="Multiple content types test:"),
        image(),
        embedded("test://mixed-content-resource", "application/json", data),
    ]


@tool()
async def test_error_handling(call: Call) -> Content:
    """Fails."""
    raise ToolFailed("This tool intentionally returns an error for testing")


@tool()
async def test_tool_with_logging(call: Call) -> Content:
    """Logs three lines."""
    await call.log("Tool execution started")
    await anyio.sleep(STEP)
    await call.log("Tool processing data")
    await anyio.sleep(STEP)
    await call.log("Tool execution completed")
    return "Tool with logging executed successfully"


@tool()
async def test_logging_tool(call: Call) -> Content:
    """Logs one line."""
    await call.log("Logged by the tool")
    return "logged"


@tool()
async def test_tool_with_progress(call: Call) -> Content:
    """Reports progress three times."""
    for done in (0, 50, 100):
        await call.ctx.session.report_progress(done, 100, f"Completed step {done} of 100")
        await anyio.sleep(STEP)
    return "Tool with progress executed successfully"


@tool()
async def test_reconnection(call: Call) -> Content:
    """Closes the stream that its answer will come on, where the transport has one that can be closed."""
    await call.log("Before disconnect")
    if call.ctx.close_sse_stream is not None:
        await call.ctx.close_sse_stream()
    await anyio.sleep(4 * STEP)
    await call.log("After reconnect")
    return "Reconnection test completed"


@tool(one_text("prompt"))
async def test_sampling(call: Call) -> Content:
    """Has the client's model say something."""
    said = (await call.ask(answer=sampling(call.arguments["prompt"], 100)))["answer"]
    return f"LLM response: {said.content.text}"


@tool(one_text("message"))
async def test_elicitation(call: Call) -> Content:
    """Asks the user for a name and an address."""
    name = {"type": "string", "description": "User's response"}
    address = {"type": "string", "description": "User's email address"}
    said = (await call.ask(answer=form(call.arguments["message"], username=name, email=address)))["answer"]
    return f"User response: action={said.action}, content={json.dumps(said.content or {})}"


@tool()
async def test_streaming_elicitation(call: Call) -> Content:
    """Asks the user whether to go on."""
    said = (await call.ask(confirm=confirmation("Go on?")))["confirm"]
    return f"User response: action={said.action}"


@tool()
async def test_elicitation_sep1034_defaults(call: Call) -> Content:
    """Asks the user with a default for each primitive type."""
    return await _completed(
        call,
        "Please provide user information",
        name={"type": "string", "description": "User name", "default": "John Doe"},
        age={"type": "integer", "description": "User age", "default": 30},
        score={"type": "number", "description": "User score", "default": 95.5},
        status={
            "type": "string",
            "description": "User status",
            "enum": ["active", "inactive", "pending"],
            "default": "active",
        },
        verified={"type": "boolean", "description": "Verification status", "default": True},
    )


def _titled(*pairs: tuple[str, str]) -> list[dict]:
    return [{"const": value, "title": title} for value, title in pairs]


@tool()
async def test_elicitation_sep1330_enums(call: Call) -> Content:
    """Asks the user with each kind of choice."""
    of_values = _titled(("value1", "First Option"), ("value2", "Second Option"), ("value3", "Third Option"))
    of_choices = _titled(("value1", "First Choice"), ("value2", "Second Choice"), ("value3", "Third Choice"))
    options = ["option1", "option2", "option3"]
    return await _completed(
        call,
        "Please choose",
        untitledSingle={"type": "string", "enum": options},
        titledSingle={"type": "string", "oneOf": of_values},
        legacyEnum={
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        untitledMulti={"type": "array", "items": {"type": "string", "enum": options}},
        titledMulti={"type": "array", "items": {"anyOf": of_choices}},
    )


async def _completed(call: Call, message: str, **fields: dict) -> Content:
    said = (await call.ask(answer=form(message, **fields)))["answer"]
    return f"Elicitation completed: action={said.action}, content={json.dumps(said.content or {})}"


@tool(
    {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
            }
        },
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    }
)
async def json_schema_2020_12_tool(call: Call) -> Content:
    """Has a schema with the newer keywords."""
    return json.dumps(call.arguments)


@tool(one_text("region", **{"x-mcp-header": "Region"}))
async def test_x_mcp_header(call: Call) -> Content:
    """Has an argument that stands in a header, too."""
    return f"region: {call.arguments['region']}"


@tool()
async def test_missing_capability(call: Call) -> Content:
    """Needs a client that can sample."""
    said = (await call.ask(answer=sampling("Say something", 10)))["answer"]
    return said.content.text


@tool()
async def test_trigger_tool_change(call: Call) -> Content:
    """Says that the list of tools is another."""
    await call.tools_changed()
    return "said"


@tool()
async def test_trigger_prompt_change(call: Call) -> Content:
    """Says that the list of prompts is another."""
    await call.prompts_changed()
    return "said"


NAME = {"type": "string"}


@tool()
async def test_input_required_result_elicitation(call: Call) -> Content:
    """Asks for a name."""
    said = (await call.ask(user_name=form("What is your name?", name=NAME)))["user_name"]
    return f"Hello, {(said.content or {}).get('name', 'stranger')}!"


@tool()
async def test_input_required_result_sampling(call: Call) -> Content:
    """Asks the client's model."""
    question = sampling("What is the capital of France?", 100)
    return (await call.ask(capital_question=question))["capital_question"].content.text


@tool()
async def test_input_required_result_list_roots(call: Call) -> Content:
    """Asks for the client's roots."""
    said = (await call.ask(client_roots=roots()))["client_roots"]
    return "Roots: " + ", ".join(str(root.uri) for root in said.roots)


@tool()
async def test_input_required_result_request_state(call: Call) -> Content:
    """Asks, and has the client keep what it knows so far."""
    await call.ask(keep=True, confirm=confirmation("Please confirm"))
    return "state-ok"


@tool()
async def test_input_required_result_tampered_state(call: Call) -> Content:
    """Asks, and has the client keep what it knows so far, which it must not change."""
    await call.ask(keep=True, confirm=confirmation("Please confirm"))
    return "state-ok"


@tool()
async def test_input_required_result_multiple_inputs(call: Call) -> Content:
    """Asks three things at once."""
    said = await call.ask(
        keep=True,
        user_name=form("What is your name?", name=NAME),
        greeting=sampling("Generate a greeting", 50),
        client_roots=roots(),
    )
    return f"{said['greeting'].content.text}: {len(said['client_roots'].roots)} roots"


@tool()
async def test_input_required_result_multi_round(call: Call) -> Content:
    """Asks one thing after the other."""
    first = (await call.ask(keep=True, step1=form("Step 1: What is your name?", name=NAME)))["step1"]
    color = form("Step 2: What is your favorite color?", color={"type": "string"})
    second = (await call.ask(keep=True, step2=color))["step2"]
    return f"{first.content} likes {second.content}"


@tool()
async def test_input_required_result_capabilities(call: Call) -> Content:
    """Asks only what the client can be asked."""
    questions = {"user_name": form("What is your name?", name=NAME), "greeting": sampling("Generate a greeting", 50)}
    asked = {key: question for key, question in questions.items() if call.may_ask(question)}
    said = await call.ask(**asked) if asked else {}
    return f"asked: {', '.join(said) or 'nothing'}"
