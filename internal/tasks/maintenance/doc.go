// Package maintenance keeps the tables that only grow at the size their retention asks for: the event log, what
// the inbox remembers, answers kept for idempotency keys and numbers of playback sessions. It also judges progress that
// waited for the length of its video. Any number of instances may run.
package maintenance
