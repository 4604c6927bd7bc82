package po

import "time"

// Lane is a publishing lane held under an epoch; every take-over begins a new one.
type Lane struct {
	Number int32
	Epoch  int64
}

// Cursor says how far a held lane has been read: every id up to After, and for 0 nothing.
type Cursor struct {
	Lane
	After int64
	// Limit is how many rows above After are wanted.
	Limit int
}

// Delivered is an event that the broker has.
type Delivered struct {
	Lane int32
	ID   int64
}

// Take asks for deliveries that have not been read yet.
type Take struct {
	Lanes []Cursor
	// Snapshot is what the last Taken of these lanes said; empty at first.
	Snapshot string
}

// Taken answers a Take.
type Taken struct {
	// Deliveries are ordered by id; fewer above a lane's cursor than its limit: there are no more.
	Deliveries []Delivery
	// Snapshot says what was visible; what it did not show may still appear below the cursors.
	Snapshot string
}

// Refusal is one message the broker would not have.
type Refusal struct {
	ID    int64
	Lane  Lane
	Error string
	// RetryAfter is when it is tried again, for operators to see.
	RetryAfter time.Duration
	// MaxAttempts refusals make a dead letter.
	MaxAttempts int
}
