// Package issuertest is a token issuer for tests: it signs what it is told to, also what no issuer should, and serves
// its keys over HTTP.
package issuertest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws/jwsbb"
	"github.com/stretchr/testify/require"
)

// Claims of a token; a nil value leaves the claim out.
type Claims map[string]any

// With returns a copy with the claims of more over them.
func (c Claims) With(more Claims) Claims {
	all := maps.Clone(c)
	maps.Copy(all, more)
	return all
}

// Key is a private key with the header that goes with it.
type Key struct {
	Kid, Alg string
	Private  crypto.Signer
}

// Sign makes a token of claims.
func (k Key) Sign(t testing.TB, claims Claims) string {
	t.Helper()
	sent := Claims{}
	for name, value := range claims {
		if value != nil {
			sent[name] = value
		}
	}
	payload, err := json.Marshal(sent)
	require.NoError(t, err)
	return Forge(t, `{"alg":"`+k.Alg+`","typ":"JWT","kid":"`+k.Kid+`"}`, string(payload), k.Private, k.Alg)
}

// Forge signs any header and payload with any key and algorithm, whatever the header says; a nil key leaves the
// signature empty.
func Forge(t testing.TB, header, payload string, key any, alg string) string {
	t.Helper()
	encode := base64.RawURLEncoding.EncodeToString
	input := encode([]byte(header)) + "." + encode([]byte(payload))
	if key == nil {
		return input + "."
	}
	signature, err := jwsbb.Sign(key, alg, []byte(input), rand.Reader)
	require.NoError(t, err)
	return input + "." + encode(signature)
}

// RSAKey makes a 2048-bit key for RS256.
func RSAKey(t testing.TB, kid string) Key {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	return Key{kid, "RS256", private}
}

// Set is the JSON Web Key Set of keys.
func Set(t testing.TB, keys ...Key) string {
	t.Helper()
	set := jwk.NewSet()
	for _, k := range keys {
		key, err := jwk.Import(k.Private.Public())
		require.NoError(t, err)
		require.NoError(t, key.Set(jwk.KeyIDKey, k.Kid))
		require.NoError(t, key.Set(jwk.AlgorithmKey, k.Alg))
		require.NoError(t, set.AddKey(key))
	}
	text, err := json.Marshal(set)
	require.NoError(t, err)
	return string(text)
}

// Server serves a discovery document and a key set, which may change and go away.
type Server struct {
	// URL is the issuer's name; keys are at URL/keys.
	URL string

	mu         sync.Mutex
	set        string
	discovery  string
	status     int
	keyFetches int
	docFetches int
}

// Serve starts a server for set.
func Serve(t testing.TB, set string) *Server {
	t.Helper()
	s := &Server{set: set, status: http.StatusOK}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.URL = server.URL
	s.discovery = `{"issuer":"` + s.URL + `","jwks_uri":"` + s.URL + `/keys"}`
	return s
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body := ""
	switch r.URL.Path {
	case "/keys":
		s.keyFetches++
		body = s.set
	case "/.well-known/openid-configuration":
		s.docFetches++
		body = s.discovery
	}
	w.WriteHeader(s.status)
	_, _ = w.Write([]byte(body))
}

// SetKeys replaces the key set.
func (s *Server) SetKeys(set string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set = set
}

// SetDiscovery replaces the discovery document.
func (s *Server) SetDiscovery(document string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.discovery = document
}

// SetStatus answers every request with status.
func (s *Server) SetStatus(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
}

// Fetches counts the requests for keys and for the discovery document.
func (s *Server) Fetches() (keys, documents int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keyFetches, s.docFetches
}

// ServeHandler starts a server of another kind and returns its address.
func ServeHandler(t testing.TB, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}
