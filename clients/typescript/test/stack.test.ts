// The client against a running service: BASE_URL, and TOKEN of a learner with likes and history.
import assert from "node:assert/strict";
import { test } from "node:test";

import { createProfileClient, type Fetch, ProfileProblem } from "../src/index.js";

const baseUrl = process.env["BASE_URL"]!;
const token = process.env["TOKEN"]!;
const profile = createProfileClient({ baseUrl, token });

async function firstLike(): Promise<string> {
  for await (const favorite of profile.favorites({ favorite_type: "FAVORITE_TYPE_LIKE" })) {
    return favorite.video_id;
  }
  return assert.fail("the learner likes nothing");
}

test("a profile is read, and read again only when it changed", async () => {
  const { data, response } = await profile.GET("/api/v1/user/me");
  assert.ok(data!.user_id);
  const again = await profile.GET("/api/v1/user/me", {
    params: { header: { "If-None-Match": response.headers.get("ETag")! } },
  });
  assert.equal(again.response.status, 304);
});

test("a patch changes what it names, of the version that was read", async () => {
  const { data: before, response } = await profile.GET("/api/v1/user/me");
  const header = { "If-Match": response.headers.get("ETag")! };
  const body = { preferences: { extra: { typescript: before!.profile_version } } };
  const { data: after } = await profile.PATCH("/api/v1/user/me", { params: { header }, body });
  assert.equal(after!.display_name, before!.display_name);
  assert.equal(after!.preferences!.extra!["typescript"], before!.profile_version);
  await assert.rejects(
    profile.PATCH("/api/v1/user/me", { params: { header }, body: { display_name: "Nobody" } }),
    (e: unknown) => e instanceof ProfileProblem && e.reason === "PRECONDITION_FAILED" && e.status === 412,
  );
});

test("an answer that was lost after the commit is fetched again, and the change made once", async () => {
  const path = { video_id: await firstLike() };
  let calls = 0;
  const lossy: Fetch = async (request) => {
    const response = await fetch(request);
    if (++calls === 1) {
      throw new TypeError("the connection broke");
    }
    return response;
  };
  const unlucky = createProfileClient({ baseUrl, token, fetch: lossy });
  const { data, response } = await unlucky.DELETE("/api/v1/user/me/likes/{video_id}", { params: { path } });
  assert.equal(calls, 2);
  assert.equal(response.headers.get("Idempotency-Replayed"), "true");
  assert.equal(data!.changed, true, "the answer of the first attempt");

  const back = await profile.PUT("/api/v1/user/me/likes/{video_id}", { params: { path }, body: {} });
  assert.equal(back.data!.state!.has_liked, true);
});

test("calls over the limit wait as long as the service asks, and succeed", async () => {
  const params = { path: { video_id: await firstLike() } };
  let refused = 0;
  const counting: Fetch = async (request) => {
    const response = await fetch(request);
    refused += response.status === 429 ? 1 : 0;
    return response;
  };
  const hasty = createProfileClient({ baseUrl, token, fetch: counting });
  const calls = Array.from({ length: 15 }, () => hasty.PUT("/api/v1/user/me/likes/{video_id}", { params, body: {} }));
  const likes = (await Promise.all(calls)).map(({ data }) => data!.state!.has_liked);
  assert.deepEqual(likes, Array(15).fill(true));
  assert.ok(refused > 0);
});

test("pages of one hold what one page holds", async () => {
  const all = { list: [] as string[], paged: [] as string[] };
  for await (const entry of profile.watchHistory()) {
    all.list.push(entry.video_id);
  }
  for await (const entry of profile.watchHistory({ page_size: 1 })) {
    all.paged.push(entry.video_id);
  }
  assert.ok(all.list.length > 1);
  assert.deepEqual(all.paged, all.list);
});

test("bad input is a problem with every field named", async () => {
  const call = profile.PUT("/api/v1/user/me/watch-history/{video_id}", {
    params: { path: { video_id: "x" } },
    body: { progress: { progress_ratio: 3, position_seconds: "-1" } },
  });
  await assert.rejects(call, (e: unknown) => {
    assert.ok(e instanceof ProfileProblem);
    assert.deepEqual([e.status, e.reason], [400, "INVALID_ARGUMENT"]);
    assert.ok(e.requestId);
    assert.deepEqual(e.errors.map((violation) => violation.field).sort(), ["progress.position_seconds", "progress.progress_ratio", "video_id"]);
    return true;
  });
});

test("without a token the public counters are there, and nothing else", async () => {
  const nobody = createProfileClient({ baseUrl });
  const { data } = await nobody.GET("/api/v1/videos/{video_id}/stats", { params: { path: { video_id: await firstLike() } } });
  assert.ok(BigInt(data!.like_count!) >= 1n);
  await assert.rejects(nobody.GET("/api/v1/user/me"), { status: 401, reason: "UNAUTHENTICATED" });
});
