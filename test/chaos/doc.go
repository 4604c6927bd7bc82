// Command chaos breaks the event chain on purpose and proves that it loses nothing.
//
// It runs the real binaries against a real Postgres and a Pub/Sub broker, strikes them while business
// transactions write events, waits until the queue is empty and then judges the history. The truth it judges
// by is a journal that a trigger writes in the same transaction as each event, what the writers were told
// about their transactions, and the order in which the broker took messages. The invariants I1 to I14 are
// those of spec/events.md.
//
//	make chaos ROUNDS=3 SEED=7 FAULT=publisher-killed
//	make chaos-mutants
//
// Everything random comes from the seed, apart from the machine's own timing. A failing round prints the
// command that runs it again.
package main
