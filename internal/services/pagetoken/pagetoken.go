// Package pagetoken makes and checks the opaque tokens that continue a list (S54).
//
// A token carries only the key of the last row. Which list, user and filter it belongs to is not in it but
// under its signature: a token of another list, user or filter simply does not verify.
package pagetoken

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/lingo-services/profile/internal/models"
)

const (
	version   = 1
	macSize   = 16 // truncated HMAC-SHA256 (trust.md T7)
	keySize   = 8 + 16 + 1
	tokenSize = 1 + keySize + macSize
	// minSecret keeps guessing keys out of reach.
	minSecret = 16
)

// Key is the place of a row in its list: the list continues strictly below it.
type Key struct {
	// At is the sort time, in microseconds.
	At      time.Time
	VideoID models.VideoID
	// Kind tells rows of the same time and video apart; 0 where a list has one row per video.
	Kind byte
}

// Scope is what a token is good for. Filter spells every parameter that selects rows.
type Scope struct {
	List   string
	User   models.UserID
	Filter string
}

// Codec signs with its first key and accepts all of them, so that keys can be rotated. Safe for
// concurrent use.
type Codec struct{ keys [][]byte }

// NewCodec needs at least one key of 16 bytes or more.
func NewCodec(keys []string) (*Codec, error) {
	if len(keys) == 0 {
		return nil, errors.New("page tokens need at least one key")
	}
	c := &Codec{}
	for i, key := range keys {
		if len(key) < minSecret {
			return nil, fmt.Errorf("page token key %d is shorter than %d bytes", i, minSecret)
		}
		c.keys = append(c.keys, []byte(key))
	}
	return c, nil
}

// Encode returns the token that continues scope below k: URL-safe text of 56 characters.
func (c *Codec) Encode(scope Scope, k Key) string {
	token := make([]byte, 1, tokenSize)
	token[0] = version
	token = binary.BigEndian.AppendUint64(token, uint64(k.At.UnixMicro()))
	token = append(token, k.VideoID[:]...)
	token = append(token, k.Kind)
	token = append(token, sign(c.keys[0], scope, token)...)
	return base64.RawURLEncoding.EncodeToString(token)
}

// Decode returns the key of a token that this service made for scope; nil for the empty token, which is
// the first page. Errors: models.ErrInvalidPageToken.
func (c *Codec) Decode(scope Scope, text string) (*Key, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // no token, no key: the first page
	}
	if len(text) != base64.RawURLEncoding.EncodedLen(tokenSize) {
		return nil, invalid() // even Strict skips newlines: length leaves no room for them
	}
	token, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(token) != tokenSize || token[0] != version {
		return nil, invalid()
	}
	body, mac := token[:tokenSize-macSize], token[tokenSize-macSize:]
	for _, key := range c.keys {
		if hmac.Equal(mac, sign(key, scope, body)) {
			return &Key{
				At:      time.UnixMicro(int64(binary.BigEndian.Uint64(body[1:9]))).UTC(),
				VideoID: models.VideoID(uuid.UUID(body[9:25])),
				Kind:    body[25],
			}, nil
		}
	}
	return nil, invalid()
}

func invalid() error {
	return models.ErrInvalidPageToken.With(models.Violation{Field: "page_token", Description: "must be a next_page_token of this list"})
}

// sign covers body and scope; every part is length-prefixed so that no two scopes read alike.
func sign(key []byte, scope Scope, body []byte) []byte {
	mac := hmac.New(sha256.New, key)
	for _, part := range [][]byte{body, []byte(scope.List), scope.User[:], []byte(scope.Filter)} {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		mac.Write(size[:])
		mac.Write(part)
	}
	return mac.Sum(nil)[:macSize]
}
