// The circuit breaker: one for each server's name, shared by all users of the process.
//
// Every lasting connect() is a cycle, successful or not; too many in a window, and nobody gets through for a while. So it
// is with rounds that failed.

export const DEFAULTS = {
  maxCycles: 7,
  cycleWindow: 45_000,
  cycleCooldown: 15_000,
  maxFailedRounds: 3,
  failedWindow: 120_000,
  baseBackoff: 30_000,
  maxBackoff: 300_000,
};

export class CircuitOpen extends Error {}

export class Breaker {
  #limits;
  #cycles = [];
  #failures = [];
  #backoffs = 0;
  #openUntil = 0;
  #trips = 0;

  constructor(limits) {
    this.#limits = { ...DEFAULTS, ...limits };
  }

  get isOpen() {
    return Date.now() < this.#openUntil;
  }

  // What a test may know of it; `trips` is how often it has opened.
  get facts() {
    return { open: this.isOpen, cycles: this.#cycles.length, failedRounds: this.#failures.length, trips: this.#trips };
  }

  cycle() {
    this.#cycles = recent(this.#cycles, this.#limits.cycleWindow);
    if (this.#cycles.length >= this.#limits.maxCycles) {
      this.#open(this.#limits.cycleCooldown);
      this.#cycles = [];
    }
  }

  failedRound() {
    this.#failures = recent(this.#failures, this.#limits.failedWindow);
    if (this.#failures.length >= this.#limits.maxFailedRounds) {
      this.#open(Math.min(this.#limits.baseBackoff * 2 ** this.#backoffs, this.#limits.maxBackoff));
      this.#backoffs += 1;
      this.#failures = [];
    }
  }

  succeeded() {
    this.#failures = [];
    this.#backoffs = 0;
  }

  reset() {
    this.#cycles = [];
    this.#openUntil = 0;
    this.succeeded();
  }

  #open(milliseconds) {
    this.#openUntil = Date.now() + milliseconds;
    this.#trips += 1;
  }
}

function recent(moments, window) {
  const now = Date.now();
  return [...moments.filter((each) => now - each < window), now];
}
