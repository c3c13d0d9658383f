"""One call of a tool or a prompt, and its questions to the client, in both eras of the protocol.

Where there is a back channel (2025-11-25 and before), a question is a request of the server's own, and its answer comes
while the call waits. Since 2026-07-28 the call itself ends with the questions, and the client calls again with the
answers: the function then runs again from its start, and what it was told before is in the state that the client kept.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import anyio
import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ToolsListChanged,
)
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

BUS = InMemorySubscriptionBus()
"""Whom to tell of changes, in the era of `subscriptions/listen`."""

SUBSCRIBED: set[str] = set()
"""The resources to which the client has subscribed, in the era before that."""

CAPABILITIES = {
    "elicitation/create": "elicitation",
    "sampling/createMessage": "sampling",
    "roots/list": "roots",
}
"""What a client must have declared to be asked."""

ANSWERS: dict[str, type[types.Result]] = {
    "elicitation/create": types.ElicitResult,
    "sampling/createMessage": types.CreateMessageResult,
    "roots/list": types.ListRootsResult,
}


class ToolFailed(Exception):
    """The tool's own failure, which is a result with `isError`."""


class InputRequired(Exception):
    """The call ends here, with questions."""

    def __init__(self, result: types.InputRequiredResult) -> None:
        super().__init__("input required")
        self.result = result


def form(message: str, **fields: dict) -> types.ElicitRequest:
    """A question to the user. What has no default must be answered."""
    required = [name for name, field in fields.items() if "default" not in field]
    schema = {"type": "object", "properties": fields, "required": required}
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=schema))


def confirmation(message: str) -> types.ElicitRequest:
    """A question to the user that is answered with yes or no."""
    return form(message, ok={"type": "boolean"})


def sampling(prompt: str, max_tokens: int) -> types.CreateMessageRequest:
    """A question to the client's model."""
    said = types.SamplingMessage(role="user", content=types.TextContent(text=prompt))
    return types.CreateMessageRequest(params=types.CreateMessageRequestParams(messages=[said], max_tokens=max_tokens))


def roots() -> types.ListRootsRequest:
    """The question which roots the client has."""
    return types.ListRootsRequest()


@dataclass
class Call:
    """A call, with what the client has answered so far."""

    ctx: ServerRequestContext
    arguments: Mapping
    responses: Mapping
    state: str | None

    @property
    def modern(self) -> bool:
        """Whether there is no back channel."""
        return self.ctx.protocol_version in MODERN_PROTOCOL_VERSIONS

    def may_ask(self, question: types.InputRequest) -> bool:
        """Whether the client has declared that it can be asked this."""
        declared = self.ctx.session.client_capabilities
        return declared is not None and getattr(declared, CAPABILITIES[question.method]) is not None

    async def log(self, text: str) -> None:
        """Send a line of the log to the client, if it wants it."""
        await self.ctx.session.send_log_message("info", text, related_request_id=self.ctx.request_id)

    async def tools_changed(self) -> None:
        """Tell the client that the list of tools is another."""
        if self.modern:
            await BUS.publish(ToolsListChanged())
        else:
            await self.ctx.session.send_tool_list_changed()

    async def prompts_changed(self) -> None:
        """Tell the client that the list of prompts is another."""
        if self.modern:
            await BUS.publish(PromptsListChanged())
        else:
            await self.ctx.session.send_prompt_list_changed()

    async def resources_changed(self) -> None:
        """Tell the client that the list of resources is another."""
        if self.modern:
            await BUS.publish(ResourcesListChanged())
        else:
            await self.ctx.session.send_resource_list_changed()

    async def resource_updated(self, uri: str) -> None:
        """Tell the client that a resource is another, if it has subscribed to that."""
        if self.modern:
            await BUS.publish(ResourceUpdated(uri=uri))
        elif uri in SUBSCRIBED:
            await self.ctx.session.send_resource_updated(uri)

    async def ask(self, *, keep: bool = False, **questions: types.InputRequest) -> dict:
        """Ask the client, all at once; the answers, by the questions' keys.

        With `keep`, the client has to hand back what it has answered up to now, where the call ends with the questions.

        Raises InputRequired in place of waiting, ToolFailed if the client refuses, and MCPError if it cannot be asked.
        """
        return self._look_up(keep, questions) if self.modern else await self._push(questions)

    def _look_up(self, keep: bool, questions: dict[str, types.InputRequest]) -> dict:
        unable = {CAPABILITIES[each.method]: {} for each in questions.values() if not self.may_ask(each)}
        if unable:
            text = f"this needs a client with {', '.join(unable)}"
            raise MCPError(types.MISSING_REQUIRED_CLIENT_CAPABILITY, text, {"requiredCapabilities": unable})
        answered = json.loads(self.state or "{}")
        answered |= {key: said.model_dump(mode="json", by_alias=True) for key, said in self.responses.items()}
        if not answered.keys() >= questions.keys():
            state = json.dumps(answered) if keep else None
            raise InputRequired(types.InputRequiredResult(input_requests=questions, request_state=state))
        return {key: ANSWERS[each.method].model_validate(answered[key]) for key, each in questions.items()}

    async def _push(self, questions: dict[str, types.InputRequest]) -> dict:
        answers = {}

        async def put(key: str, question: types.InputRequest) -> None:
            belongs = ServerMessageMetadata(related_request_id=self.ctx.request_id)
            answers[key] = await self.ctx.session.send_request(question, ANSWERS[question.method], metadata=belongs)

        try:
            async with anyio.create_task_group() as tasks:
                for key, question in questions.items():
                    tasks.start_soon(put, key, question)
        except* MCPError as failed:
            raise ToolFailed(f"the client was asked, and refused: {failed.exceptions[0]}") from None
        return answers
