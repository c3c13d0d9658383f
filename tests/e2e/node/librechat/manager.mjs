// One LibreChat process with one MCP server in its configuration: whose connection is whose, and when there is one.

import { Breaker } from "./breaker.mjs";
import { Connection } from "./connection.mjs";
import { isPerUser, resolve } from "./headers.mjs";
import { Journal } from "./journal.mjs";
import { Wire } from "./wire.mjs";

// LibreChat's own, in milliseconds. `factor` shortens the waits before it tries again, and nothing else.
const DEFAULTS = {
  type: "sse", // without a type, a URL is taken for this
  headers: {},
  timeout: 60_000,
  initTimeout: 30_000,
  sseReadTimeout: 300_000,
  connectionCheckTtl: 60_000,
  factor: 1,
  breaker: {},
  bounds: {},
  env: {},
  users: {},
};

const APP = "(app)";

export class LibreChat {
  journal = new Journal();
  #settings;
  #wire;
  #breaker;
  #connections = new Map();
  #opening = new Map();
  #begun = new Map();

  constructor(settings) {
    this.#settings = { ...DEFAULTS, ...settings };
    const { timeout, type, sseReadTimeout, bounds, headersTimeout, bodyTimeout } = this.#settings;
    const patience = type === "sse" ? 2 * timeout : timeout;
    this.#wire = new Wire({
      headersTimeout: headersTimeout ?? patience,
      bodyTimeout: bodyTimeout ?? patience,
      sseReadTimeout,
      bounds,
      journal: this.journal,
    });
    this.#breaker = new Breaker(this.#settings.breaker);
  }

  get isPerUser() {
    return isPerUser(this.#settings);
  }

  get breaker() {
    return this.#breaker.facts;
  }

  // At the start: what there is, by a session of its own; then the session for everybody, where nothing forbids that.
  async start() {
    if (this.isPerUser) return;
    const look = this.#connection(APP, { lasting: false });
    await look.connect();
    await look.listTools();
    await look.dispose();
    await this.#connectedFor(APP);
  }

  // What decides whether a server wants OAuth, where the configuration does not say so.
  async wantsOAuth() {
    const { url } = this.#settings;
    const about = { user: "(probe)" };
    const head = await this.#wire.fetch(url, { method: "HEAD", headers: {} }, about);
    if ([401, 403].includes(head.status)) return true;
    const init = { method: "POST", body: "{}", headers: { "content-type": "application/json" } };
    const posted = await this.#wire.fetch(url, init, about);
    await posted.text();
    if (posted.status === 401 && /bearer/i.test(posted.headers.get("www-authenticate") ?? "")) return true;
    const { origin, pathname } = new URL(url);
    const metadata = await this.#wire.fetch(`${origin}/.well-known/oauth-protected-resource${pathname}`, { headers: {} }, about);
    if (!metadata.ok) return false;
    return ((await metadata.json()).authorization_servers ?? []).length > 0;
  }

  // One call, as an agent makes it; `body` tells of the chat turn.
  async callTool({ user, name, arguments: args = {}, body, label }) {
    const who = this.isPerUser ? user : APP;
    const connection = await this.#connectedFor(who);
    connection.refresh(this.#headersFor(user, body));
    const controller = new AbortController();
    if (label !== undefined) this.#begun.set(label, controller);
    return summary(await connection.callTool(name, args, controller.signal));
  }

  // The user has pressed the button.
  stop({ label }) {
    this.#begun.get(label).abort("stopped by the user");
  }

  // A chat turn with a placeholder of the conversation: a session for its calls, and for nothing else.
  async turn({ user, body, calls }) {
    const connection = this.#connection(user, { lasting: false, body });
    await connection.connect();
    try {
      return await Promise.all(calls.map(async ({ name, arguments: args }) => summary(await connection.callTool(name, args ?? {}))));
    } finally {
      await connection.dispose();
    }
  }

  // All of them at once; for each "connected", or why not.
  connectAll({ users }) {
    return Promise.all(users.map((user) => this.connect({ user })));
  }

  async connect({ user }) {
    try {
      await this.#connectedFor(user);
      return "connected";
    } catch (error) {
      return String(error);
    }
  }

  // The button "initialize": a new connection, whatever the breaker says.
  async forceNew({ user }) {
    this.#breaker.reset();
    await this.disconnect({ user });
    return this.connect({ user });
  }

  async disconnect({ user }) {
    await this.#connections.get(user)?.dispose();
    this.#connections.delete(user);
  }

  async state({ user = APP }) {
    return this.#connections.get(user)?.facts ?? null;
  }

  async settled({ user = APP }) {
    await this.#connections.get(user)?.settled();
    return this.state({ user });
  }

  // The minute is over for which nobody looks whether the session is there.
  async minuteLater({ user = APP }) {
    this.#connections.get(user).forgetCheck();
  }

  async close() {
    await Promise.all([...this.#connections.values()].map((each) => each.dispose()));
    await this.#wire.close();
  }

  async crash() {
    await Promise.all([...this.#connections.values()].map((each) => each.crash()));
    await this.#wire.close();
  }

  #headersFor(user, body) {
    const { headers, env, users } = this.#settings;
    return resolve(headers, { env, user: user === APP ? undefined : { id: user, ...users[user] }, body });
  }

  #connection(who, { lasting = true, body } = {}) {
    const headers = this.#headersFor(who, body);
    return new Connection({ settings: this.#settings, wire: this.#wire, breaker: this.#breaker, who, headers, lasting });
  }

  async #connectedFor(who) {
    const known = this.#connections.get(who);
    if (known !== undefined) {
      if (await known.isConnected()) return known;
      if (this.#connections.get(who) === known) this.#connections.delete(who);
      await known.dispose();
    }
    if (!this.#opening.has(who)) this.#opening.set(who, this.#open(who).finally(() => this.#opening.delete(who)));
    return this.#opening.get(who);
  }

  async #open(who) {
    const connection = this.#connection(who);
    await connection.connect();
    await connection.listTools();
    this.#connections.set(who, connection);
    return connection;
  }
}

// Long texts stay here; a test wants to know how long they are.
function summary({ content, isError }) {
  const text = content.map((each) => each.text ?? "").join("\n");
  return { text: text.slice(0, 4096), length: text.length, isError: isError ?? false };
}
