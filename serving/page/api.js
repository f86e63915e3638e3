// The one place that talks to the service.

const KEY = "kefu-api-key";
const PATIENCE_MS = 20_000;

/** What the service refused, or that it could not be reached (`status` 0). */
export class Refused extends Error {
  constructor(status, errors = [], retryAfter = null) {
    super(errors.map((error) => `${error.field}: ${error.reason}`).join("; ") || `HTTP ${status}`);
    this.status = status;
    this.errors = errors;
    /** Seconds until it makes sense to ask again, or null. */
    this.retryAfter = retryAfter;
  }
}

/** The API key lives as long as the tab does, and nowhere else. */
export const apiKey = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

/**
 * @param {string} path endpoint without leading slash, so that the page also works below a prefix
 * @param {object|null} body JSON to POST; null: GET
 * @param {AbortSignal|null} signal drops the question
 * @returns {Promise<{answer: any, requestId: string|null}>}
 * @throws {Refused} and AbortError when `signal` dropped it
 */
export async function ask(path, body = null, signal = null) {
  const headers = { Accept: "application/json" };
  if (body) headers["Content-Type"] = "application/json";
  if (apiKey.get()) headers.Authorization = `Bearer ${apiKey.get()}`;
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), PATIENCE_MS);
  const drop = () => limit.abort();
  signal?.addEventListener("abort", drop);
  try {
    const response = await fetch(path, {
      method: body ? "POST" : "GET",
      headers,
      body: body && JSON.stringify(body),
      signal: limit.signal,
      cache: "no-store",
      credentials: "omit",
    });
    const answer = await response.json().catch(() => null);
    if (!response.ok) {
      const errors = Array.isArray(answer?.errors) ? answer.errors : [];
      throw new Refused(response.status, errors, seconds(response.headers.get("Retry-After")));
    }
    if (answer === null) throw new Refused(response.status);
    return { answer, requestId: response.headers.get("X-Request-ID") };
  } catch (error) {
    if (error instanceof Refused) throw error;
    if (signal?.aborted) throw new DOMException("dropped", "AbortError");
    throw new Refused(0);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", drop);
  }
}

function seconds(header) {
  if (!header) return null;
  const wait = /^\d+$/u.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isFinite(wait) ? Math.max(1, Math.ceil(wait)) : null;
}
