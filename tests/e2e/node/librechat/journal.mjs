// What was sent, in order, and what came back; and a way to wait for it.

const TOLD = ["accept", "authorization", "cache-control", "last-event-id", "mcp-protocol-version", "mcp-session-id"];

export class Journal {
  entries = [];
  #waiting = new Set();

  add(entry, { headers }) {
    const sent = new Headers(headers);
    const told = [...TOLD, ...[...sent.keys()].filter((name) => name.startsWith("x-"))];
    entry.headers = Object.fromEntries(told.filter((name) => sent.has(name)).map((name) => [name, sent.get(name)]));
    entry.status = null;
    this.entries.push(entry);
    this.#look();
    return entry;
  }

  note(entry, news) {
    Object.assign(entry, news);
    this.#look();
  }

  // Wait until so many entries have all the values of `match`; the last of them.
  seen(match, times = 1) {
    return new Promise((resolve) => {
      const look = () => {
        const found = this.entries.filter((each) => Object.entries(match).every(([key, value]) => each[key] === value));
        if (found.length < times) return;
        this.#waiting.delete(look);
        resolve(found[times - 1]);
      };
      this.#waiting.add(look);
      look();
    });
  }

  #look() {
    for (const each of [...this.#waiting]) each();
  }
}
