package test

import (
	"io"
	"net/http"
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/test/testkit"
)

// page asks for a file of the API page.
func page(t *testing.T, s *testkit.Service, verb, path string) (*http.Response, string) {
	t.Helper()
	return fetch(t, verb, "http://"+s.App.Listeners.HTTP.Addr().String()+path)
}

func TestAPIPageComesFromHereAlone(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	resp, html := page(t, s, http.MethodGet, "/docs/")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, "text/html; charset=utf-8", resp.Header.Get("Content-Type"))
	require.NotRegexp(t, `<script>|<style|style=|\son[a-z]+=|https?://`, html, "nothing inline, nothing from elsewhere")
	loaded := regexp.MustCompile(`(?:src|href)="([^":]+)"`).FindAllStringSubmatch(html, -1)
	require.Len(t, loaded, 4)
	for _, match := range loaded {
		resp, _ := page(t, s, http.MethodGet, "/docs/"+match[1])
		require.Equal(t, http.StatusOK, resp.StatusCode, match[1])
		require.NotEqual(t, "text/plain; charset=utf-8", resp.Header.Get("Content-Type"))
		requireGuarded(t, resp.Header)
	}
	requireGuarded(t, resp.Header)

	resp, _ = page(t, s, http.MethodGet, "/docs")
	require.Equal(t, http.StatusPermanentRedirect, resp.StatusCode)
	require.Equal(t, "/docs/", resp.Header.Get("Location"))
	resp, text := page(t, s, http.MethodGet, "/docs/openapi.yaml")
	require.Equal(t, "application/yaml", resp.Header.Get("Content-Type"))
	document, err := os.ReadFile("../../../api/openapi/profile.v1.yaml")
	require.NoError(t, err)
	require.Equal(t, string(document), text)
	resp, text = page(t, s, http.MethodHead, "/docs/")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Empty(t, text)
}

func requireGuarded(t *testing.T, header http.Header) {
	t.Helper()
	policy := header.Get("Content-Security-Policy")
	require.Contains(t, policy, "default-src 'self'")
	require.NotContains(t, policy, "unsafe")
	require.Equal(t, "nosniff", header.Get("X-Content-Type-Options"))
}

func TestAPIPageIsNothingElse(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	for _, path := range []string{"/docs/nothing", "/docs/../docs/page.go", "/docs/page/index.html", "/docs/viewer/LICENSE", "/docsx", "/docs/.."} {
		require.Equal(t, http.StatusNotFound, ask(t, s, http.MethodGet, path, "").code, path)
	}
	require.Equal(t, http.StatusNotFound, ask(t, s, http.MethodPost, "/docs/", "").code)
	require.Equal(t, http.StatusUnauthorized, ask(t, s, http.MethodGet, me, "").code, "REST is where it was")
	off := testkit.NewOn(t, s.DB, func(c *confpb.Bootstrap) { c.Server.Docs = false })
	for _, path := range []string{"/docs", "/docs/", "/docs/openapi.yaml"} {
		require.Equal(t, http.StatusNotFound, ask(t, off, http.MethodGet, path, "").code, path)
	}
}

// fetch sends a request without a body, follows no redirect, and returns the answer with its body.
func fetch(t *testing.T, verb, url string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), verb, url, nil)
	require.NoError(t, err)
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(body)
}
