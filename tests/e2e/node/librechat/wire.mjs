// HTTP as LibreChat does it: undici, with its timeouts for headers and bodies, and a bound on what an answer may hold.

import { Agent, Response, fetch } from "undici";

const MIB = 1024 * 1024;

export const BOUNDS = { maxResponseBytes: 16 * MIB, maxLineBytes: 5 * MIB };

export class Wire {
  #agents;
  #bounds;
  #journal;

  constructor({ headersTimeout, bodyTimeout, sseReadTimeout, bounds, journal }) {
    this.#agents = {
      GET: new Agent({ headersTimeout, bodyTimeout: sseReadTimeout }),
      POST: new Agent({ headersTimeout, bodyTimeout }),
    };
    this.#bounds = { ...BOUNDS, ...bounds };
    this.#journal = journal;
  }

  // One exchange; `about` is what the journal is to know of it.
  async fetch(url, init, about) {
    const { method = "GET", body } = init;
    const message = method === "POST" ? parsed(body) : undefined;
    const entry = this.#journal.add({ ...about, http: method, rpc: message?.method ?? null, id: message?.id ?? null }, init);
    try {
      const dispatcher = this.#agents[method === "GET" ? "GET" : "POST"];
      const response = await fetch(url, { ...init, dispatcher });
      this.#journal.note(entry, { status: response.status, type: response.headers.get("content-type") });
      return method === "GET" ? response : this.#bounded(response, message);
    } catch (error) {
      this.#journal.note(entry, { status: -1, error: String(error.cause ?? error) });
      throw error;
    }
  }

  async close() {
    await Promise.all(Object.values(this.#agents).map((each) => each.destroy()));
  }

  #bounded(response, message) {
    if (response.body === null) return response;
    const streams = response.headers.get("content-type")?.startsWith("text/event-stream");
    const { maxResponseBytes, maxLineBytes } = this.#bounds;
    const body = response.body
      .pipeThrough(total(maxResponseBytes))
      .pipeThrough(streams ? lines(maxLineBytes, message?.id) : new TransformStream());
    return new Response(body, { status: response.status, statusText: response.statusText, headers: response.headers });
  }
}

// All of it together may be so long; more is a broken exchange.
function total(limit) {
  let seen = 0;
  return new TransformStream({
    transform(chunk, controller) {
      seen += chunk.length;
      if (seen > limit) controller.error(new Error(`the response exceeds ${limit} bytes`));
      else controller.enqueue(chunk);
    },
  });
}

// Each line may be so long; one that is longer stands for an error of the request.
function lines(limit, id) {
  let length = 0;
  let rest = [];
  return new TransformStream({
    transform(chunk, controller) {
      const end = chunk.lastIndexOf(0x0a);
      length = end < 0 ? length + chunk.length : chunk.length - end - 1;
      rest.push(chunk);
      if (length > limit) {
        const error = { code: -32000, message: `a line of the response exceeds ${limit} bytes` };
        const text = `event: message\ndata: ${JSON.stringify({ jsonrpc: "2.0", id, error })}\n\n`;
        controller.enqueue(new TextEncoder().encode(text));
        controller.terminate();
      } else if (end >= 0) {
        for (const each of rest) controller.enqueue(each);
        rest = [];
      }
    },
    flush(controller) {
      for (const each of rest) controller.enqueue(each);
    },
  });
}

function parsed(body) {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}
