// One MCP session of LibreChat's: how it is opened, how its end is noticed, and how it is built again.

import { setImmediate, setTimeout as sleep } from "node:timers/promises";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { CallToolResultSchema, ToolListChangedNotificationSchema } from "@modelcontextprotocol/sdk/types.js";
import { CircuitOpen } from "./breaker.mjs";

const TRIES = 3;
const REBUILDS = 3;
const GOODBYE = 5_000;

export class Connection {
  state = "disconnected";
  sessions = []; // the ids of all sessions that it has had
  tools = [];
  #client;
  #transport;
  #settings;
  #wire;
  #breaker;
  #who;
  #headers;
  #lasting;
  #checked = 0;
  #rebuilding;
  #disposed = false;

  // `settings` are the server's, with all defaults; `lasting` is false where it is for one chat turn alone, or a look.
  constructor({ settings, wire, breaker, who, headers, lasting = true }) {
    this.#settings = settings;
    this.#wire = wire;
    this.#breaker = breaker;
    this.#who = who;
    this.#headers = headers;
    this.#lasting = lasting;
    this.#client = new Client({ name: "@librechat/api-client", version: "1.2.3" }, { capabilities: {} });
    this.#client.setNotificationHandler(ToolListChangedNotificationSchema, () => this.#listAgain());
  }

  get facts() {
    const rebuilding = this.#rebuilding !== undefined;
    return { state: this.state, sessions: this.sessions, tools: this.tools.length, rebuilding };
  }

  get pace() {
    return this.#settings.factor;
  }

  // Headers are made anew for every call; the open GET keeps those that it had.
  refresh(headers) {
    this.#headers = headers;
  }

  // The last look is so long ago that the next call looks again.
  forgetCheck() {
    this.#checked = 0;
  }

  async connect() {
    if (this.#lasting) this.#breaker.cycle();
    await setImmediate();
    const deadline = Date.now() + this.#settings.initTimeout;
    this.state = "connecting";
    for (let attempt = 1; ; attempt += 1) {
      this.#refuseIfOpen();
      try {
        await this.#open(deadline - Date.now());
        break;
      } catch (error) {
        await this.#close();
        this.#countFailure(error);
        if (isTooMany(error) || attempt === TRIES || Date.now() >= deadline) {
          this.state = "error";
          throw error;
        }
        await sleep(2_000 * attempt * this.pace);
      }
    }
    this.#breaker.succeeded();
    this.#checked = Date.now();
    this.state = "connected";
  }

  async listTools() {
    const tools = [];
    let cursor;
    do {
      const page = await this.#client.listTools(cursor ? { cursor } : undefined, { timeout: this.#settings.timeout });
      tools.push(...page.tools);
      cursor = page.nextCursor;
    } while (cursor);
    this.tools = tools;
  }

  // Whether it is there, as far as is known: within the TTL of the last look nobody looks again.
  async isConnected() {
    if (this.state !== "connected") return false;
    if (Date.now() - this.#checked < this.#settings.connectionCheckTtl) return true;
    try {
      await this.#client.ping({ timeout: this.#settings.timeout });
    } catch (error) {
      if (!/-32601|-32602|method not found/i.test(String(error))) return false;
    }
    this.#checked = Date.now();
    return true;
  }

  // No progress token is sent, so no progress prolongs the timeout.
  callTool(name, args, signal) {
    const { timeout } = this.#settings;
    const options = { timeout, resetTimeoutOnProgress: true, signal };
    return this.#client.request({ method: "tools/call", params: { name, arguments: args } }, CallToolResultSchema, options);
  }

  // Wait for the end of what is being built again.
  async settled() {
    while (this.#rebuilding !== undefined) await this.#rebuilding;
  }

  async dispose() {
    this.#disposed = true;
    this.state = "disconnected";
    await this.#leave();
  }

  // Have it vanish, as at the end of the whole process.
  async crash() {
    this.#disposed = true;
    this.state = "disconnected";
    await this.#close();
  }

  async #open(within) {
    const transport = this.#newTransport();
    this.#transport = transport;
    transport.onerror = (error) => this.#fail(transport, error);
    const send = transport.send.bind(transport);
    // A question that is answered with nothing, which is a ping, is not answered.
    transport.send = async (message, options) => (isEmptyResult(message) ? undefined : send(message, options));
    await this.#client.connect(transport, { timeout: within });
    if (transport.sessionId !== undefined) this.sessions.push(transport.sessionId);
    await this.#client.ping({ timeout: within });
  }

  #newTransport() {
    const url = new URL(this.#settings.url);
    const headers = this.#headers;
    const fetch = (target, init) => this.#fetch(target, init);
    if (this.#settings.type === "sse") {
      const open = (target, init) =>
        this.#fetch(target, { ...init, headers: { ...headers, "cache-control": "no-cache" }, redirect: "manual" });
      return new SSEClientTransport(url, { requestInit: { headers }, eventSourceInit: { fetch: open }, fetch });
    }
    const initialReconnectionDelay = 1_000 * this.pace;
    return new StreamableHTTPClientTransport(url, {
      requestInit: { headers },
      reconnectionOptions: {
        initialReconnectionDelay,
        maxReconnectionDelay: 30_000 * this.pace,
        reconnectionDelayGrowFactor: 1.5,
        maxRetries: 2,
      },
      fetch,
    });
  }

  #fetch(target, init) {
    const headers = new Headers(init.headers);
    if (init.method === "POST" || init.method === "DELETE") {
      for (const [name, value] of Object.entries(this.#headers)) headers.set(name, value);
    }
    return this.#wire.fetch(target, { ...init, headers: Object.fromEntries(headers) }, { user: this.#who });
  }

  #fail(transport, error) {
    if (transport !== this.#transport || this.state !== "connected" || this.#disposed) return;
    if (error.name === "AbortError" || /^Error: (SSE stream disconnected|Failed to reconnect|Maximum)/.test(String(error))) {
      return; // the SDK comes back by itself
    }
    if (error instanceof SyntaxError || error.name === "ZodError") return;
    this.state = "error";
    if (![401, 403].includes(statusOf(error))) this.#rebuild();
  }

  #rebuild() {
    this.#rebuilding ??= this.#build().finally(() => {
      this.#rebuilding = undefined;
    });
  }

  async #build() {
    for (let attempt = 1; attempt <= REBUILDS; attempt += 1) {
      await sleep((Math.min(1_000 * 2 ** attempt, 30_000) + Math.random() * 1_000) * this.pace);
      if (this.#disposed) return;
      await this.#leave();
      try {
        await this.connect();
        await this.listTools();
        return;
      } catch (error) {
        this.state = "error";
        if (isTooMany(error)) return;
      }
    }
  }

  async #listAgain() {
    await sleep(250 * this.pace);
    await this.listTools();
  }

  #refuseIfOpen() {
    if (this.#lasting && this.#breaker.isOpen) {
      this.state = "error";
      throw new CircuitOpen("Circuit breaker is open");
    }
  }

  #countFailure(error) {
    const counts = ![401, 403, 429].includes(statusOf(error));
    if (this.#lasting && counts) this.#breaker.failedRound();
  }

  // Say goodbye, within five seconds and whatever comes of it, then close.
  async #leave() {
    const goodbye = this.#transport?.terminateSession?.() ?? Promise.resolve();
    await Promise.race([goodbye.catch(() => undefined), sleep(GOODBYE, undefined, { ref: false })]);
    await this.#close();
  }

  async #close() {
    this.#transport = undefined;
    await this.#client.close();
  }
}

function statusOf(error) {
  return error.code ?? Number(/HTTP (\d+)/.exec(String(error))?.[1]);
}

function isTooMany(error) {
  return statusOf(error) === 429 || /rate limit|too many requests/i.test(String(error));
}

function isEmptyResult(message) {
  return message.result !== undefined && Object.keys(message.result).length === 0;
}
