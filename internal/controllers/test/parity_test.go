package test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/lingo-services/profile/internal/controllers/rest"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/test/testkit"
)

// said is what a caller got, in words that both transports share.
type said struct {
	reason models.Reason
	fields string
}

// overGRPC calls and names the fields of violations as route does.
func overGRPC(t testing.TB, s *testkit.Service, m method, route rest.Route, req proto.Message, pairs []string) said {
	t.Helper()
	err := call(t, s, m, req, pairs)
	got := said{reason: models.Reason(reasonText(err))}
	if err == nil {
		return got
	}
	var fields []string
	for _, field := range testkit.RequireError(t, err, status.Code(err), got.reason).Fields() {
		prefix := map[string]string{"UpdateProfile": "profile.", "UpdatePreferences": "preferences."}[string(route.Method.Name())]
		field = strings.TrimPrefix(field, prefix)
		if prefix != "" && field == "update_mask" {
			field = ""
		}
		if name, isHeader := headerNames[field]; isHeader {
			field = name
		}
		fields = append(fields, field)
	}
	slices.Sort(fields)
	got.fields = strings.Join(fields, " ")
	return got
}

func overREST(t testing.TB, s *testkit.Service, route rest.Route, path, body string, pairs []string) said {
	t.Helper()
	answer := ask(t, s, route.Verb, path, body, pairs...)
	got := said{reason: models.Reason(answer.problem.Reason)}
	if got.reason != "" {
		entry := got.reason.Entry()
		require.Equal(t, entry.HTTPStatus, answer.code, answer.body)
		require.Equal(t, rest.ProblemType(got.reason), answer.problem.Type)
		require.Equal(t, entry.Title, answer.problem.Title)
		require.Equal(t, entry.Retryable, answer.header.Get("Retry-After") != "", answer.body)
	}
	fields := answer.fields()
	slices.Sort(fields)
	got.fields = strings.Join(fields, " ")
	return got
}

var headerNames = map[string]string{
	"x-md-idempotency-key": "Idempotency-Key", "x-md-if-match": "If-Match", "x-md-if-none-match": "If-None-Match", "x-md-client-time": "X-Md-Client-Time",
	"x-md-consistency": "X-Md-Consistency",
}

// stateOf is what is stored of a user, apart from who it is and when it was.
func stateOf(t testing.TB, s *testkit.Service, user models.UserID) string {
	t.Helper()
	text := testkit.One[string](t, s.DB, `SELECT jsonb_build_object(
		'profile', (SELECT jsonb_agg(to_jsonb(u)) FROM profile.users u WHERE user_id = $1),
		'favorites', (SELECT jsonb_agg(to_jsonb(e) ORDER BY video_id, engagement_type) FROM profile.engagements e WHERE user_id = $1),
		'watched', (SELECT jsonb_agg(to_jsonb(w) ORDER BY video_id) FROM profile.watch_logs w WHERE user_id = $1),
		'totals', (SELECT jsonb_agg(to_jsonb(c)) FROM profile.user_stats c WHERE user_id = $1))::text`, user.String())
	var state any
	require.NoError(t, json.Unmarshal([]byte(text), &state))
	strip(state, user.String())
	out, err := json.Marshal(state)
	require.NoError(t, err)
	return string(out)
}

func strip(value any, user string) {
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			set := inner != nil
			if inner == user || strings.HasSuffix(key, "_at") {
				v[key] = set
				continue
			}
			strip(inner, user)
		}
	case []any:
		for _, inner := range v {
			strip(inner, user)
		}
	}
}

// inhabited is a user who has done everything once.
func inhabited(t testing.TB, s *testkit.Service) models.UserID {
	t.Helper()
	user := testkit.NewUser()
	for _, m := range methods() {
		if slices.Contains([]string{"UpdateProfile", "UpdatePreferences", "MutateFavorite", "UpsertWatchProgress"}, string(m.Name())) {
			require.NoError(t, call(t, s, m, request(t, m, ""), asUser(user)))
		}
	}
	return user
}

func reads(m method) bool {
	name := string(m.Name())
	return strings.HasPrefix(name, "Get") || strings.HasPrefix(name, "List") || strings.HasPrefix(name, "Batch")
}

// Whatever is wrong with a field, a header or the service, both transports say the same of it and leave the same behind.
// No reason of the contract is left out.
func TestA62_RESTAndGRPCAgree(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	cases, seen := 0, newTally()
	var one, other models.UserID // until something may have been written
	compare := func(route rest.Route, note string, build func() (proto.Message, bool), headers ...string) {
		m := method{route.Method}
		req, possible := build()
		if !possible {
			return
		}
		path, body, possible := inREST(t, route, proto.Clone(req))
		if !possible {
			return
		}
		if one == (models.UserID{}) {
			one, other = inhabited(t, s), inhabited(t, s)
			require.Equal(t, stateOf(t, s, one), stateOf(t, s, other))
		}
		want := overGRPC(t, s, m, route, req, append(inMetadata(headers), caller(t, m, one)...))
		got := overREST(t, s, route, path, body, append(headers, caller(t, m, other)...))
		require.Equal(t, want, got, "%s: %s", route, note)
		require.Equal(t, stateOf(t, s, one), stateOf(t, s, other), "%s: %s", route, note)
		cases++
		seen.add(want.reason, got.reason)
		if !reads(m) {
			one, other = models.UserID{}, models.UserID{}
		}
	}
	for _, route := range rest.Routes() {
		m := method{route.Method}
		base := func() proto.Message { return request(t, m, "") }
		if route.Method.Name() == "PurgeUserData" || strings.Contains(route.Pattern, "{user_id}") {
			continue // they need a user in the request; TestS3 has them
		}
		fit := func(req proto.Message) (proto.Message, bool) { return fitted(route, req) }
		compare(route, "valid", func() (proto.Message, bool) { return fit(base()) })
		for _, bad := range evils(m.Input(), 0) {
			compare(route, bad.note, func() (proto.Message, bool) {
				wire, err := proto.Marshal(base())
				require.NoError(t, err)
				req := message(t, m.Input())
				if proto.Unmarshal(append(bytes.Clone(wire), bad.wire...), req) != nil {
					return nil, false
				}
				return fit(req)
			})
		}
		for name := range metadataNames {
			for _, value := range []string{"*", "yesterday", "0001-01-01T00:00:00Z", strings.Repeat("x", 4096), `W/"a"`, "-1", "strong"} {
				compare(route, name, func() (proto.Message, bool) { return fit(base()) }, name, value)
			}
		}
	}
	require.GreaterOrEqual(t, cases, 150)
	s.RequireNoDrift(t)
	for _, p := range provocations() {
		t.Run(string(p.reason), func(t *testing.T) { p.provoke(t, seen) })
	}
	t.Run(string(models.ReasonCancelled), func(t *testing.T) { provokeCancelled(t, seen) })
	t.Logf("%d cases of fields and headers; in all over gRPC %v, over REST %v", cases, seen.grpc, seen.rest)
	seen.requireEvery(t)
}

// inMetadata are pairs of HTTP headers and values as metadata.
func inMetadata(headers []string) (pairs []string) {
	for i, text := range headers {
		if i%2 == 0 {
			text = metadataNames[text]
		}
		pairs = append(pairs, text)
	}
	return pairs
}

var metadataNames = func() map[string]string {
	names := map[string]string{}
	for key, name := range headerNames {
		names[name] = key
	}
	return names
}()
