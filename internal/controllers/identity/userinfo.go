// Package identity turns a request's credentials into a caller, and the caller and the named user into the
// subject of the call. Handlers see only the subject.
package identity

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/lingo-services/profile/internal/models"
)

// maxUserInfo bounds the header; real ones are under 2 KiB.
const maxUserInfo = 8 << 10

var errUserInfo = errors.New("not a user info header")

// userClaims name the user, in order of preference (S1).
var userClaims = []string{"sub", "user_id", "uid"}

// ParseUserInfo reads the value of x-apigateway-api-userinfo: a JSON object in base64 or base64url, padded
// or not. The first present of sub, user_id and uid must be a UUID. Ambiguous input - repeated keys,
// trailing data - is refused rather than interpreted.
func ParseUserInfo(header string) (models.UserID, error) {
	if header == "" || len(header) > maxUserInfo {
		return models.UserID{}, errUserInfo
	}
	document, err := decodeBase64(header)
	if err != nil {
		return models.UserID{}, errUserInfo
	}
	claims, err := parseObject(document)
	if err != nil {
		return models.UserID{}, errUserInfo
	}
	for _, name := range userClaims {
		raw, present := claims[name]
		if !present {
			continue
		}
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return models.UserID{}, errUserInfo
		}
		return models.ParseUserID(text)
	}
	return models.UserID{}, errUserInfo
}

func decodeBase64(text string) ([]byte, error) {
	text = strings.TrimRight(text, "=")
	if strings.ContainsAny(text, "-_") {
		return base64.RawURLEncoding.DecodeString(text)
	}
	return base64.RawStdEncoding.DecodeString(text)
}

// parseObject decodes one JSON object without repeated keys and with nothing behind it.
func parseObject(document []byte) (map[string]json.RawMessage, error) {
	decoder := json.NewDecoder(bytes.NewReader(document))
	if open, err := decoder.Token(); err != nil || open != json.Delim('{') {
		return nil, errUserInfo
	}
	object := map[string]json.RawMessage{}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return nil, errUserInfo
		}
		name, ok := key.(string)
		if _, repeated := object[name]; !ok || repeated {
			return nil, errUserInfo
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, errUserInfo
		}
		object[name] = value
	}
	if end, err := decoder.Token(); err != nil || end != json.Delim('}') {
		return nil, errUserInfo
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errUserInfo
	}
	return object, nil
}
