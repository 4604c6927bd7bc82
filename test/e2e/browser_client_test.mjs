// The built TypeScript client in the headless browser that CHROMIUM names, against the service at BASE_URL with TOKEN, a
// learner's. Its page is put under the service's origin, as CORS is closed: the files come from disk, the calls are real.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

const require = createRequire(new URL("../../tools/openapi/package.json", import.meta.url));
const { chromium } = require("playwright-core");
const client = new URL("../../clients/typescript/", import.meta.url);
const base = process.env.BASE_URL;

const page = `<!doctype html><link rel="icon" href="data:,"><script type="importmap">
  {"imports": {"profile-client": "/client/dist/src/index.js", "openapi-fetch": "/client/node_modules/openapi-fetch/dist/index.mjs"}}
</script>`;

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
try {
  const tab = await browser.newPage();
  const complaints = [];
  tab.on("console", (m) => ["error", "warning"].includes(m.type()) && complaints.push(m.text()));
  tab.on("pageerror", (e) => complaints.push(String(e)));
  await tab.route(`${base}/client/**`, async (route) => {
    const path = new URL(route.request().url()).pathname.slice("/client/".length);
    if (path === "") {
      return route.fulfill({ contentType: "text/html", body: page });
    }
    return route.fulfill({ contentType: "text/javascript", body: await readFile(new URL(path, client)) });
  });
  await tab.goto(`${base}/client/`);
  const seen = await tab.evaluate(use, process.env.TOKEN);

  assert.equal(seen.name, "Ada");
  assert.ok(seen.liked > 0);
  assert.deepEqual(seen.states, [false, true]);
  assert.deepEqual([seen.calls, seen.replayed], [2, "true"], "a lost answer is fetched again with its key");
  assert.deepEqual(seen.problem, { typed: true, status: 403, reason: "PERMISSION_DENIED" });
  assert.deepEqual(complaints.filter((c) => !c.includes("403")), []);
  console.log(`ok   TypeScript client in the browser: ${seen.liked} likes, a retry, a problem`);
} finally {
  await browser.close();
}

// use runs in the page.
async function use(token) {
  const { createProfileClient, ProfileProblem } = await import("profile-client");
  let answers = 0;
  const profile = createProfileClient({ baseUrl: "", token: async () => token });
  const unlucky = createProfileClient({
    baseUrl: "",
    token,
    fetch: async (request) => {
      const response = await fetch(request);
      if (++answers === 1) {
        throw new TypeError("the connection broke");
      }
      return response;
    },
  });
  const likes = [];
  for await (const favorite of profile.favorites({ favorite_type: "FAVORITE_TYPE_LIKE", page_size: 1 })) {
    likes.push(favorite.video_id);
  }
  const params = { path: { video_id: likes[0] } };
  const removed = await unlucky.DELETE("/api/v1/user/me/likes/{video_id}", { params });
  const added = await profile.PUT("/api/v1/user/me/likes/{video_id}", { params, body: {} });
  const problem = await profile
    .GET("/api/v1/user/me", { params: { query: { user_id: "11111111-1111-4111-8111-111111111112" } } })
    .catch((e) => ({ typed: e instanceof ProfileProblem, status: e.status, reason: e.reason }));
  return {
    name: (await profile.GET("/api/v1/user/me")).data.display_name,
    liked: likes.length,
    states: [removed.data.state.has_liked, added.data.state.has_liked],
    calls: answers,
    replayed: removed.response.headers.get("Idempotency-Replayed"),
    problem,
  };
}
