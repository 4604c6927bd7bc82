/** Sends a request; what `fetch` does. */
export type Fetch = (request: Request) => Promise<Response>;

const firstPauseMs = 100;
const longestPauseMs = 5_000;
// A caller would not expect a call to sleep longer.
const longestWaitMs = 30_000;

/**
 * Sends a request up to `retries` times more, while there is no service to answer it or the answer says that the same
 * request may succeed later. Every request must be safe to repeat. It waits as long as Retry-After asks and a growing
 * random part; an answer that asks for more than 30 s is returned at once. Ends with the request's signal.
 */
export function retrying(send: Fetch, retries: number): Fetch {
  return async (request) => {
    for (let attempt = 0; ; attempt++) {
      const last = attempt >= retries;
      let asked = 0;
      try {
        const response = await send(request.clone());
        asked = retryAfterMs(response);
        if (last || asked > longestWaitMs || !transient(response)) {
          return response;
        }
        // Frees the connection. A body that another reader shares never says that it is cancelled.
        response.body?.cancel().catch(() => undefined);
      } catch (error) {
        if (last || request.signal.aborted) {
          throw error;
        }
      }
      const pause = Math.min(longestPauseMs, firstPauseMs * 2 ** attempt);
      await sleep(asked + Math.random() * pause, request.signal);
    }
  };
}

// The service sends Retry-After with every reason that may pass; a proxy without it says 502 or 503.
function transient(response: Response): boolean {
  switch (response.status) {
    case 502:
    case 503:
      return true;
    case 409:
    case 429:
    case 504:
      return response.headers.has("Retry-After");
    default:
      return false;
  }
}

/** Milliseconds that Retry-After asks for, in seconds or as a date; 0 without it. */
export function retryAfterMs(response: Response): number {
  const header = response.headers.get("Retry-After") ?? "";
  const ms = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Math.max(0, ms || 0);
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const abort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", abort);
      resolve();
    }, ms);
    signal.addEventListener("abort", abort, { once: true });
  });
}
