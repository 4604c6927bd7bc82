package dto

import (
	"crypto/sha256"
	"encoding/json"
	"regexp"
	"time"

	"github.com/lingo-services/profile/internal/models"
)

const (
	fieldIdempotencyKey  = "idempotency_key"
	headerIdempotencyKey = "x-md-idempotency-key"
)

var visibleASCII = regexp.MustCompile(`^[!-~]{1,128}$`)

// IsKey reports whether text may be a key or an id of a caller's own: 1-128 visible ASCII characters (S7).
func IsKey(text string) bool { return visibleASCII.MatchString(text) }

// write is a call with side effects: with the idempotency key of field or header, and the fingerprint of asked (S85),
// which is what was decoded, so that every spelling of a request has the same one. Call it last.
func (r *request) write(field string, asked any) models.Call {
	call := r.read()
	header := r.headers.IdempotencyKey
	switch {
	case header != "" && !IsKey(header):
		r.violate(headerIdempotencyKey, "must be 1-128 visible ASCII characters")
	case header != "" && field != "" && header != field:
		r.violate(fieldIdempotencyKey, "must equal the "+headerIdempotencyKey+" header when both are set")
	case field != "":
		call.IdempotencyKey = field
	default:
		call.IdempotencyKey = header
	}
	if call.IdempotencyKey != "" && len(r.violations) == 0 {
		call.Fingerprint = r.fingerprint(asked)
	}
	return call
}

// fingerprint needs no name of the method: that is in the scope of the key.
func (r *request) fingerprint(asked any) [32]byte {
	text, err := json.Marshal(asked) // fields in their order, keys of maps sorted
	if err != nil {
		r.violate("", "cannot be encoded")
	}
	return sha256.Sum256(text)
}

// dated is what a request asks for by c: the time in the precision that is stored, in whichever field it came. The
// client's clock is another one with every try.
func dated(c models.ClaimedTime) models.ClaimedTime {
	if c.OccurredAt == nil {
		return models.ClaimedTime{}
	}
	at := c.OccurredAt.Truncate(time.Microsecond)
	return models.ClaimedTime{OccurredAt: &at}
}
