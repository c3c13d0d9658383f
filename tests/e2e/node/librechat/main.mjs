// A client that behaves as LibreChat does, written from what is known of it: shared by several tests, told what to do.
//
// Each line of stdin is `{"id": 1, "chat": 1, "command": "callTool", "params": {…}}`, and each line of stdout what came of
// one of them: `{"id": 1, "result": …}` or `{"id": 1, "error": "…"}`. `open` makes a LibreChat with the number `chat`;
// the other commands are its methods. They run side by side.

import { createInterface } from "node:readline";
import { LibreChat } from "./manager.mjs";

const chats = new Map();

const commands = {
  open: (chat, settings) => {
    chats.set(chat, new LibreChat(settings));
  },
  isPerUser: (chat) => chats.get(chat).isPerUser,
  breaker: (chat) => chats.get(chat).breaker,
  journal: (chat) => chats.get(chat).journal.entries,
  seen: (chat, { match, times }) => chats.get(chat).journal.seen(match, times),
};

async function answer({ id, chat, command, params = {} }) {
  try {
    const result = await (command in commands ? commands[command](chat, params) : chats.get(chat)[command](params));
    return { id, result: result ?? null };
  } catch (error) {
    return { id, error: String(error) };
  }
}

process.on("unhandledRejection", (error) => {
  // The SDK leaves a rejected promise behind where its own timer opens a stream that is refused. LibreChat logs those.
  process.stderr.write(`unhandled: ${error}\n`);
});

const input = createInterface({ input: process.stdin });
input.on("line", async (line) => process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line)))}\n`));
input.on("close", () => process.exit());
