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
func page(t *testing.T, s *testkit.Service, verb, path string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), verb, "http://"+s.App.Listeners.HTTP.Addr().String()+path, nil)
	require.NoError(t, err)
	resp, err := transportOf(t, "http://"+req.URL.Host).RoundTrip(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return answer{code: resp.StatusCode, header: resp.Header, body: string(body)}
}

func TestAPIPageComesFromHereAlone(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	start := page(t, s, http.MethodGet, "/docs/")
	require.Equal(t, http.StatusOK, start.code)
	require.Equal(t, "text/html; charset=utf-8", start.header.Get("Content-Type"))
	requireGuarded(t, start.header)
	require.NotRegexp(t, `<script>|<style|style=|\son[a-z]+=|https?://`, start.body, "nothing inline, nothing from elsewhere")
	loaded := regexp.MustCompile(`(?:src|href)="([^":]+)"`).FindAllStringSubmatch(start.body, -1)
	require.Len(t, loaded, 4)
	for _, match := range loaded {
		file := page(t, s, http.MethodGet, "/docs/"+match[1])
		require.Equal(t, http.StatusOK, file.code, match[1])
		require.Regexp(t, "^text/(css|javascript);", file.header.Get("Content-Type"))
		requireGuarded(t, file.header)
	}

	moved := page(t, s, http.MethodGet, "/docs")
	require.Equal(t, http.StatusPermanentRedirect, moved.code)
	require.Equal(t, "/docs/", moved.header.Get("Location"))
	served := page(t, s, http.MethodGet, "/docs/openapi.yaml")
	require.Equal(t, "application/yaml", served.header.Get("Content-Type"))
	document, err := os.ReadFile("../../../api/openapi/profile.v1.yaml")
	require.NoError(t, err)
	require.Equal(t, string(document), served.body)
	head := page(t, s, http.MethodHead, "/docs/")
	require.Equal(t, http.StatusOK, head.code)
	require.Empty(t, head.body)
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
