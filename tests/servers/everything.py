"""A stdio server with all that the official conformance suite asks for, in both eras of the protocol.

The client's first message decides which era a process serves. `everything_legacy` is the same server without the newer
era, `everything_http` the same over HTTP.
"""

import json
import warnings

import anyio
import mcp_types as types
from everything_calls import BUS, Call, InputRequired, ToolFailed, form
from everything_more import QUESTIONS, answer_to, subscribe, unsubscribe
from everything_tools import PIXEL, TOOLS, embedded, image, listed
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import NotificationOptions, Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import ListenHandler
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

NAME = "everything"
CHANGES = NotificationOptions(prompts_changed=True, resources_changed=True, tools_changed=True)
LEGACY_RESOURCE_NOT_FOUND = -32002


async def list_tools(ctx: ServerRequestContext, params: object) -> types.ListToolsResult:
    return types.ListToolsResult(tools=listed())


async def call_tool(
    ctx: ServerRequestContext, params: types.CallToolRequestParams
) -> types.CallToolResult | types.InputRequiredResult:
    if params.name not in TOOLS:
        raise MCPError(types.INVALID_PARAMS, f"there is no tool {params.name!r}")
    function, _ = TOOLS[params.name]
    call = Call(ctx, params.arguments or {}, params.input_responses or {}, params.request_state)
    try:
        content = await function(call)
    except InputRequired as asking:
        return asking.result
    except ToolFailed as failure:
        return types.CallToolResult(content=[types.TextContent(text=str(failure))], is_error=True)
    if isinstance(content, types.CallToolResult):
        return content
    blocks = [types.TextContent(text=content)] if isinstance(content, str) else content
    return types.CallToolResult(content=blocks)


PROMPTS: dict[str, tuple[str, list[str]]] = {
    "test_simple_prompt": ("A text.", []),
    "test_prompt_with_arguments": ("A text with what was given.", ["arg1", "arg2"]),
    "test_prompt_with_embedded_resource": ("A resource, and a text.", ["resourceUri"]),
    "test_prompt_with_image": ("An image, and a text.", []),
    "test_input_required_result_prompt": ("A text with what the user was asked for.", []),
}
"""By name: what it is, and the arguments that it needs."""


async def list_prompts(ctx: ServerRequestContext, params: object) -> types.ListPromptsResult:
    prompts = []
    for name, (description, needed) in PROMPTS.items():
        arguments = [types.PromptArgument(name=each, required=True) for each in needed]
        prompts.append(types.Prompt(name=name, description=description, arguments=arguments))
    return types.ListPromptsResult(prompts=prompts)


async def get_prompt(
    ctx: ServerRequestContext, params: types.GetPromptRequestParams
) -> types.GetPromptResult | types.InputRequiredResult:
    call = Call(ctx, params.arguments or {}, params.input_responses or {}, params.request_state)
    try:
        said = await _said(call, params.name)
    except InputRequired as asking:
        return asking.result
    except KeyError as missing:
        raise MCPError(types.INVALID_PARAMS, f"the argument {missing} is missing") from None
    except ToolFailed as failure:
        raise MCPError(types.INTERNAL_ERROR, str(failure)) from None
    return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=each) for each in said])


async def _said(call: Call, name: str) -> list[types.ContentBlock]:
    given = call.arguments
    match name:
        case "test_simple_prompt":
            return [types.TextContent(text="This is a simple prompt for testing.")]
        case "test_prompt_with_arguments":
            text = f"Prompt with arguments: arg1='{given['arg1']}', arg2='{given['arg2']}'"
            return [types.TextContent(text=text)]
        case "test_prompt_with_embedded_resource":
            resource = embedded(given["resourceUri"], "text/plain", "Embedded resource content for testing.")
            return [resource, types.TextContent(text="Please process the embedded resource above.")]
        case "test_prompt_with_image":
            return [image(), types.TextContent(text="Please analyze the image above.")]
        case "test_input_required_result_prompt":
            question = form("What context should the prompt use?", context={"type": "string"})
            answer = (await call.ask(user_context=question))["user_context"]
            return [types.TextContent(text=f"The context: {(answer.content or {}).get('context', 'none')}")]
    raise MCPError(types.INVALID_PARAMS, f"there is no prompt {name!r}")


TEXTS = {
    "test://static-text": "This is the content of the static text resource.",
    "test://watched-resource": "Watched resource content",
}
IMAGE = "test://static-binary"
TEMPLATE = "test://template/{id}/data"


async def list_resources(ctx: ServerRequestContext, params: object) -> types.ListResourcesResult:
    texts = [types.Resource(uri=uri, name=uri.partition("//")[2], mime_type="text/plain") for uri in TEXTS]
    picture = types.Resource(uri=IMAGE, name="static-binary", mime_type="image/png")
    return types.ListResourcesResult(resources=[*texts, picture])


async def list_templates(ctx: ServerRequestContext, params: object) -> types.ListResourceTemplatesResult:
    template = types.ResourceTemplate(uri_template=TEMPLATE, name="template", mime_type="application/json")
    return types.ListResourceTemplatesResult(resource_templates=[template])


async def read_resource(ctx: ServerRequestContext, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
    uri = str(params.uri)
    if uri == IMAGE:
        return types.ReadResourceResult(
            contents=[types.BlobResourceContents(uri=uri, mime_type="image/png", blob=PIXEL)]
        )
    before, after = TEMPLATE.split("{id}")
    if uri in TEXTS:
        text, mime_type = TEXTS[uri], "text/plain"
    elif uri.startswith(before) and uri.endswith(after):
        id_ = uri.removeprefix(before).removesuffix(after)
        said = {"id": id_, "templateTest": True, "data": f"Data for ID: {id_}"}
        text, mime_type = json.dumps(said, separators=(",", ":")), "application/json"
    else:
        modern = ctx.protocol_version in MODERN_PROTOCOL_VERSIONS
        code = types.INVALID_PARAMS if modern else LEGACY_RESOURCE_NOT_FOUND
        raise MCPError(code, "Resource not found", {"uri": uri})
    return types.ReadResourceResult(contents=[types.TextResourceContents(uri=uri, mime_type=mime_type, text=text)])


async def nothing(ctx: ServerRequestContext, params: object) -> types.EmptyResult:
    return types.EmptyResult()


async def complete(ctx: ServerRequestContext, params: types.CompleteRequestParams) -> types.CompleteResult:
    if params.argument.name in QUESTIONS:
        return types.CompleteResult(completion=types.Completion(values=[await answer_to(ctx, params.argument.name)]))
    values = [each for each in ("paris", "park", "party") if each.startswith(params.argument.value)]
    return types.CompleteResult(completion=types.Completion(values=values, total=len(values), has_more=False))


def make() -> Server:
    """The server, for any transport."""
    with warnings.catch_warnings(category=MCPDeprecationWarning, action="ignore"):
        server: Server = Server(
            NAME,
            version="1",
            on_list_tools=list_tools,
            on_call_tool=call_tool,
            on_list_prompts=list_prompts,
            on_get_prompt=get_prompt,
            on_list_resources=list_resources,
            on_list_resource_templates=list_templates,
            on_read_resource=read_resource,
            on_subscribe_resource=subscribe,
            on_unsubscribe_resource=unsubscribe,
            on_set_logging_level=nothing,
            on_completion=complete,
            on_subscriptions_listen=ListenHandler(BUS),
            get_tool_input_schema=lambda name: TOOLS[name][1] if name in TOOLS else None,
        )
    server.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience=NAME))
    return server


async def serve() -> None:
    """Serve on stdin and stdout until stdin closes."""
    server = make()
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options(CHANGES))


if __name__ == "__main__":
    warnings.simplefilter("ignore", MCPDeprecationWarning)
    anyio.run(serve)
