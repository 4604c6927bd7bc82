import createClient, { type Client, type Middleware } from "openapi-fetch";

import { fullPage, pages } from "./pages.js";
import { problemOf } from "./problem.js";
import { type Fetch, retrying } from "./retry.js";
import type { FavoriteItem, operations, paths, WatchHistoryEntry } from "./schema.js";

export { ProfileProblem, type Reason } from "./problem.js";
export type { Fetch } from "./retry.js";
export type * from "./schema.js";

export interface ProfileClientOptions {
  /** Where the service is, without a path: `https://profile.example.com`. In a browser "" is the page's origin. */
  baseUrl: string;
  /** The bearer token, or what gives it, asked for every call. Without it calls name nobody: public counters only. */
  token?: string | (() => string | Promise<string>);
  /** Send the token without TLS, too, as to a proxy beside the caller; without it only to loopback addresses. */
  plaintextTokens?: boolean;
  /** Sends one request; the global `fetch` by default. */
  fetch?: Fetch;
  /** How often a call may be repeated, 4 by default. */
  retries?: number;
}

type Query<Operation extends keyof operations> = NonNullable<operations[Operation]["parameters"]["query"]>;

/**
 * Calls the Profile API. `GET`, `PUT`, `POST`, `PATCH` and `DELETE` take a path of the OpenAPI document and are typed by
 * it: `const { data } = await profile.GET("/api/v1/user/me")`. `data` is undefined with 204 and 304 only; every other
 * answer that is not a success is thrown as a {@link ProfileProblem}, and what `fetch` throws without an answer as it is.
 * Give a `signal` to bound a call.
 */
export interface ProfileClient extends Client<paths> {
  /** All likes and bookmarks from `page_token` on, newest first; `page_size` is 100 by default. */
  favorites(query?: Query<"listFavorites">): AsyncGenerator<FavoriteItem, void, undefined>;
  /** All that was watched from `page_token` on, most recent first; `page_size` is 100 by default. */
  watchHistory(query?: Query<"listWatchHistory">): AsyncGenerator<WatchHistoryEntry, void, undefined>;
}

/**
 * Makes a client. A call that changes something gets an Idempotency-Key unless it names one. A call that failed is
 * repeated with the same key when there was no service to answer, or the service says that the same call may succeed
 * later: never sooner than Retry-After asks.
 *
 * @example
 * const profile = createProfileClient({ baseUrl: "https://profile.example.com", token: () => session.token() });
 * try {
 *   await profile.PUT("/api/v1/user/me/likes/{video_id}", { params: { path: { video_id } }, body: {} });
 * } catch (error) {
 *   if (!(error instanceof ProfileProblem && error.reason === "VIDEO_UNAVAILABLE")) throw error;
 * }
 * for await (const { video_id, video } of profile.favorites({ favorite_type: "FAVORITE_TYPE_LIKE" })) {
 *   console.log(video_id, video?.title);
 * }
 */
export function createProfileClient(options: ProfileClientOptions): ProfileClient {
  const { baseUrl, token, plaintextTokens = false, retries = 4 } = options;
  const send: Fetch = options.fetch ?? ((request) => fetch(request));
  const client = createClient<paths>({ baseUrl, fetch: retrying(send, retries) });
  client.use(problems, keys);
  if (token !== undefined) {
    client.use(bearer(token, plaintextTokens));
  }
  return Object.assign(client, {
    favorites: (query: Query<"listFavorites"> = {}) =>
      pages(query.page_token ?? "", async (page_token) => {
        const asked = { page_size: fullPage, ...query, page_token };
        const { data } = await client.GET("/api/v1/user/me/favorites", { params: { query: asked } });
        return { items: data!.favorites, next: data!.next_page_token };
      }),
    watchHistory: (query: Query<"listWatchHistory"> = {}) =>
      pages(query.page_token ?? "", async (page_token) => {
        const asked = { page_size: fullPage, ...query, page_token };
        const { data } = await client.GET("/api/v1/user/me/watch-history", { params: { query: asked } });
        return { items: data!.items, next: data!.next_page_token };
      }),
  });
}

const problems: Middleware = {
  async onResponse({ response }) {
    if (!response.ok && response.status !== 304) {
      throw await problemOf(response);
    }
  },
};

// Reads with a body are POST, too; they take no key and are safe to repeat without one.
const reads = /:batch(Get|Query)$/;

const keys: Middleware = {
  async onRequest({ request, schemaPath }) {
    if (request.method === "GET" || reads.test(schemaPath) || request.headers.has("Idempotency-Key")) {
      return;
    }
    // The service refuses a header that differs from the key in the query or body.
    const query = new URL(request.url).searchParams;
    const body = JSON.parse((await request.clone().text()) || "{}");
    const named = query.get("idempotency_key") || body.idempotency_key;
    request.headers.set("Idempotency-Key", named || crypto.randomUUID());
  },
};

const loopback = /^(localhost|127(\.\d+){3}|\[::1\])$/;

function bearer(token: NonNullable<ProfileClientOptions["token"]>, plaintextTokens: boolean): Middleware {
  return {
    async onRequest({ request }) {
      const { protocol, hostname } = new URL(request.url);
      if (protocol !== "https:" && !plaintextTokens && !loopback.test(hostname)) {
        throw new Error(`no token is sent to ${hostname} without TLS; the option plaintextTokens allows it`);
      }
      request.headers.set("Authorization", `Bearer ${typeof token === "string" ? token : await token()}`);
    },
  };
}
