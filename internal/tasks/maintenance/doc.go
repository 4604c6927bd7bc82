// Package maintenance keeps the tables that only grow at the size their retention asks for: the event log, what
// the inbox remembers, and answers kept for idempotency keys. Any number of instances may run.
package maintenance
