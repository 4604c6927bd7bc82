package cataloginbox

import "time"

// Result of an event, as a metric counts it.
type Result string

// The results. Applied, Duplicate and Stale are those of services.InboxCounts.
const (
	Applied   Result = "applied"
	Duplicate Result = "duplicate"
	Stale     Result = "stale"
	Dead      Result = "dead"
	Parked    Result = "parked"
)

// Fault of a field of an applied event, as a metric counts it.
type Fault string

// The faults: Dropped could not be read or stored, Unknown has a value that hides the video because we do not know it.
const (
	Dropped Fault = "dropped"
	Unknown Fault = "unknown"
)

// Observer counts what happened, after it was committed. Implementations do not block and do not fail.
type Observer interface {
	// Received starts and Settled ends the time a message is in hand; published is the broker's time.
	Received(published time.Time)
	Settled(published time.Time)
	// Committed records one transaction that applied events.
	Committed(size int, took time.Duration)
	// Counted counts events by what became of them.
	Counted(result Result, n int)
	// Faulty counts fields of applied events, with every delivery of one.
	Faulty(fault Fault, fields int)
	// Nacked counts messages that were given back.
	Nacked(n int)
	// AckFailed counts acknowledgements the broker did not accept; such a message is delivered again.
	AckFailed()
}
