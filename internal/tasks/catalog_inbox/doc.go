// Package cataloginbox consumes catalog.video.*: what the catalog publishes becomes our projection of videos.
//
// Messages are collected into batches. A batch is one transaction, and only after its commit are its messages
// acknowledged: whatever is killed in between is delivered again, and has no effect again (S70). What the
// database refuses is found by halving the batch and kept as dead; what cannot be decoded is kept as dead, and
// what is of an unknown type as parked, each in a transaction of its own and acknowledged after that (S73).
// While the database cannot serve, a batch is kept and tried again, because a message that is given back costs
// one of the deliveries after which the subscription's own dead-letter policy takes it.
package cataloginbox
