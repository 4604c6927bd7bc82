package test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/controllers/rest"
	"github.com/lingo-services/profile/internal/infrastructure/devstack"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/test/testkit"
)

// answer is what REST said.
type answer struct {
	code    int
	header  http.Header
	body    string
	problem rest.Problem
}

// ask calls REST with pairs of header name and value; a body is sent as JSON unless they say otherwise. Every answer is
// held to the OpenAPI document.
func ask(t testing.TB, s *testkit.Service, verb, path, body string, pairs ...string) answer {
	t.Helper()
	return askURL(t, "http://"+s.App.Listeners.HTTP.Addr().String(), verb, path, body, pairs...)
}

func askURL(t testing.TB, url, verb, path, body string, pairs ...string) (got answer) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), verb, url+path, strings.NewReader(body))
	require.NoError(t, err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(pairs); i += 2 {
		req.Header.Add(pairs[i], pairs[i+1])
		if strings.EqualFold(pairs[i], "content-type") {
			req.Header.Set(pairs[i], pairs[i+1])
		}
	}
	resp, err := transportOf(t, url).RoundTrip(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	got = answer{code: resp.StatusCode, header: resp.Header, body: string(text)}
	require.Equal(t, []string{"nosniff"}, got.header["X-Content-Type-Options"], "%s %s: %d %s", verb, path, got.code, got.body)
	require.NotEmpty(t, got.header.Get("X-Request-Id"))
	require.NotEmpty(t, got.header.Get("Cache-Control"))
	if got.code >= http.StatusBadRequest && verb != http.MethodHead {
		require.Equal(t, "application/problem+json", got.header.Get("Content-Type"), got.body)
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.DisallowUnknownFields()
		require.NoError(t, decoder.Decode(&got.problem))
		require.Equal(t, got.code, got.problem.Status)
		require.NotEmpty(t, got.problem.Title)
		require.NotEmpty(t, got.problem.Type)
		require.Equal(t, strings.Split(path, "?")[0], got.problem.Instance)
	}
	if op := operationOf(t, verb, path); op != nil {
		requireDocumented(t, op, verb, got)
	}
	return got
}

var transports sync.Map

// transportOf keeps connections to a server until the test ends; redirects are answers like others.
func transportOf(t testing.TB, url string) *http.Transport {
	t.Helper()
	fresh := &http.Transport{}
	kept, known := transports.LoadOrStore(url, fresh)
	if !known {
		t.Cleanup(func() {
			transports.Delete(url)
			fresh.CloseIdleConnections()
		})
	}
	return kept.(*http.Transport)
}

func (a answer) fields() (fields []string) {
	for _, v := range a.problem.Errors {
		fields = append(fields, v.Field)
	}
	return fields
}

// object is the body of a success.
func (a answer) object(t testing.TB) (object map[string]any) {
	t.Helper()
	require.Less(t, a.code, http.StatusBadRequest, a.body)
	require.Equal(t, "application/json", a.header.Get("Content-Type"))
	require.NoError(t, json.Unmarshal([]byte(a.body), &object))
	return object
}

// at is the value below the keys; nil when there is none.
func at(object map[string]any, keys ...string) any {
	var value any = object
	for _, key := range keys {
		inner, _ := value.(map[string]any)
		value = inner[key]
	}
	return value
}

const (
	me         = "/api/v1/user/me"
	likes      = me + "/likes/" + videoID
	bookmarks  = me + "/bookmarks/" + videoID
	history    = me + "/watch-history"
	oneHistory = history + "/" + videoID
)

func TestA44_ProfileIsCreatedReadAndPatched(t *testing.T) {
	t.Parallel()
	s, user := testkit.New(t), testkit.NewUser()
	as := asUser(user)
	require.Equal(t, models.ReasonProfileNotFound, models.Reason(ask(t, s, http.MethodGet, me, "", as...).problem.Reason))
	created := ask(t, s, http.MethodPatch, me, `{"display_name": "Ada", "preferences": {"learning_goal": "B2", "extra": {"darkMode": true, "dark_mode": false, "a.b": 1}}}`, as...)
	require.Equal(t, http.StatusOK, created.code, created.body)
	require.Equal(t, "1", at(created.object(t), "profile_version"))
	require.Equal(t, map[string]any{"darkMode": true, "dark_mode": false, "a.b": 1.0}, at(created.object(t), "preferences", "extra"))
	got := ask(t, s, http.MethodGet, me, "", as...)
	require.Equal(t, user.String(), at(got.object(t), "user_id"))
	require.Equal(t, created.header.Get("Etag"), got.header.Get("Etag"))
	require.Equal(t, "no-store", got.header.Get("Cache-Control"))
	byReader := ask(t, s, http.MethodGet, "/api/v1/profile/users/"+user.String(), "", asService("reader")...)
	require.Equal(t, got.body, byReader.body)
	head := ask(t, s, http.MethodHead, me, "", as...)
	require.Equal(t, http.StatusOK, head.code)
	require.Empty(t, head.body)
}

// A patch says three things of a member: nothing, null, or a value (RFC 7396).
func TestS66_PatchTellsAbsentFromNull(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	const full = `{"display_name": "Ada", "avatar_url": "https://example.org/a", "preferences": {"learning_goal": "B2", "daily_quota_minutes": 20, "extra": {"darkMode": true, "dark_mode": 1}}}`
	for name, tc := range map[string]struct {
		path, patch string
		want        string
	}{
		"absent stays":             {me, `{"display_name": "Eve"}`, `{"name":"Eve","avatar":"https://example.org/a","goal":"B2","quota":20,"extra":{"darkMode":true,"dark_mode":1}}`},
		"null clears":              {me, `{"avatar_url": null}`, `{"name":"Ada","avatar":"","goal":"B2","quota":20,"extra":{"darkMode":true,"dark_mode":1}}`},
		"null inside":              {me, `{"preferences": {"learning_goal": null}}`, `{"name":"Ada","avatar":"https://example.org/a","goal":"","quota":20,"extra":{"darkMode":true,"dark_mode":1}}`},
		"key by key":               {me, `{"preferences": {"extra": {"darkMode": null, "x": [1]}}}`, `{"name":"Ada","avatar":"https://example.org/a","goal":"B2","quota":20,"extra":{"dark_mode":1,"x":[1]}}`},
		"the other spelling":       {me, `{"preferences": {"extra": {"dark_mode": null}}}`, `{"name":"Ada","avatar":"https://example.org/a","goal":"B2","quota":20,"extra":{"darkMode":true}}`},
		"preferences null":         {me, `{"preferences": null}`, `{"name":"Ada","avatar":"https://example.org/a","goal":"","quota":null,"extra":{}}`},
		"preferences, zero":        {me + "/preferences", `{"daily_quota_minutes": 0}`, `{"name":"Ada","avatar":"https://example.org/a","goal":"B2","quota":0,"extra":{"darkMode":true,"dark_mode":1}}`},
		"preferences, null":        {me + "/preferences", `{"daily_quota_minutes": null, "extra": null}`, `{"name":"Ada","avatar":"https://example.org/a","goal":"B2","quota":null,"extra":{}}`},
		"camel case is read, too":  {me, `{"displayName": "Eve", "preferences": {"learningGoal": "C1"}}`, `{"name":"Eve","avatar":"https://example.org/a","goal":"C1","quota":20,"extra":{"darkMode":true,"dark_mode":1}}`},
		"what was read, sent back": {me, `{"user_id": "0190d5a0-0000-7000-8000-000000000000", "profile_version": "7", "display_name": "Eve"}`, `{"name":"Eve","avatar":"https://example.org/a","goal":"B2","quota":20,"extra":{"darkMode":true,"dark_mode":1}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			as := asUser(testkit.NewUser())
			require.Equal(t, http.StatusOK, ask(t, s, http.MethodPatch, me, full, as...).code)
			kind := []string{"Content-Type", "application/merge-patch+json"}
			patched := ask(t, s, http.MethodPatch, tc.path, tc.patch, append(kind, as...)...)
			require.Equal(t, http.StatusOK, patched.code, patched.body)
			profile := ask(t, s, http.MethodGet, me, "", as...).object(t)
			seen, err := json.Marshal(map[string]any{
				"name": profile["display_name"], "avatar": profile["avatar_url"], "goal": at(profile, "preferences", "learning_goal"),
				"quota": at(profile, "preferences", "daily_quota_minutes"), "extra": at(profile, "preferences", "extra"),
			})
			require.NoError(t, err)
			require.JSONEq(t, tc.want, string(seen))
		})
	}
}

func TestS62_ConditionsAndKeysAreHeaders(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	as := asUser(testkit.NewUser())
	patch := func(name string, more ...string) answer {
		return ask(t, s, http.MethodPatch, me, `{"display_name": "`+name+`"}`, append(more, as...)...)
	}
	first := patch("Ada", "Idempotency-Key", "k1")
	require.Empty(t, first.header.Get("Idempotency-Replayed"))
	again := patch("Ada", "Idempotency-Key", "k1")
	require.Equal(t, first.body, again.body)
	require.Equal(t, "true", again.header.Get("Idempotency-Replayed"))
	reused := patch("Eve", "Idempotency-Key", "k1")
	require.Equal(t, http.StatusUnprocessableEntity, reused.code)
	require.Equal(t, "/problems/idempotency-key-reused", reused.problem.Type)

	tag := first.header.Get("Etag")
	same := ask(t, s, http.MethodGet, me, "", append([]string{"If-None-Match", tag}, as...)...)
	require.Equal(t, http.StatusNotModified, same.code)
	require.Empty(t, same.body)
	require.Equal(t, tag, same.header.Get("Etag"))
	require.Equal(t, http.StatusOK, patch("Grace", "If-Match", tag).code)
	stale := patch("Eve", "If-Match", tag)
	require.Equal(t, http.StatusPreconditionFailed, stale.code)
	require.Equal(t, "PRECONDITION_FAILED", stale.problem.Reason)
	require.Equal(t, http.StatusOK, patch("Heidi", "If-Match", `"other"`, "If-Match", patch("Ivan").header.Get("Etag")).code, "two headers are one list")
}

func TestS15_RepeatedDeleteIs204(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	for name, route := range map[string]struct{ add, path, member string }{
		"likes":          {http.MethodPut, likes, "has_liked"},
		"bookmarks":      {http.MethodPut, bookmarks, "has_bookmarked"},
		"like alias":     {http.MethodPost, "/api/v1/video/" + videoID + "/like", "has_liked"},
		"favorite alias": {http.MethodPost, "/api/v1/video/" + videoID + "/favorite", "has_bookmarked"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			as := asUser(testkit.NewUser())
			added := ask(t, s, route.add, route.path, "", as...).object(t)
			require.Equal(t, true, at(added, "state", route.member))
			require.Equal(t, true, at(added, "changed"))
			removed := ask(t, s, http.MethodDelete, route.path, "", as...).object(t)
			require.Equal(t, false, at(removed, "state", route.member))
			repeated := ask(t, s, http.MethodDelete, route.path, "", as...)
			require.Equal(t, http.StatusNoContent, repeated.code)
			require.Empty(t, repeated.body)
			require.Empty(t, repeated.header.Get("Content-Type"))
		})
	}
}

func TestA46_ListsAndProgress(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	as := asUser(testkit.NewUser())
	require.Equal(t, http.StatusOK, ask(t, s, http.MethodPut, likes, `{"occurred_at": "2026-01-02T03:04:05Z"}`, as...).code)
	list := ask(t, s, http.MethodGet, me+"/favorites?page_size=1&favorite_type=FAVORITE_TYPE_LIKE&include_unavailable=true&with_count=true", "", as...).object(t)
	require.Equal(t, "1", list["total_count"])
	require.Equal(t, []any{}, ask(t, s, http.MethodGet, me+"/favorites?favorite_type=2&include_unavailable=true", "", as...).object(t)["favorites"])
	states := ask(t, s, http.MethodPost, me+"/favorites:batchQuery", `{"video_ids": ["`+videoID+`"], "include_stats": true}`, as...).object(t)
	summaries, _ := states["summaries"].([]any)
	require.Len(t, summaries, 1)
	require.Equal(t, http.StatusOK, ask(t, s, http.MethodPut, oneHistory, `{"progress": {"position_seconds": 42, "progress_ratio": 0.5}}`, as...).code)
	require.Equal(t, "42", at(ask(t, s, http.MethodGet, oneHistory, "", as...).object(t), "progress", "position_seconds"))
	batch := ask(t, s, http.MethodPost, history+":batchGet", `{"video_ids": ["`+videoID+`"]}`, as...).object(t)
	items, _ := batch["items"].([]any)
	require.Len(t, items, 1)
	watched := ask(t, s, http.MethodGet, history+"?include_unavailable=true&filter.completion=COMPLETION_STATE_IN_PROGRESS&filter.watched_after=2026-01-01T00:00:00Z", "", as...).object(t)
	items, _ = watched["items"].([]any)
	require.Len(t, items, 1)
	purge := ask(t, s, http.MethodPost, "/api/v1/profile/users/"+testkit.NewUser().String()+":purge", `{"reason": "asked"}`, asService("compliance")...)
	require.Equal(t, http.StatusNotImplemented, purge.code)
}

// All that is wrong with a request is said at once, by the names the request has.
func TestS8_RESTNamesEveryViolation(t *testing.T) {
	t.Parallel()
	s, user := testkit.New(t), testkit.NewUser()
	before := contents(t, s.DB)
	for name, tc := range map[string]struct {
		verb, path, body string
		fields           []string
	}{
		"not JSON":                 {http.MethodPatch, me, `{"display_name": `, []string{""}},
		"more than one value":      {http.MethodPatch, me, `{} {}`, []string{""}},
		"an array":                 {http.MethodPatch, me, `[]`, []string{""}},
		"a name twice":             {http.MethodPatch, me, `{"display_name": "a", "displayName": "b"}`, []string{""}},
		"nothing to do":            {http.MethodPatch, me, `{}`, []string{""}},
		"unknown and wrong":        {http.MethodPatch, me, `{"nick": 1, "display_name": 7, "preferences": {"daily_quota_minutes": "x", "goal": "", "extra": []}}`, []string{"display_name", "nick", "preferences.daily_quota_minutes", "preferences.extra", "preferences.goal"}},
		"rules of the service":     {http.MethodPatch, me, `{"display_name": "", "avatar_url": "ftp://x", "preferences": {"daily_quota_minutes": 2000, "extra": {"0": 1}}}`, []string{"avatar_url", "display_name", "preferences.daily_quota_minutes", "preferences.extra"}},
		"preferences":              {http.MethodPatch, me + "/preferences", `{"daily_quota_minutes": -1, "learning_goal": "` + strings.Repeat("x", 501) + `"}`, []string{"daily_quota_minutes", "learning_goal"}},
		"fraction of a minute":     {http.MethodPatch, me + "/preferences", `{"daily_quota_minutes": 1.5}`, []string{"daily_quota_minutes"}},
		"beyond 32 bits":           {http.MethodPatch, me + "/preferences", `{"daily_quota_minutes": 3000000000}`, []string{"daily_quota_minutes"}},
		"a null character":         {http.MethodPatch, me, `{"display_name": "a\u0000"}`, []string{"display_name"}},
		"what the path says":       {http.MethodPut, likes, `{"favorite_type": "FAVORITE_TYPE_BOOKMARK", "action": 2}`, []string{"favorite_type", "action"}},
		"another id in the body":   {http.MethodPut, likes, `{"video_id": "` + videoID + `"}`, []string{"video_id"}},
		"one name in two ways":     {http.MethodGet, me + "/favorites?page_size=1&pageSize=2", "", []string{"page_size"}},
		"an id that is none":       {http.MethodPut, me + "/likes/x", "", []string{"video_id"}},
		"a time that is none":      {http.MethodPut, likes, `{"occurred_at": "yesterday"}`, []string{"occurred_at"}},
		"a list":                   {http.MethodPost, me + "/favorites:batchQuery", `{"video_ids": ["x", 7, null], "all": true}`, []string{"all", "video_ids[1]", "video_ids[2]"}},
		"ids":                      {http.MethodPost, me + "/favorites:batchQuery", `{"video_ids": ["x"]}`, []string{"video_ids[0]"}},
		"progress":                 {http.MethodPut, oneHistory, `{"progress": {"position_seconds": -1, "progress_ratio": 2}}`, []string{"progress.position_seconds", "progress.progress_ratio"}},
		"not a number":             {http.MethodPut, oneHistory, `{"progress": {"progress_ratio": "NaN"}}`, []string{"progress.progress_ratio"}},
		"kinds":                    {http.MethodPut, oneHistory, `{"progress": {"position_seconds": true, "progress_ratio": "x", "session_id": 1}, "seq": {}}`, []string{"progress.position_seconds", "progress.progress_ratio", "progress.session_id", "seq"}},
		"query":                    {http.MethodGet, me + "/favorites?page_size=x&pagesize=1&favorite_type=LIKE&page_token=a&page_token=b&with_count=maybe", "", []string{"favorite_type", "page_size", "page_token", "pagesize", "with_count"}},
		"query, nested":            {http.MethodGet, history + "?filter.completion=9&filter=1&filter.x=1&filter.watched_after=now", "", []string{"filter", "filter.completion", "filter.watched_after", "filter.x"}},
		"query, rules":             {http.MethodGet, history + "?page_size=-1", "", []string{"page_size"}},
		"query of a delete":        {http.MethodDelete, likes + "?action=1", "", []string{"action"}},
		"query beside a body":      {http.MethodPut, likes + "?occurred_at=2026-01-01T00:00:00Z&x=1", "", []string{"occurred_at", "x"}},
		"query where none is":      {http.MethodGet, "/api/v1/videos/" + videoID + "/stats?video_id=" + videoID + "&fresh=1", "", []string{"fresh", "video_id"}},
		"query of a delete, wrong": {http.MethodDelete, likes + "?when=1", "", []string{"when"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := ask(t, s, tc.verb, tc.path, tc.body, asUser(user)...)
			require.Equal(t, http.StatusBadRequest, got.code, got.body)
			require.Equal(t, "/problems/invalid-argument", got.problem.Type)
			require.Equal(t, tc.fields, got.fields(), got.body)
		})
	}
	require.Equal(t, before, contents(t, s.DB), "not one row may differ")
}

func TestS8_RESTNamesHeaders(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	got := ask(t, s, http.MethodPatch, me, `{"display_name": "Ada"}`, append(asUser(testkit.NewUser()),
		"Idempotency-Key", "a", "Idempotency-Key", "b", "X-Md-Client-Time", "now")...)
	require.Equal(t, http.StatusBadRequest, got.code)
	require.Equal(t, []string{"Idempotency-Key"}, got.fields(), got.body)
	got = ask(t, s, http.MethodPatch, me, `{"display_name": "Ada"}`, append(asUser(testkit.NewUser()), "If-None-Match", "*")...)
	require.Equal(t, []string{"If-None-Match"}, got.fields(), got.body)
}

// However much is wrong, the answer stays short, and so does the work.
func TestT13_ViolationsAreBounded(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	body := `{"video_ids": [1` + strings.Repeat(",1", 120_000) + `]}`
	got := ask(t, s, http.MethodPost, me+"/favorites:batchQuery", body, asUser(testkit.NewUser())...)
	require.Equal(t, http.StatusBadRequest, got.code)
	require.Len(t, got.problem.Errors, 100)
}

// Credentials are checked before anything is said about the request (S87).
func TestS87_StrangersLearnNothingOfTheirRequest(t *testing.T) {
	t.Parallel()
	s, user := testkit.New(t), testkit.NewUser()
	for _, body := range []string{`{"display_name": `, `{"nick": 1}`, `{}`} {
		got := ask(t, s, http.MethodPatch, me, body)
		require.Equal(t, http.StatusUnauthorized, got.code, got.body)
		require.Equal(t, `Bearer realm="profile"`, got.header.Get("Www-Authenticate"))
		require.Empty(t, got.problem.Errors)
	}
	got := ask(t, s, http.MethodPost, "/api/v1/profile/users/"+user.String()+":purge", `{"why": 1}`, asUser(user)...)
	require.Equal(t, http.StatusForbidden, got.code)
	require.Empty(t, got.problem.Errors)
	got = ask(t, s, http.MethodGet, me+"/favorites?what=1&user_id="+testkit.NewUser().String(), "", asUser(user)...)
	require.Equal(t, http.StatusForbidden, got.code, "of another user, readable or not")
	require.Empty(t, got.problem.Errors)
}

// An id that is empty is no id: grpc-gateway alone would take it for one, and read the body, however long, of anybody.
func TestA62_APathWithAnEmptyIDIsNoPath(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	as := append(asUser(testkit.NewUser()), "Content-Type", "application/json")
	long := `{"reason": "` + strings.Repeat("a", 1<<20) + `"}`
	for path, verb := range map[string]string{
		me + "/likes/": http.MethodPut, me + "/bookmarks/": http.MethodPut, me + "/watch-history/": http.MethodPut, "/api/v1/video//like": http.MethodPost,
		"/api/v1/profile/users/": http.MethodGet, "/api/v1/videos//stats": http.MethodGet,
	} {
		body := long
		if verb == http.MethodGet {
			body = ""
		}
		require.Equal(t, http.StatusNotFound, ask(t, s, verb, path, body, as...).code, path)
		require.Equal(t, http.StatusNotFound, ask(t, s, verb, path, body).code, path)
	}
}

func TestA62_HTTPItselfAnswersWithProblems(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	as := asUser(testkit.NewUser())
	for name, tc := range map[string]struct {
		verb, path, body string
		pairs            []string
		code             int
		header, value    string
	}{
		"no such path":         {http.MethodGet, "/api/v1/nothing", "", nil, 404, "Content-Type", "application/problem+json"},
		"root":                 {http.MethodGet, "/", "", nil, 404, "Content-Type", "application/problem+json"},
		"admin paths":          {http.MethodGet, "/metrics", "", nil, 404, "Content-Type", "application/problem+json"},
		"profiler":             {http.MethodGet, "/debug/pprof/", "", nil, 404, "Content-Type", "application/problem+json"},
		"no such method":       {http.MethodPut, me, "{}", nil, 405, "Allow", "GET, HEAD, PATCH"},
		"no such method, verb": {http.MethodGet, me + "/favorites:batchQuery", "", nil, 405, "Allow", "POST"},
		"override is ignored":  {http.MethodPost, me, "", []string{"X-Http-Method-Override", "GET"}, 405, "Allow", "GET, HEAD, PATCH"},
		"form instead of GET":  {http.MethodPost, me, "a=b", []string{"Content-Type", "application/x-www-form-urlencoded"}, 405, "Allow", "GET, HEAD, PATCH"},
		"not acceptable":       {http.MethodGet, me, "", []string{"Accept", "text/html, application/xml;q=0.9"}, 406, "Content-Type", "application/problem+json"},
		"refused by weight":    {http.MethodGet, me, "", []string{"Accept", "application/json;q=0"}, 406, "Content-Type", "application/problem+json"},
		"text":                 {http.MethodPatch, me, `{"display_name": "Ada"}`, []string{"Content-Type", "text/plain"}, 415, "Accept", "application/json"},
		"latin":                {http.MethodPatch, me, `{"display_name": "Ada"}`, []string{"Content-Type", "application/json; charset=latin1"}, 415, "Accept", "application/json"},
		"half a query":         {http.MethodGet, me + "/favorites?page_size=%zz", "", nil, 400, "Content-Type", "application/problem+json"},
		"half a query, alone":  {http.MethodGet, me + "?a;b", "", nil, 400, "Content-Type", "application/problem+json"},
		"header in Latin-1":    {http.MethodPatch, me, `{"display_name": "Ada"}`, []string{"If-Match", "\"\xe9-1\""}, 400, "Content-Type", "application/problem+json"},
		"token and half a one": {http.MethodGet, me, "", []string{"Authorization", "Bearer \xe9"}, 400, "Content-Type", "application/problem+json"},
		"path that is no text": {http.MethodGet, "/api/v1/videos/%FF/stats", "", nil, 400, "Content-Type", "application/problem+json"},
		"value that is none":   {http.MethodGet, "/api/v1/videos/stats:batchGet?video_ids=%FF", "", nil, 400, "Content-Type", "application/problem+json"},
		"body of a delete":     {http.MethodDelete, likes, `{}`, nil, 400, "Content-Type", "application/problem+json"},
		"packed":               {http.MethodPatch, me, `{"display_name": "Ada"}`, []string{"Content-Encoding", "gzip"}, 415, "Accept", "application/json"},
		"patch for a put":      {http.MethodPut, likes, `{}`, []string{"Content-Type", "application/merge-patch+json"}, 415, "Accept", "application/json"},
		"too long":             {http.MethodPatch, me, `{"display_name": "` + strings.Repeat("a", 1<<18) + `"}`, nil, 413, "Content-Type", "application/problem+json"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ask(t, s, tc.verb, tc.path, tc.body, append(tc.pairs, as...)...)
			require.Equal(t, tc.code, got.code, got.body)
			require.Equal(t, tc.value, got.header.Get(tc.header))
			require.Equal(t, "about:blank", got.problem.Type)
		})
	}
	_, metrics := admin(t, s, "/metrics")
	require.Contains(t, metrics, `profile_http_refused_total{status="415"} 4`)
	ask(t, s, http.MethodGet, "/"+canary, "", "X-Request-Id", "lost")
	require.Contains(t, s.Log.String(), `"msg":"refused by HTTP","code":404,"request_id":"lost"`)
	require.NotContains(t, s.Log.String(), canary)
	options := ask(t, s, http.MethodOptions, likes, "")
	require.Equal(t, http.StatusNoContent, options.code)
	require.Equal(t, "DELETE, PUT", options.header.Get("Allow"))
	accepted := ask(t, s, http.MethodGet, me, "", append([]string{"Accept", "text/html, application/*;q=0.5"}, as...)...)
	require.Equal(t, http.StatusNotFound, accepted.code, "no profile, but the answer is acceptable")
	require.Equal(t, "PROFILE_NOT_FOUND", accepted.problem.Reason)
}

// Only the headers of the list reach the service; by default grpc-gateway would make an identity of the second one.
func TestT1_HeadersThatNameAUserOtherwiseDoNotCount(t *testing.T) {
	t.Parallel()
	s, user := testkit.New(t), testkit.NewUser()
	info := devstack.UserInfo(user.String())
	for _, name := range []string{
		"X-User-Id", "Grpc-Metadata-X-Apigateway-Api-Userinfo", "Grpc-Metadata-Authorization", "X-Apigateway-Api-Userinfo-Bin", "Grpc-Metadata-X-Apigateway-Api-Userinfo-Bin",
		"X_Apigateway_Api_Userinfo", "Grpcgateway-X-Apigateway-Api-Userinfo",
	} {
		require.Equal(t, http.StatusUnauthorized, ask(t, s, http.MethodGet, me, "", name, info).code, name)
	}
	require.Equal(t, http.StatusUnauthorized, ask(t, s, http.MethodGet, me, "", append(asUser(user), asUser(user)...)...).code, "sent twice")
}

func TestA48_RequestIDAndTraceComeBack(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	got := ask(t, s, http.MethodGet, me, "", append(asUser(testkit.NewUser()),
		"X-Request-Id", "req-1", "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")...)
	require.Equal(t, "req-1", got.header.Get("X-Request-Id"))
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", got.problem.TraceID)
	require.NotEqual(t, "a b", ask(t, s, http.MethodGet, me, "", "X-Request-Id", "a b").header.Get("X-Request-Id"))
}

func TestA95_CountersArePublicAndCacheable(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	video := testkit.NewVideo()
	other := video.String()
	s.Publish(t, video)
	require.Equal(t, http.StatusOK, ask(t, s, http.MethodPut, likes, "", asUser(testkit.NewUser())...).code)
	one := ask(t, s, http.MethodGet, "/api/v1/videos/"+videoID+"/stats", "")
	require.Equal(t, "1", one.object(t)["like_count"])
	require.Equal(t, "public, max-age=5", one.header.Get("Cache-Control"))
	same := ask(t, s, http.MethodGet, "/api/v1/videos/"+videoID+"/stats", "", "If-None-Match", `"x", `+one.header.Get("Etag"))
	require.Equal(t, http.StatusNotModified, same.code)
	require.Empty(t, same.body)
	require.Equal(t, "public, max-age=5", same.header.Get("Cache-Control"))
	batch := ask(t, s, http.MethodGet, "/api/v1/videos/stats:batchGet?video_ids="+other+"&video_ids="+strings.ToUpper(videoID)+"&video_ids="+other, "").object(t)
	items, _ := batch["items"].([]any)
	require.Len(t, items, 3)
	second, _ := items[1].(map[string]any)
	require.Equal(t, videoID, second["video_id"])
	require.Equal(t, "1", at(second, "stats", "like_count"))
	none := ask(t, s, http.MethodGet, "/api/v1/videos/x/stats", "")
	require.Equal(t, []string{"video_id"}, none.fields())
	require.Equal(t, "no-store", none.header.Get("Cache-Control"))

	videos := ask(t, s, http.MethodGet, "/api/v1/profile/videos:batchGet?video_ids="+other+"&video_ids="+videoID, "", asService("reader")...)
	require.Equal(t, "no-store", videos.header.Get("Cache-Control"))
	items, _ = videos.object(t)["items"].([]any)
	first, _ := items[0].(map[string]any)
	require.Equal(t, other, at(first, "video", "video_id"))
	require.Equal(t, "AVAILABILITY_AVAILABLE", first["availability"])
	second, _ = items[1].(map[string]any)
	require.Nil(t, second["video"])
	require.Equal(t, "AVAILABILITY_UNKNOWN", second["availability"])
	require.Equal(t, http.StatusForbidden, ask(t, s, http.MethodGet, "/api/v1/profile/videos:batchGet", "", asUser(testkit.NewUser())...).code)
}
