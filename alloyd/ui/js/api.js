// Asks the server: the page's own doors to the API, with the session's cookie and the header that only the page sends.

/** What the server refused, or that it could not be reached (status 0). */
export class ApiError extends Error {
  constructor(status, { code = "unreachable", message = "The server can't be reached.", details = null } = {}, requestId = null, retryAfterS = null) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.details = details;
    /** The field of the body that is at fault, if the server named one. */
    this.field = details?.field ?? null;
    this.requestId = requestId;
    this.retryAfterS = retryAfterS;
  }
}

let onLost = () => {};

/** Have `heard()` called when a request finds that the session has ended. */
export function whenSessionIsLost(heard) {
  onLost = heard;
}

const HEADERS = { Accept: "application/json", "X-Alloyd-Page": "1" };

class Client {
  #prefix;

  constructor(prefix) {
    this.#prefix = prefix;
  }

  /** The whole path of `path`, with `query`: null and empty values are left out, lists are given once for each item. */
  url(path, query = {}) {
    const asked = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) {
      for (const each of [value].flat()) {
        if (each !== null && each !== undefined && each !== "") {
          asked.append(name, each);
        }
      }
    }
    const text = asked.toString();
    return `${this.#prefix}${path}${text ? `?${text}` : ""}`;
  }

  /** The data of `GET path`. */
  get(path, { query, signal } = {}) {
    return this.#data("GET", this.url(path, query), { signal });
  }

  post(path, body = {}, options = {}) {
    return this.#data("POST", this.url(path, options.query), { ...options, body });
  }

  put(path, body = {}, options = {}) {
    return this.#data("PUT", this.url(path, options.query), { ...options, body });
  }

  patch(path, body = {}, options = {}) {
    return this.#data("PATCH", this.url(path, options.query), { ...options, body });
  }

  delete(path, options = {}) {
    return this.#data("DELETE", this.url(path, options.query), options);
  }

  /**
   * One page of a list: `{items, next}`. `next` is null at the end; given as `next` it fetches the following page.
   */
  async page(path, { query, signal, next = null } = {}) {
    const answer = await this.send("GET", next ?? this.url(path, query), { signal });
    const following = answer?.links?.next ?? null;
    return { items: answer?.data ?? [], next: following && following.startsWith(`${this.#prefix}/`) ? following : null };
  }

  /** Every item of a list, page by page, as far as it is read. */
  async *items(path, options = {}) {
    let next = null;
    do {
      const page = await this.page(path, { ...options, next });
      yield* page.items;
      next = page.next;
    } while (next);
  }

  async #data(method, url, options) {
    const answer = await this.send(method, url, options);
    return answer?.data ?? null;
  }

  /** The whole answer, as JSON. `body`: JSON, or FormData, or a Blob. Raises ApiError; an AbortError when `signal` says so. */
  async send(method, url, { body, signal, headers = {}, keepsSession = false } = {}) {
    const response = await this.fetch(method, url, { body, signal, headers, keepsSession });
    const text = await response.text();
    return text ? JSON.parse(text) : null;
  }

  /** The response itself, for what is no JSON; refusals are raised all the same. `url` is from `url()`. */
  async fetch(method, url, { body, signal, headers = {}, keepsSession = false } = {}) {
    const raw = body instanceof FormData || body instanceof Blob;
    const request = { method, signal, headers: { ...HEADERS, ...headers }, credentials: "same-origin", cache: "no-store" };
    if (body !== undefined) {
      request.body = raw ? body : JSON.stringify(body);
      if (!raw) {
        request.headers["Content-Type"] = "application/json";
      }
    }
    let response;
    try {
      response = await fetch(url, request);
    } catch (error) {
      throw error.name === "AbortError" ? error : new ApiError(0);
    }
    if (response.ok) {
      return response;
    }
    const refused = await readError(response);
    if (response.status === 401 && !keepsSession) {
      onLost();
    }
    throw refused;
  }
}

/** What a refusal says, in whichever of the server's dialects. */
export async function readError(response) {
  let told = {};
  try {
    const body = await response.json();
    // Storage and triggers name the field in the message only: "new_name: there is …".
    const field = /^([a-z_]+): /.exec(body.message)?.[1];
    told = typeof body.error === "object" && body.error ? body.error : { code: body.error, message: body.message, details: body.details ?? (field ? { field } : null) };
  } catch {
    told = { code: "internal", message: `The server answered ${response.status}.` };
  }
  const retryAfter = Number(response.headers.get("Retry-After")) || null;
  return new ApiError(response.status, told, response.headers.get("X-Request-Id"), retryAfter);
}

/** The control plane: `api.get("/api-keys")` is GET /v1/api-keys. */
export const api = new Client("/ui/v1");
/** Storage and triggers: `files.get("/storage")` is GET /api/private/storage. */
export const files = new Client("/ui/private");
/** The page's own: session and set-up. */
export const own = new Client("/ui");

/** Whether `error` only says that the page was left. */
export const isAbort = (error) => error?.name === "AbortError";
