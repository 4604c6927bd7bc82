package test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/test/testkit"
)

const (
	trace  = "0af7651916cd43dd8448eb211c80319c"
	span   = "b7ad6b7169203331"
	parent = "00-" + trace + "-" + span + "-01"
)

// eventHeaders are the headers stored with a user's only event.
func eventHeaders(t testing.TB, s *testkit.Service, user models.UserID) string {
	t.Helper()
	return testkit.One[string](t, s.DB, "SELECT headers::text FROM profile.outbox_events WHERE ordering_key = $1", user.String())
}

func TestS74_TraceOfTheCallGoesWithItsEvents(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	for _, m := range methods() {
		switch m.Name() {
		case "MutateFavorite", "UpsertWatchProgress", "UpdatePreferences":
		default:
			continue
		}
		t.Run(string(m.Name()), func(t *testing.T) {
			t.Parallel()
			traced, plain := testkit.NewUser(), testkit.NewUser()
			require.NoError(t, call(t, s, m, request(t, m, ""), append(asUser(traced), "traceparent", parent)))
			require.NoError(t, call(t, s, m, request(t, m, ""), asUser(plain)))
			require.JSONEq(t, `{"traceparent": "`+parent+`"}`, eventHeaders(t, s, traced))
			require.JSONEq(t, `{}`, eventHeaders(t, s, plain))
		})
	}
}

func TestS74_TraceParentIsTheCallersToGetWrong(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	huge := strings.Repeat("x", 24<<10) // within what one call may send
	for name, c := range map[string]struct {
		pairs []string
		want  string
	}{
		"NotSampled":       {[]string{"traceparent", "00-" + trace + "-" + span + "-00"}, "00-" + trace + "-" + span + "-00"},
		"NextVersion":      {[]string{"traceparent", "01-" + trace + "-" + span + "-01-more"}, parent},
		"HugeNextVersion":  {[]string{"traceparent", "01-" + trace + "-" + span + "-01-" + huge}, parent},
		"WithState":        {[]string{"traceparent", parent, "tracestate", "vendor=" + strings.Repeat("v", 200)}, parent},
		"BrokenState":      {[]string{"traceparent", parent, "tracestate", huge}, parent},
		"StateAlone":       {[]string{"tracestate", "vendor=1"}, ""},
		"Empty":            {[]string{"traceparent", ""}, ""},
		"NotATrace":        {[]string{"traceparent", "hello"}, ""},
		"Quotes":           {[]string{"traceparent", `00-"` + trace[1:] + "-" + span + "-01"}, ""},
		"UpperCase":        {[]string{"traceparent", strings.ToUpper(parent)}, ""},
		"ZeroTrace":        {[]string{"traceparent", "00-" + strings.Repeat("0", 32) + "-" + span + "-01"}, ""},
		"ZeroSpan":         {[]string{"traceparent", "00-" + trace + "-" + strings.Repeat("0", 16) + "-01"}, ""},
		"ForbiddenVersion": {[]string{"traceparent", "ff-" + trace + "-" + span + "-01"}, ""},
		"TooLong":          {[]string{"traceparent", parent + "-more"}, ""},
		"TooShort":         {[]string{"traceparent", parent[:54]}, ""},
		"Huge":             {[]string{"traceparent", huge}, ""},
		"Repeated":         {[]string{"traceparent", parent, "traceparent", parent}, ""},
		"RepeatedOften":    {slices.Repeat([]string{"traceparent", parent}, 200), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			user := testkit.NewUser()
			_, err := s.As(append(asUser(user), c.pairs...)...).MutateFavorite(t.Context(), like())
			require.NoError(t, err)
			want := `{}`
			if c.want != "" {
				want = `{"traceparent": "` + c.want + `"}`
			}
			require.JSONEq(t, want, eventHeaders(t, s, user))
		})
	}
}
