// The API page in the headless browser that CHROMIUM names: page_test.mjs http://host:port/docs [folder for screenshots].
// TOKEN is Ada's.
import assert from "node:assert/strict";
import { createRequire } from "node:module";

const require = createRequire(new URL("../../tools/openapi/package.json", import.meta.url));
const { chromium } = require("playwright-core");
const [, , docs, shots] = process.argv;
const base = new URL(docs).origin;

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
try {
  for (const colorScheme of ["light", "dark"]) {
    await check(colorScheme);
  }
} finally {
  await browser.close();
}

async function check(colorScheme) {
  const page = await browser.newPage({ colorScheme, viewport: { width: 1280, height: 1600 } });
  const complaints = [];
  const elsewhere = [];
  page.on("console", (m) => ["error", "warning"].includes(m.type()) && complaints.push(m.text()));
  page.on("pageerror", (e) => complaints.push(String(e)));
  page.on("request", (r) => r.url().startsWith(base) || r.url().startsWith("data:") || elsewhere.push(r.url()));

  await page.goto(docs);
  await page.locator(".opblock").first().waitFor();
  const document = await (await page.request.get(`${base}/docs/openapi.yaml`)).text();
  const ids = [...document.matchAll(/^ {6}operationId: (\w+)$/gm)].map((m) => m[1]).sort();
  const shown = await page.locator(".opblock").evaluateAll((all) => all.map((e) => e.id.split("-").at(-1)));
  assert.ok(ids.length > 0);
  assert.deepEqual(shown.sort(), ids, "every operation is listed");
  await shot(page, `docs-${colorScheme}`);
  assert.deepEqual(complaints, [], "the page loads without a complaint");

  await page.locator(".btn.authorize").first().click();
  const user = page.locator(".auth-container", { hasText: "The end user's own token" });
  await user.locator("input").fill(process.env.TOKEN);
  await user.locator("button.authorize").click();
  await page.locator(".btn-done").first().click();

  const block = page.locator("#operations-profile-getProfile");
  await block.locator(".opblock-summary-control").click();
  await block.locator(".try-out__btn").click();
  assert.match(await call(page, block), /"display_name": "Ada"/);
  assert.equal(await status(block), "200");
  await block.locator('tr[data-param-name="user_id"] input').fill("11111111-1111-4111-8111-111111111112");
  const problem = await call(page, block);
  assert.match(problem, /"type": "\/problems\/permission-denied"/);
  assert.equal(await status(block), "403");
  await block.scrollIntoViewIfNeeded();
  await shot(page, `docs-${colorScheme}-problem`);

  assert.deepEqual(elsewhere, [], "nothing comes from elsewhere");
  assert.deepEqual(complaints.filter((c) => !c.includes("403")), []);
  await page.close();
  console.log(`ok   ${colorScheme}: ${shown.length} operations, a call, a problem`);
}

// call executes the operation and returns the body that the page shows.
async function call(page, block) {
  const answered = page.waitForResponse((r) => r.url().includes("/api/v1/user/me"));
  await block.locator(".btn.execute").click();
  const text = await (await answered).text();
  const id = JSON.parse(text);
  const body = block.locator(".live-responses-table .response-col_description .highlight-code").first();
  await body.filter({ hasText: id.user_id ?? id.title }).waitFor();
  return body.innerText();
}

function status(block) {
  return block.locator(".live-responses-table tbody .response-col_status").first().innerText().then((t) => t.trim().split("\n")[0]);
}

async function shot(page, name) {
  if (shots) {
    await page.screenshot({ path: `${shots}/${name}.png` });
  }
}
