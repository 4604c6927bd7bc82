package dto

import (
	"crypto/sha256"
	"regexp"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/lingo-services/profile/internal/models"
)

const (
	fieldIdempotencyKey  = "idempotency_key"
	headerIdempotencyKey = "x-md-idempotency-key"
)

var visibleASCII = regexp.MustCompile(`^[!-~]{1,128}$`)

// write is a call with side effects: with the idempotency key of field or header, and the fingerprint of
// the request without its key (S85). The client's clock is not part of what was asked.
func (r *request) write(field string) models.Call {
	call := r.read()
	header := r.headers.IdempotencyKey
	switch {
	case header != "" && !visibleASCII.MatchString(header):
		r.violate(headerIdempotencyKey, "must be 1-128 visible ASCII characters")
	case header != "" && field != "" && header != field:
		r.violate(fieldIdempotencyKey, "must equal the "+headerIdempotencyKey+" header when both are set")
	case field != "":
		call.IdempotencyKey = field
	default:
		call.IdempotencyKey = header
	}
	if call.IdempotencyKey != "" {
		call.Fingerprint = r.fingerprint()
	}
	return call
}

// fingerprint is over the canonical request: key and user removed (both are in the scope), conditions in.
func (r *request) fingerprint() [32]byte {
	canonical := proto.Clone(r.message)
	m := canonical.ProtoReflect()
	for _, name := range []protoreflect.Name{fieldIdempotencyKey, "user_id"} {
		if field := m.Descriptor().Fields().ByName(name); field != nil {
			m.Clear(field)
		}
	}
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(canonical)
	if err != nil {
		r.violate("", "cannot be encoded")
	}
	text = append(text, "\x00if-match:"+r.headers.IfMatch...)
	return sha256.Sum256(append([]byte(m.Descriptor().FullName()), text...))
}
