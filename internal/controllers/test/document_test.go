package test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/controllers/rest"
)

// document is api/openapi/profile.v1.yaml. The schemas of answers are closed here: callers must bear members that they
// do not know, but the service may not send one that the document does not.
var document = sync.OnceValues(func() (*openapi3.T, error) {
	doc, err := openapi3.NewLoader().LoadFromFile("../../../api/openapi/profile.v1.yaml")
	if err != nil {
		return nil, err
	}
	for _, schema := range doc.Components.Schemas {
		if extra := &schema.Value.AdditionalProperties; schema.Value.Type.Is("object") && extra.Has == nil && extra.Schema == nil {
			extra.Has = new(false)
		}
	}
	return doc, nil
})

func openDocument(t testing.TB) *openapi3.T {
	t.Helper()
	doc, err := document()
	require.NoError(t, err)
	return doc
}

// operationOf is the operation that serves a path; nil when there is none.
func operationOf(t testing.TB, verb, path string) *openapi3.Operation {
	t.Helper()
	if verb == http.MethodHead {
		verb = http.MethodGet
	}
	path, _, _ = strings.Cut(path, "?")
	path, err := url.PathUnescape(path) // an escaped slash is one
	require.NoError(t, err)
	for _, route := range rest.Routes() {
		if route.Verb == verb && route.Matches(path) {
			item := openDocument(t).Paths.Value(route.Pattern)
			require.NotNil(t, item, "%s is not documented", route)
			require.NotNil(t, item.GetOperation(verb), "%s is not documented", route)
			return item.GetOperation(verb)
		}
	}
	return nil
}

// told are the headers of answers that a caller may act on.
var told = []string{"Accept", "Allow", "ETag", "Idempotency-Replayed", "RateLimit", "RateLimit-Policy", "Retry-After", "WWW-Authenticate"}

// requireDocumented holds an answer to what the document says of the operation: status, headers, media type and body.
func requireDocumented(t testing.TB, op *openapi3.Operation, verb string, got answer) {
	t.Helper()
	said := op.Responses.Status(got.code)
	require.NotNil(t, said, "%s answers %d, which is not documented: %s", op.OperationID, got.code, got.body)
	for _, name := range told {
		if got.header.Get(name) != "" {
			require.Contains(t, said.Value.Headers, name, "%s %d", op.OperationID, got.code)
		}
	}
	if verb == http.MethodHead {
		return
	}
	if len(said.Value.Content) == 0 {
		require.Empty(t, got.body)
		return
	}
	media := said.Value.Content[got.header.Get("Content-Type")]
	require.NotNil(t, media, "%s answers %d with %s", op.OperationID, got.code, got.header.Get("Content-Type"))
	var value any
	require.NoError(t, json.Unmarshal([]byte(got.body), &value))
	require.NoError(t, media.Schema.Value.VisitJSON(value, openapi3.VisitAsResponse(), openapi3.EnableFormatValidation(), openapi3.MultiErrors()),
		"%s %d: %s", op.OperationID, got.code, got.body)
	if reason := got.problem.Reason; reason != "" {
		require.Contains(t, media.Examples, reason, "%s gives a reason that is not documented", op.OperationID)
	}
}
