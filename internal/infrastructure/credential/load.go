package credential

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

const (
	// loadTimeout bounds each request.
	loadTimeout = 5 * time.Second
	// maxDocument bounds what an issuer may send, in bytes.
	maxDocument = 1 << 20
)

// load gets a JSON Web Key Set.
type load func(context.Context) ([]byte, error)

func (k Keys) load(issuer string) load {
	client := &http.Client{
		Timeout: loadTimeout,
		// A connection every hour is not worth keeping.
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true},
		// The address was configured, or is in a document from there; another one was not.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	switch {
	case k.File != "":
		return func(context.Context) ([]byte, error) { return readFile(k.File) }
	case k.URL != "":
		return func(ctx context.Context) ([]byte, error) { return get(ctx, client, k.URL) }
	default:
		return func(ctx context.Context) ([]byte, error) { return discover(ctx, client, issuer) }
	}
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path) //nolint:gosec // G304: the operator names the file
	if err != nil {
		return nil, fmt.Errorf("open keys: %w", err)
	}
	defer file.Close()
	return bounded(file)
}

var errDiscovery = errors.New("the discovery document is not this issuer's or names no safe jwks_uri")

// discover gets the key set that the issuer's OpenID Connect discovery document names.
func discover(ctx context.Context, client *http.Client, issuer string) ([]byte, error) {
	text, err := get(ctx, client, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return nil, err
	}
	var document struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if json.Unmarshal(text, &document) != nil || document.Issuer != issuer || !SafeURL(document.JWKSURI) {
		return nil, errDiscovery
	}
	return get(ctx, client, document.JWKSURI)
}

// SafeURL reports whether keys fetched from the address come from who it names: https, or http on this machine.
func SafeURL(address string) bool {
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" {
		return false
	}
	if parsed.Scheme == "http" {
		ip := net.ParseIP(parsed.Hostname())
		return parsed.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	}
	return parsed.Scheme == "https"
}

func get(ctx context.Context, client *http.Client, address string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	request.Header.Set("Accept", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	body := response.Body
	defer body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch: status %d", response.StatusCode)
	}
	return bounded(body)
}

var errTooLarge = errors.New("the document is too large")

func bounded(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	if len(text) > maxDocument {
		return nil, errTooLarge
	}
	return text, nil
}
