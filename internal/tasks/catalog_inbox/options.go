package cataloginbox

import "time"

// Options of a Runner.
type Options struct {
	// Subscription is the id or the full name.
	Subscription string
	// Batch is the greatest number of messages in one transaction.
	Batch int
	// Linger is how long the first message of a batch waits for more.
	Linger time.Duration
	// MaxOutstanding bounds messages received and not acknowledged.
	MaxOutstanding int
	// Streams are opened to the broker; 0 means one.
	Streams int
	// Patience is how long a batch is tried while the database cannot serve; then it is given back.
	Patience time.Duration
	// Between two tries it waits half of BackoffMin, and anything up to a ceiling that doubles from BackoffMin to
	// BackoffMax.
	BackoffMin, BackoffMax time.Duration
}

// Defaults of what is not configured.
const (
	// DefaultPatience times the fewest deliveries a subscription may allow (5) is an outage of most of an hour.
	DefaultPatience = 10 * time.Minute
	LeastBackoff    = 100 * time.Millisecond
	GreatestBackoff = 10 * time.Second
)

const (
	// checkTimeout bounds asking for the subscription at start.
	checkTimeout = 10 * time.Second
	// tryTimeout bounds one transaction, for a database that does not even say no.
	tryTimeout = 30 * time.Second
	// maxOutstandingBytes bounds memory: messages can be 10 MB.
	maxOutstandingBytes = 128 << 20
)
