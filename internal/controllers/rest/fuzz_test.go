package rest

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
)

// A patch is refused by name, or its mask has exactly what the patch has and can be sent.
func FuzzPatch(f *testing.F) {
	for _, body := range []string{
		`{}`, `null`, `[]`, `{"display_name": "Ada", "avatar_url": null}`, `{"displayName": "Ada", "preferences": {"extra": {"darkMode": null, "dark_mode": [1, {"a": null}]}}}`,
		`{"preferences": null}`, `{"preferences": {"daily_quota_minutes": "12", "extra": null}}`, `{"profile_version": 1e2, "user_id": "x"}`, `{"a": 1`, `{"preferences": {"extra": {"": 1}}}`,
		`{"created_at": "2026-01-01T00:00:00Z"}`, "{\"display_name\": \"\xff\"}", `{"display_name": "\ud800"}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		req := &profilev1.UpdateProfileRequest{}
		problems := patchProfile(body, req)
		if len(problems) > 0 {
			for _, p := range problems {
				require.NotEmpty(t, p.Detail)
			}
			return
		}
		_, err := proto.Marshal(req)
		require.NoError(t, err)
		var object map[string]any
		require.NoError(t, json.Unmarshal(body, &object))
		for _, path := range req.GetUpdateMask().GetPaths() {
			key, isKey := strings.CutPrefix(path, "extra.")
			switch {
			case isKey:
				_, kept := req.GetProfile().GetPreferences().GetExtra().GetFields()[key]
				require.True(t, kept, path)
			default:
				require.Contains(t, []string{"display_name", "avatar_url", "preferences", "learning_goal", "daily_quota_minutes", "extra"}, path)
			}
		}
	})
}

// Whatever bytes come for whatever method, they are a message that can be sent, or a list of what is wrong.
func FuzzBody(f *testing.F) {
	routes := Routes()
	for i := range routes {
		for _, body := range []string{`{}`, `{"video_ids": ["x", 1, null]}`, `{"progress": {"position_seconds": "7", "progress_ratio": 1e400}}`, `{"occurred_at": "2026-13-01T00:00:00Z"}`, `{"seq": 9223372036854775808}`} {
			f.Add(uint8(i), []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		message := requestOf(t, routes[int(which)%len(routes)])
		if problems := decode(body, message); len(problems) > 0 {
			require.NoError(t, fault(message, problems))
			require.Equal(t, problems, faults(message))
			return
		}
		_, err := proto.Marshal(message)
		require.NoError(t, err)
		require.Empty(t, faults(message))
	})
}

func FuzzQuery(f *testing.F) {
	routes := Routes()
	for i := range routes {
		for _, text := range []string{"", "page_size=1&page_size=2", "filter.completion=1&filter.watched_after=now", "filter=1", "a.b.c=1", "video_ids=1&video_ids=2", "occurred_at=x", "%00=%ff", "user_id.x=1"} {
			f.Add(uint8(i), text)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, text string) {
		values, err := url.ParseQuery(text)
		if err != nil {
			return
		}
		message := requestOf(t, routes[int(which)%len(routes)])
		require.NoError(t, query{}.Parse(message, values, utilities.NewDoubleArray(nil)))
		for _, p := range faults(message) {
			require.NotEmpty(t, p.Field+p.Detail)
		}
	})
}

func requestOf(t *testing.T, route Route) proto.Message {
	t.Helper()
	kind, err := protoregistry.GlobalTypes.FindMessageByName(route.Method.Input().FullName())
	require.NoError(t, err)
	return kind.New().Interface()
}
