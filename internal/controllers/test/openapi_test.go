package test

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/controllers/problem"
	"github.com/lingo-services/profile/internal/controllers/rest"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/observability"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/test/testkit"
)

func TestM107_DocumentHasExactlyTheRoutes(t *testing.T) {
	t.Parallel()
	doc := openDocument(t)
	require.NoError(t, doc.Validate(t.Context(), openapi3.EnableExamplesValidation()))
	documented, ids := map[string]*openapi3.Operation{}, map[string]bool{}
	for path, item := range doc.Paths.Map() {
		for verb, op := range item.Operations() {
			documented[verb+" "+path] = op
			require.False(t, ids[op.OperationID], "%s names two operations", op.OperationID)
			ids[op.OperationID] = true
		}
	}
	var served []string
	for _, route := range rest.Routes() {
		served = append(served, route.String())
		op := documented[route.String()]
		require.NotNil(t, op, "%s is not documented", route)
		require.Equal(t, strings.HasPrefix(route.Pattern, "/api/v1/video/"), op.Deprecated, route)
		rule, _ := proto.GetExtension(route.Method.Options(), profilev1.E_Access).(*profilev1.Access)
		require.Equal(t, rule.GetAnyone(), credentials(op) == "", route)
		require.Equal(t, rule.GetSelf(), strings.Contains(credentials(op), "user"), route)
		require.Equal(t, len(rule.GetRoles()) > 0 && route.Verb != http.MethodPatch, strings.Contains(credentials(op), "service"), route)
	}
	require.ElementsMatch(t, served, slices.Collect(maps.Keys(documented)))
	text, err := json.Marshal(doc)
	require.NoError(t, err)
	for _, word := range []string{"x-md-", "metadata `", "expected_profile_version", "GetProfileRequest"} {
		require.NotContains(t, string(text), word, "the words of gRPC mean nothing here")
	}
}

func credentials(op *openapi3.Operation) string {
	var names []string
	for _, requirement := range *op.Security {
		names = append(names, slices.Collect(maps.Keys(requirement))...)
	}
	return strings.Join(names, " ")
}

// A new reason has to be given to the operations that may answer it.
func TestM107_EveryReasonIsDocumented(t *testing.T) {
	t.Parallel()
	// A merge patch names no expected version; If-Match does, and fails with PRECONDITION_FAILED.
	const grpcOnly = "PREFERENCE_CONFLICT VERSION_CONFLICT"
	for _, reason := range models.Reasons() {
		example := openDocument(t).Components.Examples["problem-"+string(reason)]
		if strings.Contains(grpcOnly, string(reason)) {
			require.Nil(t, example, reason)
			continue
		}
		require.NotNil(t, example, "%s belongs in api/openapi/gen", reason)
	}
}

// visit is what the document says of one route, and the statuses that the service gave.
type visit struct {
	rest.Route
	op   *openapi3.Operation
	path string
	// samples are the examples of bodies; one empty one where there is none.
	samples []string
	given   map[int]bool
}

// ask sends a request to s and expects code.
func (v *visit) ask(t *testing.T, s *testkit.Service, code int, path, body string, pairs ...string) answer {
	t.Helper()
	got := ask(t, s, v.Verb, path, body, pairs...)
	require.Equal(t, code, got.code, "%s: %s", v.op.OperationID, got.body)
	v.given[code] = true
	return got
}

// broken is a request with one fault, and the name of what is wrong.
func (v *visit) broken() (path, body, field string) {
	if v.HasBody {
		return v.path, `{"nope": 1}`, "nope"
	}
	for _, p := range v.op.Parameters {
		if p.Value.In == openapi3.ParameterInQuery {
			return v.path + "?nope=1", "", "nope"
		}
	}
	field = string(v.Method.Input().Fields().Get(0).Name()) // all there is to be wrong
	return strings.Replace(v.Pattern, "{"+field+"}", "nope", 1), "", field
}

// beyond are the statuses that need a broken service, or one in a hurry: TestM107_EveryProblemLooksAsDocumented has them,
// and this test all others.
var beyond = []int{http.StatusTooManyRequests, http.StatusConflict, 499, http.StatusInternalServerError, http.StatusServiceUnavailable, http.StatusGatewayTimeout}

// Every documented operation is called for real: with its own examples, which a documented success answers, and with
// what provokes its problems. ask holds every answer to the document.
func TestM107_ServiceDoesWhatTheDocumentSays(t *testing.T) {
	t.Parallel()
	// The routes run side by side on the same videos: counters stay what they were for as long as they are cached.
	s := testkit.New(t, func(c *confpb.Bootstrap) { c.Cache.Backend, c.Cache.StatsTtl = "memory", durationpb.New(5*time.Second) })
	limited := testkit.NewOn(t, s.DB, func(c *confpb.Bootstrap) { c.Engagement.MaxActivePerType = 1 })
	off := testkit.NewOn(t, s.DB, func(c *confpb.Bootstrap) { c.Features.EnableProfileApi = false })
	gone, video := testkit.NewVideo(), testkit.NewVideo()
	s.Publish(t, gone, func(c *po.VideoChange) { c.Kind = po.VideoDeleted })
	s.Publish(t, video)
	for _, route := range rest.Routes() {
		t.Run(route.String(), func(t *testing.T) {
			t.Parallel()
			user := testkit.NewUser()
			as := asUser(user)
			if !strings.Contains(route.Pattern, "/me") && !strings.Contains(route.Pattern, "/video/") {
				as = asService("admin")
			}
			path := strings.NewReplacer("{video_id}", video.String(), "{user_id}", user.String()).Replace(route.Pattern)
			v := &visit{route, operationOf(t, route.Verb, path), path, nil, map[int]bool{}}
			if v.HasBody {
				v.examples(t, s, as)
			} else {
				v.samples = []string{""}
			}
			v.refusals(t, s, off, as, user)
			v.successes(t, s, as, user)
			v.conflicts(t, s, limited, gone, video)
			for code := range v.op.Responses.Map() {
				n, err := strconv.Atoi(code)
				require.NoError(t, err)
				unserved := v.Method.Name() == "PurgeUserData" && n == http.StatusOK
				require.True(t, v.given[n] || unserved || slices.Contains(beyond, n), "%s: %s is documented, and nothing here provokes it", v.op.OperationID, code)
			}
		})
	}
}

// examples sends every example of a request, in every media type.
func (v *visit) examples(t *testing.T, s *testkit.Service, as []string) {
	t.Helper()
	code := http.StatusOK
	if v.Method.Name() == "PurgeUserData" { // until erasing is served
		code = http.StatusNotImplemented
	}
	for kind, media := range v.op.RequestBody.Value.Content {
		for _, name := range slices.Sorted(maps.Keys(media.Examples)) {
			value := media.Examples[name].Value.Value
			require.NoError(t, media.Schema.Value.VisitJSON(value, openapi3.VisitAsRequest(), openapi3.EnableFormatValidation(), openapi3.MultiErrors()))
			body, err := json.Marshal(value)
			require.NoError(t, err)
			v.samples = append(v.samples, string(body))
			v.ask(t, s, code, v.path, string(body), append([]string{"Content-Type", kind}, as...)...)
		}
	}
	require.NotEmpty(t, v.samples)
	closed := v.op.RequestBody.Value.Content["application/json"].Schema.Value
	require.Error(t, closed.VisitJSON(map[string]any{"nope": 1.0}), "the service refuses what it does not know, and so does the document")
}

// refusals provokes what every operation answers.
func (v *visit) refusals(t *testing.T, s, off *testkit.Service, as []string, user models.UserID) {
	t.Helper()
	if credentials(v.op) != "" {
		v.ask(t, s, http.StatusUnauthorized, v.path, v.samples[0])
		stranger := asService("compliance")
		if v.Method.Name() == "PurgeUserData" {
			stranger = asUser(user)
		}
		v.ask(t, s, http.StatusForbidden, v.path, v.samples[0], stranger...)
	}
	path, body, field := v.broken()
	require.Equal(t, []string{field}, v.ask(t, s, http.StatusBadRequest, path, body, as...).fields())
	v.ask(t, s, http.StatusNotAcceptable, v.path, v.samples[0], append([]string{"Accept", "text/html"}, as...)...)
	v.ask(t, off, http.StatusNotImplemented, v.path, v.samples[0], as...)
	if v.HasBody {
		v.ask(t, s, http.StatusUnsupportedMediaType, v.path, "x", append([]string{"Content-Type", "text/plain"}, as...)...)
		v.ask(t, s, http.StatusRequestEntityTooLarge, v.path, `"`+strings.Repeat("x", 1<<18)+`"`, as...)
	}
}

// successes provokes what is not a problem, beside the examples.
func (v *visit) successes(t *testing.T, s *testkit.Service, as []string, user models.UserID) {
	t.Helper()
	fill := func(verb, path, body string) {
		require.Equal(t, http.StatusOK, ask(t, s, verb, path, body, asUser(user)...).code)
	}
	switch {
	case v.Method.Name() == "GetProfile":
		v.ask(t, s, http.StatusNotFound, v.path, "", as...)
		fill(http.MethodPatch, me, `{"display_name": "Ada", "preferences": {"daily_quota_minutes": 20, "extra": {"a": [1]}}}`)
		tag := v.ask(t, s, http.StatusOK, v.path, "", as...).header.Get("ETag")
		v.ask(t, s, http.StatusNotModified, v.path, "", append([]string{"If-None-Match", tag}, as...)...)
	case v.Verb == http.MethodDelete:
		v.ask(t, s, http.StatusNoContent, v.path, "", as...)
		for _, kind := range []string{"likes/", "bookmarks/"} {
			fill(http.MethodPut, me+"/"+kind+v.path[strings.Index(v.path, "-")-8:][:36], "")
		}
		v.ask(t, s, http.StatusOK, v.path, "", as...)
	case v.Verb == http.MethodGet:
		fill(http.MethodPut, likes, "")
		fill(http.MethodPut, oneHistory, `{"progress": {"progress_ratio": 0.5}}`)
		path := v.path
		if v.op.Parameters.GetByInAndName(openapi3.ParameterInQuery, "video_ids") != nil {
			path += "?video_ids=" + videoID
		}
		tag := v.ask(t, s, http.StatusOK, path, "", as...).header.Get("ETag")
		if v.op.Responses.Status(http.StatusNotModified) != nil {
			v.ask(t, s, http.StatusNotModified, path, "", append([]string{"If-None-Match", tag}, as...)...)
		}
		if v.op.Parameters.GetByInAndName(openapi3.ParameterInQuery, "page_token") != nil {
			v.ask(t, s, http.StatusOK, v.path+"?include_unavailable=true&page_size=1", "", as...)
			require.Equal(t, "INVALID_PAGE_TOKEN", v.ask(t, s, http.StatusBadRequest, v.path+"?page_token=nope", "", as...).problem.Reason)
		}
	}
}

// conflicts provokes what the state of the service refuses.
func (v *visit) conflicts(t *testing.T, s, limited *testkit.Service, gone, video models.VideoID) {
	t.Helper()
	as := asUser(testkit.NewUser())
	if v.Verb == http.MethodPatch {
		v.ask(t, s, http.StatusOK, v.path, v.samples[0], as...)
		v.ask(t, s, http.StatusPreconditionFailed, v.path, v.samples[0], append([]string{"If-Match", `"other"`}, as...)...)
	}
	if v.op.Responses.Status(http.StatusUnprocessableEntity) != nil {
		as := append([]string{"Idempotency-Key", "k"}, as...)
		require.Less(t, ask(t, s, v.Verb, v.path, v.samples[0], as...).code, http.StatusBadRequest)
		require.Equal(t, "true", ask(t, s, v.Verb, v.path, v.samples[0], as...).header.Get("Idempotency-Replayed"))
		otherwise := v.path
		if !v.HasBody {
			otherwise += "?occurred_at=2026-01-02T03:04:05Z"
		}
		v.ask(t, s, http.StatusUnprocessableEntity, otherwise, v.samples[len(v.samples)-1], as...)
	}
	adds := v.HasBody && v.Method.Name() == "MutateFavorite"
	if adds || v.Method.Name() == "UpsertWatchProgress" {
		v.ask(t, s, http.StatusConflict, strings.ReplaceAll(v.path, video.String(), gone.String()), v.samples[0], as...)
	}
	if adds {
		v.ask(t, limited, http.StatusOK, v.path, "", as...)
		other := testkit.NewVideo()
		v.ask(t, limited, http.StatusTooManyRequests, strings.ReplaceAll(v.path, video.String(), other.String()), "", as...)
	}
}

// A service that fails in every way that the document knows, and each answer is as it says.
func TestM107_EveryProblemLooksAsDocumented(t *testing.T) {
	t.Parallel()
	url := failing(t)
	for _, route := range rest.Routes() {
		path := strings.NewReplacer("{video_id}", videoID, "{user_id}", videoID).Replace(route.Pattern)
		op := operationOf(t, route.Verb, path)
		for code, said := range op.Responses.Map() {
			media := said.Value.Content["application/problem+json"]
			if media == nil {
				continue
			}
			for reason := range media.Examples {
				if reason == "http" {
					continue
				}
				body := ""
				if route.HasBody {
					body = "{}"
				}
				got := askURL(t, url, route.Verb, path, body, "X-Request-Id", reason)
				require.Equal(t, code, strconv.Itoa(got.code), "%s %s", op.OperationID, reason)
				require.Equal(t, reason, got.problem.Reason, op.OperationID)
				require.Equal(t, models.Reason(reason).Entry().Retryable, got.header.Get("Retry-After") != "", "%s %s", op.OperationID, reason)
				example, _ := media.Examples[reason].Value.Value.(map[string]any)
				require.Equal(t, []any{example["type"], example["title"]}, []any{got.problem.Type, got.problem.Title})
			}
		}
	}
}

// failing is the address of REST before a service that answers every call with the reason that is its request id.
func failing(t *testing.T) string {
	t.Helper()
	fail := func(ctx context.Context, _ string, _ proto.Message, _ error, _ grpc.UnaryHandler) (any, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		reason := models.Reason(strings.Join(md.Get("x-request-id"), ""))
		return nil, problem.Status(&models.Error{Reason: reason, Message: reason.Entry().Title}).Err()
	}
	handler, err := rest.New(profilev1.UnimplementedProfileServiceServer{}, fail, slog.New(slog.DiscardHandler), observability.NewMetrics(),
		rest.Options{MaxBodyBytes: 1 << 10})
	require.NoError(t, err)
	front := httptest.NewServer(handler)
	t.Cleanup(front.Close)
	return front.URL
}
