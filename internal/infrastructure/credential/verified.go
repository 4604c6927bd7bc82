package credential

import (
	"crypto/sha256"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/lingo-services/profile/internal/controllers/identity"
)

const (
	// maxVerified bounds the tokens remembered, about 300 bytes each.
	maxVerified = 16384
	// maxRemembered is how long a key that its issuer withdrew may go on working here.
	maxRemembered = 5 * time.Minute
)

// verifiedTokens remembers whom tokens name, by their hash, so that repeated calls do not cost a signature check each.
type verifiedTokens struct {
	tokens *lru.Cache[[sha256.Size]byte, remembered]
}

type remembered struct {
	principal identity.Principal
	until     time.Time
}

func newVerifiedTokens() *verifiedTokens {
	tokens, _ := lru.New[[sha256.Size]byte, remembered](maxVerified) // fails only for a size that is not positive
	return &verifiedTokens{tokens}
}

func (v *verifiedTokens) get(token string, now time.Time) (identity.Principal, bool) {
	known, ok := v.tokens.Get(sha256.Sum256([]byte(token)))
	if !ok || !now.Before(known.until) {
		return identity.Principal{}, false
	}
	return known.principal, true
}

func (v *verifiedTokens) put(token string, principal identity.Principal, now, expires time.Time) {
	until := now.Add(maxRemembered)
	if expires.Before(until) {
		until = expires
	}
	v.tokens.Add(sha256.Sum256([]byte(token)), remembered{principal, until})
}
