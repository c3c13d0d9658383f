// One MCP client on the TypeScript SDK, which does what it is told: `node client.mjs sse|streamable URL`.
//
// Each line of stdin is a command, `{"command": "callTool", "params": {"name": "echo"}}`, and each line of stdout what
// came of it, `{"result": …}` or `{"error": "…"}`. When stdin ends, the client says goodbye as its transport has it.

import { createInterface } from "node:readline";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { CreateMessageRequestSchema, ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";

const [kind, url] = process.argv.slice(2);
const Transport = { sse: SSEClientTransport, streamable: StreamableHTTPClientTransport }[kind];
const transport = new Transport(new URL(url));
const client = new Client({ name: "test", version: "1" }, { capabilities: { sampling: {}, elicitation: {} } });

client.setRequestHandler(CreateMessageRequestSchema, ({ params }) => ({
  role: "assistant",
  model: "test",
  content: { type: "text", text: `sampled: ${params.messages[0].content.text}` },
}));
client.setRequestHandler(ElicitRequestSchema, () => ({ action: "accept", content: { name: "Ada" } }));

const commands = {
  connect: () => client.connect(transport),
  // The result of the tool, with all the progress that came before it.
  async callTool(params) {
    const progress = [];
    const onprogress = (report) => progress.push(report);
    return { ...(await client.callTool(params, undefined, { onprogress })), progress };
  },
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
