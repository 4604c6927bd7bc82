/** The size of a page when the caller names none; the service gives no larger one. */
export const fullPage = 100;

/** Yields the items of all pages from `token` on; a page is fetched when it is needed. Ends with the first error. */
export async function* pages<Item>(
  token: string,
  fetchPage: (token: string) => Promise<{ items: Item[]; next: string }>,
): AsyncGenerator<Item, void, undefined> {
  do {
    const { items, next } = await fetchPage(token);
    yield* items;
    token = next;
  } while (token !== "");
}
