package models

// Actor is who a transaction works for: an end user on their own rows, or a service on anybody's. Row
// level security sees exactly this (S94).
type Actor struct {
	// User is the end user; zero for a service.
	User UserID
}

// ServiceActor acts on anybody's rows: trusted services and background work.
var ServiceActor = Actor{}

// UserActor acts on one user's rows.
func UserActor(id UserID) Actor { return Actor{User: id} }

// IsService reports whether the actor may see every row.
func (a Actor) IsService() bool { return a.User == UserID{} }

// Call is one request: who acts, for which user, and the idempotency key when the caller sent one.
type Call struct {
	Actor Actor
	// Subject is the user whose data is read or written.
	Subject UserID
	// Strong: read from the database, past every cache (S90).
	Strong bool
	// IdempotencyKey is empty when the caller sent none.
	IdempotencyKey string
	// Fingerprint identifies the canonical request behind IdempotencyKey.
	Fingerprint [32]byte
}
