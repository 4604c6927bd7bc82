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

var errUserInfo = errors.New("the user info header names no user")

// userClaims name the user (S1).
var userClaims = []string{"sub", "user_id", "uid"}

// ParseUserInfo reads the value of x-apigateway-api-userinfo: a JSON object in base64 or base64url, padded
// or not. Whichever of sub, user_id and uid are present must be the same UUID. Ambiguous input - claims that differ,
// repeated keys, trailing data - is refused rather than interpreted.
func ParseUserInfo(header string) (models.UserID, error) {
	claims, err := userInfoClaims(header)
	if err != nil {
		return models.UserID{}, err
	}
	var user models.UserID
	for _, name := range userClaims {
		raw, present := claims[name]
		if !present {
			continue
		}
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return models.UserID{}, errUserInfo
		}
		named, err := models.ParseUserID(text)
		if err != nil {
			return models.UserID{}, errUserInfo
		}
		if user != (models.UserID{}) && named != user {
			return models.UserID{}, errUserInfo
		}
		user = named
	}
	if user == (models.UserID{}) {
		return models.UserID{}, errUserInfo
	}
	return user, nil
}

func userInfoClaims(header string) (map[string]json.RawMessage, error) {
	if header == "" || len(header) > maxUserInfo {
		return nil, errUserInfo
	}
	document, err := decodeBase64(header)
	if err != nil {
		return nil, errUserInfo
	}
	claims, err := ParseObject(document)
	if err != nil {
		return nil, errUserInfo
	}
	return claims, nil
}

func decodeBase64(text string) ([]byte, error) {
	text = strings.TrimRight(text, "=")
	if strings.ContainsAny(text, "-_") {
		return base64.RawURLEncoding.DecodeString(text)
	}
	return base64.RawStdEncoding.DecodeString(text)
}

// ParseObject decodes one JSON object without repeated keys, at its top level, and with nothing behind it. Its errors
// hold nothing of the document.
func ParseObject(document []byte) (map[string]json.RawMessage, error) {
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
