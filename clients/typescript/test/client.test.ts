// The client against answers that are made up here; nothing waits, waits are recorded.
import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { createProfileClient, type Fetch, ProfileProblem, type ProfileClientOptions } from "../src/index.js";

const video = "0190d5a0-3333-7abc-8def-00000000abcd";
const like = { params: { path: { video_id: video } }, body: {} };

let sent: Request[];
let waits: number[];

beforeEach(() => {
  sent = [];
  waits = [];
  mock.restoreAll();
  mock.method(globalThis, "setTimeout", (run: () => void, ms: number) => {
    waits.push(ms);
    queueMicrotask(run);
  });
});

type Answer = Response | Error;

// The last answer is for all calls that follow.
function answering(answers: Answer[], options: Partial<ProfileClientOptions> = {}) {
  const fetch: Fetch = async (request) => {
    sent.push(request);
    const answer = answers[Math.min(sent.length, answers.length) - 1]!;
    if (answer instanceof Error) {
      throw answer;
    }
    return answer.clone();
  };
  return createProfileClient({ baseUrl: "https://profile.test", fetch, ...options });
}

function json(body: unknown): Response {
  return Response.json(body);
}

function problem(status: number, body: object = {}, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify({ status, title: "A title", ...body }), {
    status,
    headers: { "Content-Type": "application/problem+json", ...headers },
  });
}

function headers(name: string): (string | null)[] {
  return sent.map((request) => request.headers.get(name));
}

async function thrown(call: Promise<unknown>): Promise<ProfileProblem> {
  const error = await call.then(() => assert.fail("it succeeded"), (e: unknown) => e);
  assert.ok(error instanceof ProfileProblem, String(error));
  return error;
}

test("a token is sent with every call, fresh when it is a function", async () => {
  const fixed = answering([json({})], { token: "abc" });
  await fixed.GET("/api/v1/user/me");
  let number = 0;
  const fresh = answering([json({})], { token: async () => `t${++number}` });
  await fresh.GET("/api/v1/user/me");
  await fresh.GET("/api/v1/user/me");
  await answering([json({})]).GET("/api/v1/user/me");

  assert.deepEqual(headers("Authorization"), ["Bearer abc", "Bearer t1", "Bearer t2", null]);
});

for (const [baseUrl, plaintextTokens, sends] of [
  ["https://profile.test", false, true],
  ["http://127.0.0.1:8000", false, true],
  ["http://[::1]:8000", false, true],
  ["http://localhost:8000", false, true],
  ["http://profile.test", false, false],
  ["http://127.0.0.1.profile.test", false, false],
  ["http://localhost.profile.test", false, false],
  ["http://profile.test", true, true],
] as const) {
  test(`a token is ${sends ? "sent" : "not sent"} to ${baseUrl}${plaintextTokens ? " when that is allowed" : ""}`, async () => {
    const call = answering([json({})], { baseUrl, plaintextTokens, token: "abc" }).GET("/api/v1/user/me");
    await (sends ? call : assert.rejects(call, /without TLS/));
    assert.deepEqual(headers("Authorization"), sends ? ["Bearer abc"] : []);
  });
}

test("a call that changes something has a key of its own, kept over retries", async () => {
  const profile = answering([new TypeError("connection lost"), problem(503), json({})]);
  await profile.PUT("/api/v1/user/me/likes/{video_id}", like);
  await profile.PUT("/api/v1/user/me/likes/{video_id}", like);
  await profile.DELETE("/api/v1/user/me/likes/{video_id}", { params: { path: { video_id: video } } });

  const [first, second, third, other, removal] = headers("Idempotency-Key");
  assert.match(first!, /^[!-~]{1,128}$/);
  assert.deepEqual([second, third], [first, first]);
  assert.equal(new Set([first, other, removal]).size, 3);
  assert.deepEqual(await Promise.all(sent.slice(0, 3).map((request) => request.text())), ["{}", "{}", "{}"]);
});

test("a key that the caller names is taken, wherever it is", async () => {
  const profile = answering([json({})]);
  const path = { video_id: video };
  await profile.PUT("/api/v1/user/me/likes/{video_id}", { ...like, params: { path, header: { "Idempotency-Key": "a" } } });
  await profile.PUT("/api/v1/user/me/likes/{video_id}", { ...like, body: { idempotency_key: "b" } });
  await profile.DELETE("/api/v1/user/me/likes/{video_id}", { params: { path, query: { idempotency_key: "c" } } });

  assert.deepEqual(headers("Idempotency-Key"), ["a", "b", "c"]);
});

test("reads have no key and are repeated", async () => {
  const profile = answering([problem(503)], { retries: 1 });
  await thrown(profile.GET("/api/v1/user/me"));
  await thrown(profile.POST("/api/v1/user/me/favorites:batchQuery", { body: { video_ids: [video] } }));
  await thrown(profile.POST("/api/v1/user/me/watch-history:batchGet", { body: { video_ids: [video] } }));

  assert.deepEqual(headers("Idempotency-Key"), Array(6).fill(null));
});

for (const [name, value, least] of [
  ["seconds", "7", 7_000],
  ["a date", new Date(Date.now() + 20_000).toUTCString(), 18_000],
] as const) {
  test(`no retry comes sooner than Retry-After asks, in ${name}`, async () => {
    await thrown(answering([problem(429, {}, { "Retry-After": value })]).PUT("/api/v1/user/me/likes/{video_id}", like));

    assert.equal(sent.length, 5);
    assert.equal(waits.length, 4);
    waits.forEach((wait, i) => assert.ok(wait >= least && wait <= least + 2_000 + 100 * 2 ** i, `waits ${waits}`));
  });
}

test("without Retry-After pauses grow, at random", async () => {
  mock.method(Math, "random", () => 1);
  await thrown(answering([problem(503)], { retries: 7 }).GET("/api/v1/user/me"));
  assert.deepEqual(waits, [100, 200, 400, 800, 1600, 3200, 5000]);
});

test("a long wait is left to the caller", async () => {
  const error = await thrown(answering([problem(429, {}, { "Retry-After": "31" })]).GET("/api/v1/user/me"));
  assert.equal(error.retryAfter, 31);
  assert.deepEqual([sent.length, waits.length], [1, 0]);
});

const passing = { "Retry-After": "1" };
for (const [what, answer, calls] of [
  ["400", problem(400), 1],
  ["401", problem(401), 1],
  ["403", problem(403), 1],
  ["409 of a version", problem(409), 1],
  ["409 that passes", problem(409, {}, passing), 5],
  ["412", problem(412), 1],
  ["422", problem(422), 1],
  ["429 of a quota that stays", problem(429), 1],
  ["429 that passes", problem(429, {}, passing), 5],
  ["500", problem(500, {}, passing), 1],
  ["501", problem(501), 1],
  ["502", problem(502), 5],
  ["503", problem(503), 5],
  ["504 of a proxy", problem(504), 1],
  ["504 that passes", problem(504, {}, passing), 5],
] as const) {
  test(`${what} is sent ${calls === 1 ? "once" : "again"}`, async () => {
    await thrown(answering([answer]).PUT("/api/v1/user/me/likes/{video_id}", like));
    assert.equal(sent.length, calls);
  });
}

test("what fetch throws is thrown when retries are used up", async () => {
  const broken = new TypeError("connection lost");
  await assert.rejects(answering([broken], { retries: 2 }).GET("/api/v1/user/me"), broken);
  assert.equal(sent.length, 3);
});

test("a caller who gives up does not wait", async () => {
  const giveUp = new AbortController();
  mock.method(globalThis, "setTimeout", () => queueMicrotask(() => giveUp.abort()));
  const call = answering([problem(503)]).GET("/api/v1/user/me", { signal: giveUp.signal });
  await assert.rejects(call, { name: "AbortError" });
  assert.equal(sent.length, 1);
});

test("a problem is typed", async () => {
  const body = {
    reason: "INVALID_ARGUMENT",
    detail: "The request breaks one or more rules.",
    errors: [{ field: "video_id", detail: "must be a UUID" }],
    metadata: { limit: "10" },
  };
  const error = await thrown(answering([problem(400, body, { "X-Request-Id": "r1" })]).GET("/api/v1/user/me"));
  // What the compiler knows: a misspelt reason does not build.
  const reason: "INVALID_ARGUMENT" | undefined = error.reason === "INVALID_ARGUMENT" ? error.reason : undefined;
  assert.equal(reason, "INVALID_ARGUMENT");
  assert.equal(error.status, 400);
  assert.equal(error.message, body.detail);
  assert.deepEqual(error.errors, body.errors);
  assert.deepEqual(error.metadata, body.metadata);
  assert.equal(error.requestId, "r1");
  assert.equal(error.retryAfter, 0);
});

test("an answer of a proxy is a problem without a reason", async () => {
  const page = new Response("<h1>Bad gateway</h1>", { status: 502, statusText: "Bad Gateway" });
  const error = await thrown(answering([page], { retries: 0 }).GET("/api/v1/user/me"));
  assert.deepEqual([error.status, error.reason, error.message, error.errors], [502, undefined, "Bad Gateway", []]);
});

test("304 is no problem", async () => {
  const { data, response } = await answering([new Response(null, { status: 304 })]).GET("/api/v1/user/me", {
    params: { header: { "If-None-Match": '"3"' } },
  });
  assert.deepEqual([data, response.status], [undefined, 304]);
});

test("a list is fetched page by page, when it is needed", async () => {
  const profile = answering([
    json({ favorites: [{ video_id: "1" }, { video_id: "2" }], next_page_token: "next" }),
    json({ favorites: [], next_page_token: "last" }),
    json({ favorites: [{ video_id: "3" }], next_page_token: "" }),
  ]);
  const seen: string[] = [];
  for await (const favorite of profile.favorites({ favorite_type: "FAVORITE_TYPE_LIKE" })) {
    seen.push(`${favorite.video_id} of call ${sent.length}`);
  }
  assert.deepEqual(seen, ["1 of call 1", "2 of call 1", "3 of call 3"]);
  const asked = sent.map((request) => new URL(request.url).searchParams);
  assert.deepEqual(asked.map((query) => query.get("page_token") || ""), ["", "next", "last"]);
  assert.deepEqual(asked.map((query) => query.get("favorite_type")), Array(3).fill("FAVORITE_TYPE_LIKE"));
  assert.deepEqual(asked.map((query) => query.get("page_size")), Array(3).fill("100"));
});

test("an error ends a list", async () => {
  const profile = answering([json({ items: [{ video_id: "1" }], next_page_token: "next" }), problem(400, { reason: "INVALID_PAGE_TOKEN" })]);
  const seen: string[] = [];
  const error = await thrown((async () => {
    for await (const entry of profile.watchHistory()) {
      seen.push(entry.video_id);
    }
  })());
  assert.deepEqual([seen, error.reason, sent.length], [["1"], "INVALID_PAGE_TOKEN", 2]);
});
