// Command chaos breaks the event chain on purpose and proves that it loses nothing.
//
// It runs the real binaries against a real Postgres and a Pub/Sub broker, strikes them while business
// transactions write events, waits until the queue is empty and then judges the history. The truth it judges
// by is a journal that a trigger writes in the same transaction as each event, what the writers were told
// about their transactions, and the order in which the broker took messages. The invariants I1 to I14 are
// those of spec/events.md.
//
// Other rounds call the API, many callers at a time, while it or what it needs is struck. Each caller keeps a journal
// of what it was told, and makes a call whose answer is lost again, with the same idempotency key, until it knows. The
// invariants of those rounds, besides I1 to I14:
//
//   - A1: what was acknowledged is there, with its event, and the next answer builds on it.
//
//   - A2: what was refused is not there, nor is anything that nobody asked for.
//
//   - A3: nobody gets an error that is about somebody else's command, and only errors that the fault explains.
//
//   - A4: an idempotency key has at most one effect.
//
//   - A5: an answer, and every later read from the same instance, shows what was acknowledged.
//
//   - A6: counters of videos and users equal their recount.
//
//   - A7: an overloaded API refuses with OVERLOADED and RetryInfo, and works on no more calls than it has slots.
//
//   - A8: every call is answered in the end.
//
//     make chaos ROUNDS=3 SEED=7 FAULT=publisher-killed
//     make chaos-mutants
//
// Everything random comes from the seed, apart from the machine's own timing. A failing round prints the
// command that runs it again.
package main
