// One MCP client on the TypeScript SDK, which does what it is told: `node client.mjs sse|streamable|websocket URL`.
//
// Each line of stdin is a command, `{"command": "callTool", "params": {"name": "echo"}}`, and each line of stdout what
// came of it, `{"result": …}` or `{"error": "…"}`. When stdin ends, the client says goodbye as its transport has it.

import { createInterface } from "node:readline";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { WebSocketClientTransport } from "@modelcontextprotocol/sdk/client/websocket.js";
import { CreateMessageRequestSchema, ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";

const [kind, url] = process.argv.slice(2);
const Transport = {
  sse: SSEClientTransport,
  streamable: StreamableHTTPClientTransport,
  websocket: WebSocketClientTransport,
}[kind];
const transport = new Transport(new URL(url));
const client = new Client({ name: "test", version: "1" }, { capabilities: { sampling: {}, elicitation: {} } });

client.setRequestHandler(CreateMessageRequestSchema, ({ params }) => ({
  role: "assistant",
  model: "test",
  content: { type: "text", text: `sampled: ${params.messages[0].content.text}` },
}));
client.setRequestHandler(ElicitRequestSchema, () => ({ action: "accept", content: { name: "Ada" } }));

// The methods of the notifications that no handler of the SDK takes, in order.
const heard = [];
client.fallbackNotificationHandler = ({ method }) => {
  heard.push(method);
};

let begun;

const commands = {
  connect: () => client.connect(transport),
  // The result of the tool, with all the progress that came before it.
  async callTool(params) {
    const progress = [];
    const onprogress = (report) => progress.push(report);
    return { ...(await client.callTool(params, undefined, { onprogress })), progress };
  },
  // The results of several calls at a time.
  callTools: ({ calls }) => Promise.all(calls.map((params) => client.callTool(params))),
  // Call a tool, and do not wait for it; `cancelTool` tells what came of it.
  beginTool(params) {
    const controller = new AbortController();
    const ended = client.callTool(params, undefined, { signal: controller.signal }).catch((error) => String(error));
    begun = { controller, ended };
  },
  cancelTool() {
    begun.controller.abort("no longer wanted");
    return begun.ended;
  },
  heard: () => heard,
  // Only Streamable HTTP has a request for it; over SSE, closing the stream is all there is.
  terminateSession: () => transport.terminateSession?.(),
};

async function answer({ command, params }) {
  try {
    const result = await (command in commands ? commands[command](params) : client[command](params));
    return { result: result ?? null };
  } catch (error) {
    return { error: String(error) };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line)))}\n`);
}
await commands.terminateSession();
await client.close();
process.exit();
