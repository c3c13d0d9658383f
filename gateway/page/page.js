// The page: it fetches the document with what its reader came in with, has Swagger UI show it, and keeps one session.
"use strict";

(() => {
  const ROOT = new URL("..", document.currentScript.src);
  const SESSION = "sessionId";
  const at = (id) => document.getElementById(`bar-${id}`);

  let credentials = {}; // headers; in memory alone, and never in an address
  let cookies = "omit"; // else a browser asks in a window of its own for a name and a password, before this page can
  let session = "";
  let sessionTakers = []; // the calls that take a session's id, by method and pattern of path

  // What is asked of the gateway.

  async function ask(method, path, more = {}) {
    const about = { method, headers: credentials, credentials: cookies, cache: "no-store", ...more };
    const response = await fetch(new URL(path, ROOT), about);
    const said = response.ok ? null : await response.json().catch(() => ({}));
    if (!said) return response;
    const error = new Error(said.error?.message ?? `the answer was ${response.status}`);
    error.status = response.status;
    error.isOfTheGateway = Boolean(said.error?.code);
    throw error;
  }

  function say(text, isWrong = false) {
    at("said").textContent = text;
    at("said").classList.toggle("wrong", isWrong);
  }

  const attempt = (act) => async (event) => {
    event?.preventDefault();
    say("");
    try {
      await act();
    } catch (error) {
      if (error.status === 401) at("login").hidden = false;
      if (error.status === 401 && !Object.keys(credentials).length) say("This gateway asks who you are.");
      else say(error.message, true);
    }
  };

  // The document.

  const load = attempt(async () => {
    const document_ = await (await ask("GET", "openapi.json").catch(orWithCookies)).json();
    at("open").disabled = false;
    show(prepared(document_));
  });

  function orWithCookies(error) {
    if (error.isOfTheGateway) throw error;
    cookies = "same-origin"; // a proxy in front answered, or led elsewhere, and knows its users by them
    return ask("GET", "openapi.json");
  }

  function prepared(document_) {
    const root = ROOT.href.replace(/\/$/, "");
    document_.servers = [{ url: root }]; // where this page is from; its policy allows no other
    sessionTakers = [];
    for (const [path, item] of Object.entries(document_.paths ?? {})) {
      for (const [method, operation] of Object.entries(item)) {
        const parameters = [...(item.parameters ?? []), ...(operation?.parameters ?? [])];
        const id = parameters.map((each) => resolved(document_, each)).find((each) => each?.name === SESSION);
        if (!id) continue;
        id.required = false; // the session above is filled in where none is entered
        sessionTakers.push({ method: method.toUpperCase(), pattern: patternOf(root, path) });
      }
    }
    return document_;
  }

  function resolved(document_, parameter) {
    const found = parameter?.$ref?.startsWith("#/components/parameters/") && parameter.$ref.split("/").at(-1);
    return found ? document_.components?.parameters?.[found] : parameter;
  }

  function patternOf(root, path) {
    const literal = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    return new RegExp(`^${literal(root)}${path.split(/\{[^}]*\}/).map(literal).join("[^/]+")}$`);
  }

  function show(document_) {
    at("api").replaceChildren();
    SwaggerUIBundle({
      domNode: at("api"),
      spec: document_,
      presets: [SwaggerUIBundle.presets.apis],
      plugins: [plain],
      layout: "BaseLayout",
      defaultModelsExpandDepth: -1,
      displayRequestDuration: true,
      docExpansion: "list",
      filter: true,
      tryItOutEnabled: true,
      validatorUrl: null,
      requestInterceptor: (request) => filled(request),
    });
  }

  // One comes in above; and what a server says of itself is text, never a document of its own making.
  const nothing = () => () => null;
  const plain = ({ React }) => ({
    wrapComponents: {
      authorizeBtn: nothing,
      authorizeOperationBtn: nothing,
      Markdown: () => ({ source }) => React.createElement("div", { className: "as-written" }, source),
    },
  });

  function filled(request) {
    const url = new URL(request.url, ROOT);
    if (url.origin !== ROOT.origin) return request;
    request.headers = { ...request.headers, ...credentials };
    request.credentials = cookies;
    const takes = sessionTakers.some(
      (each) => each.method === request.method.toUpperCase() && each.pattern.test(url.origin + url.pathname),
    );
    if (session && takes && !url.searchParams.get(SESSION)) url.searchParams.set(SESSION, session);
    request.url = url.href;
    return request;
  }

  // The session.

  function keep(id) {
    session = id;
    at("id").textContent = id ? `${id.slice(0, 12)}…` : "none";
    at("open").textContent = id ? "Get another" : "Get a session";
    at("close").hidden = !id;
  }

  const end = (id, more) => ask("DELETE", `api/sessionid?${SESSION}=${encodeURIComponent(id)}`, more);

  async function endOurs() {
    const id = session;
    keep("");
    if (id) await end(id).catch((error) => error.status === 404 || Promise.reject(error));
  }

  at("open").addEventListener("click", attempt(async () => {
    await endOurs();
    const given = await (await ask("GET", "api/sessionid")).json();
    keep(given[SESSION]);
    say("Every call below that takes a session has yours now.");
  }));
  at("close").addEventListener("click", attempt(endOurs));
  addEventListener("pagehide", () => {
    if (session) end(session, { keepalive: true }).catch(() => {});
    keep("");
  });

  // Who one is.

  function headersOf(kind, name, secret) {
    if (kind === "key") return { "X-API-Key": secret };
    if (kind === "bearer") return { Authorization: `Bearer ${secret}` };
    const bytes = new TextEncoder().encode(`${name}:${secret}`);
    return { Authorization: `Basic ${btoa(String.fromCharCode(...bytes))}` };
  }

  at("kind").addEventListener("change", () => {
    const kind = at("kind").value;
    const what = { bearer: "token", key: "API key", basic: "password" }[kind];
    at("name").hidden = kind !== "basic";
    at("secret").placeholder = what;
    at("secret").setAttribute("aria-label", what);
  });
  at("login").addEventListener("submit", attempt(async () => {
    await endOurs().catch(() => {});
    credentials = headersOf(at("kind").value, at("name").value, at("secret").value);
    at("secret").value = "";
    at("leave").hidden = false;
    await load();
  }));
  at("leave").addEventListener("click", attempt(async () => {
    await endOurs().catch(() => {});
    credentials = {};
    at("leave").hidden = true;
    at("api").replaceChildren();
    at("open").disabled = true;
    say("It is forgotten.");
  }));

  load();
})();
