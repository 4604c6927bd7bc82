// Package outbox publishes the events that business transactions wrote: at least once, and the events of one
// key in the order they were committed.
//
// One goroutine, the pump, decides everything. It shares the lanes with other publishers by leases, reads what
// has not been read yet, hands it to the Pub/Sub client, and has the database forget what the broker
// acknowledged. What is in memory is never the only copy: a row leaves the queue after its acknowledgement, so
// that a crash can only repeat, and every repetition starts at the first event of a key that is not
// acknowledged, so that it cannot reorder.
package outbox
