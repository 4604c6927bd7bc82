package dto_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/controllers/dto"
	"github.com/lingo-services/profile/internal/models/vo"
	"github.com/lingo-services/profile/internal/services"
)

func progressFields(t *testing.T, change func(*profilev1.WatchProgress)) (services.ProgressReport, []string) {
	t.Helper()
	_, report, err := decoder(t).UpsertWatchProgress(self, none, progress(func(r *profilev1.UpsertWatchProgressRequest) { change(r.GetProgress()) }))
	return report, fields(t, err)
}

func TestS6_ProgressNumbers(t *testing.T) {
	t.Parallel()
	position := func(v int64) func(*profilev1.WatchProgress) {
		return func(p *profilev1.WatchProgress) { p.PositionSeconds = v }
	}
	total := func(v int64) func(*profilev1.WatchProgress) {
		return func(p *profilev1.WatchProgress) { p.TotalWatchSeconds = v }
	}
	for _, v := range []int64{0, 1, 864_000} {
		report, bad := progressFields(t, position(v))
		require.Empty(t, bad)
		require.Equal(t, v, report.PositionSeconds)
	}
	for _, v := range []int64{-1, 864_001, math.MinInt64, math.MaxInt64} {
		_, bad := progressFields(t, position(v))
		require.Equal(t, []string{"progress.position_seconds"}, bad, "%d", v)
	}
	for _, v := range []int64{0, 1, 315_360_000} {
		report, bad := progressFields(t, total(v))
		require.Empty(t, bad)
		require.Equal(t, v, report.TotalSeconds)
	}
	for _, v := range []int64{-1, 315_360_001, math.MinInt64, math.MaxInt64} {
		_, bad := progressFields(t, total(v))
		require.Equal(t, []string{"progress.total_watch_seconds"}, bad, "%d", v)
	}
}

func TestS6_Ratios(t *testing.T) {
	t.Parallel()
	ratio := func(v float64) func(*profilev1.WatchProgress) {
		return func(p *profilev1.WatchProgress) { p.ProgressRatio = &v }
	}
	for v, want := range map[float64]int32{
		0: 0, math.Copysign(0, -1): 0, 0.05: 500, 0.0499999: 499, 0.29: 2900, 1: 10_000, 1.0005: 10_000, 1.001: 10_000, 5e-324: 0,
	} {
		report, bad := progressFields(t, ratio(v))
		require.Empty(t, bad, "%v", v)
		require.NotNil(t, report.RatioBP)
		require.Equal(t, want, *report.RatioBP, "%v", v)
	}
	for _, v := range []float64{
		math.NaN(), math.Inf(1), math.Inf(-1), -0.0001, -5e-324, math.Nextafter(1.001, 2), 1.01, 2, 100, math.MaxFloat64, -math.MaxFloat64,
	} {
		_, bad := progressFields(t, ratio(v))
		require.Equal(t, []string{"progress.progress_ratio"}, bad, "%v", v)
	}
	report, bad := progressFields(t, func(*profilev1.WatchProgress) {})
	require.Empty(t, bad)
	require.Nil(t, report.RatioBP, "absent is not zero (S40)")
}

func TestS6_OtherNumbers(t *testing.T) {
	t.Parallel()
	d := decoder(t)
	for _, v := range []int64{-1, math.MinInt64} {
		_, _, err := d.UpsertWatchProgress(self, none, progress(func(r *profilev1.UpsertWatchProgressRequest) { r.Seq = v }))
		require.Equal(t, []string{"seq"}, fields(t, err))
		_, _, err = d.UpdatePreferences(self, none, &profilev1.UpdatePreferencesRequest{
			Preferences: &profilev1.Preferences{LearningGoal: "x"}, ExpectedProfileVersion: wrapperspb.Int64(v),
		})
		require.Equal(t, []string{"expected_profile_version"}, fields(t, err))
	}
	for _, v := range []int32{-1, math.MinInt32} {
		_, _, err := d.ListFavorites(self, none, &profilev1.ListFavoritesRequest{PageSize: v})
		require.Equal(t, []string{"page_size"}, fields(t, err))
		_, _, err = d.ListWatchHistory(self, none, &profilev1.ListWatchHistoryRequest{PageSize: v})
		require.Equal(t, []string{"page_size"}, fields(t, err))
	}
	for _, v := range []int32{-1, 1441, math.MinInt32, math.MaxInt32} {
		_, _, err := d.UpdatePreferences(self, none, &profilev1.UpdatePreferencesRequest{
			Preferences: &profilev1.Preferences{DailyQuotaMinutes: wrapperspb.Int32(v)},
		})
		require.Equal(t, []string{"preferences.daily_quota_minutes"}, fields(t, err), "%d", v)
	}
	for _, v := range []int32{0, 1440} {
		_, cmd, err := d.UpdatePreferences(self, none, &profilev1.UpdatePreferencesRequest{
			Preferences: &profilev1.Preferences{DailyQuotaMinutes: wrapperspb.Int32(v)},
		})
		require.NoError(t, err)
		require.Equal(t, v, *cmd.Patch.DailyQuotaMinutes.Value)
	}
}

func preferences(t *testing.T, p *profilev1.Preferences) (vo.ProfilePatch, []string) {
	t.Helper()
	_, cmd, err := decoder(t).UpdatePreferences(self, none, &profilev1.UpdatePreferencesRequest{Preferences: p})
	return cmd.Patch, fields(t, err)
}

func extraOf(key string, value *structpb.Value) *profilev1.Preferences {
	return &profilev1.Preferences{Extra: &structpb.Struct{Fields: map[string]*structpb.Value{key: value}}}
}

func TestS6_NumbersInExtraAreFinite(t *testing.T) {
	t.Parallel()
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		number := structpb.NewNumberValue(v)
		list := structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{number}})
		object := structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{"x": list}})
		for _, value := range []*structpb.Value{number, list, object} {
			_, bad := preferences(t, extraOf("k", value))
			require.Equal(t, []string{"preferences.extra.k"}, bad, "%v in %v", v, value)
			_, _, err := decoder(t).UpdatePreferences(self, none, &profilev1.UpdatePreferencesRequest{
				Preferences: extraOf("k", value), UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"extra.k"}},
			})
			require.Equal(t, []string{"preferences.extra.k"}, fields(t, err))
		}
	}
}

func TestS66_ExtraIsReadAsJSON(t *testing.T) {
	t.Parallel()
	extra, err := structpb.NewStruct(map[string]any{
		"a": "NaN", "b": 1.5, "c": true, "d": nil, "e": []any{1.0, "x", nil}, "f": map[string]any{"g": []any{}},
	})
	require.NoError(t, err)
	extra.Fields["h"] = &structpb.Value{} // a value without a kind is null
	patch, bad := preferences(t, &profilev1.Preferences{Extra: extra})
	require.Empty(t, bad)
	require.Equal(t, map[string]any{
		"a": "NaN", "b": 1.5, "c": true, "d": nil, "e": []any{1.0, "x", nil}, "f": map[string]any{"g": []any{}}, "h": nil,
	}, patch.Extra.Values)
	require.False(t, patch.Extra.Replace)
}

func profile(t *testing.T, d *dto.Decoder, p *profilev1.Profile) (vo.ProfilePatch, []string) {
	t.Helper()
	_, cmd, err := d.UpdateProfile(self, none, &profilev1.UpdateProfileRequest{Profile: p})
	return cmd.Patch, fields(t, err)
}

func TestS7_DisplayNames(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ text, want string }{
		"one character":         {"A", "A"},
		"64 characters":         {strings.Repeat("x", 64), strings.Repeat("x", 64)},
		"64 wide characters":    {strings.Repeat("漢", 64), strings.Repeat("漢", 64)},
		"64 after NFC":          {strings.Repeat("e\u0301", 64), strings.Repeat("é", 64)},
		"64 after trimming":     {"  " + strings.Repeat("x", 64) + "\u3000\n", strings.Repeat("x", 64)},
		"blanks inside":         {"Ada  Lovelace", "Ada  Lovelace"},
		"joined emoji":          {"👩\u200d🚀", "👩\u200d🚀"},
		"right-to-left letters": {"שלום", "שלום"},
		"markup is only text":   {"<b>Robert'); DROP TABLE--", "<b>Robert'); DROP TABLE--"},
	} {
		patch, bad := profile(t, decoder(t), &profilev1.Profile{DisplayName: tc.text})
		require.Empty(t, bad, name)
		require.Equal(t, tc.want, patch.DisplayName.Value, name)
	}
	for name, text := range map[string]string{
		"65 characters": strings.Repeat("x", 65), "65 wide characters": strings.Repeat("漢", 65), "blank": "  \t ", "only a wide blank": "\u3000",
		"NUL": "a\x00b", "newline inside": "a\nb", "escape": "a\x1b[31mb", "DEL": "a\x7fb", "C1 control": "a\u0085b",
		"right-to-left override": "a\u202eb", "isolate": "a\u2066b", "line separator": "a\u2028b", "paragraph separator": "a\u2029b",
		"over 2048 bytes": strings.Repeat("漢", 700),
	} {
		_, bad := profile(t, decoder(t), &profilev1.Profile{DisplayName: text})
		require.Equal(t, []string{"profile.display_name"}, bad, name)
	}
}

func TestS7_ANameIsSeen(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"zero width space": "\u200b", "Hangul filler": "\u3164", "braille blank": "\u2800", "soft hyphen": "\u00ad", "joiners": "\u200d\u200c",
		"Hangul initial filler": "\u115f", "Hangul medial filler": "\u1160", "halfwidth filler": "\uffa0", "byte order mark": "\ufeff",
		"tag letters": "\U000e0041\U000e007f", "variation selector": "\ufe0f", "accent alone": "\u0301", "accent after a blank": " \u0301",
		"grapheme joiner": "\u034f", "Mongolian separator": "\u180e", "word joiner": "\u2060", "null notehead": "\U0001d159",
		"unassigned": "\u0378", "noncharacter": "\U0010ffff", "full blank of hieroglyphs": "\U00013441", "enclosing circle": "\u20dd",
		"several kinds": "\u3164\u200b \u2800\u0301",
	} {
		_, bad := profile(t, decoder(t), &profilev1.Profile{DisplayName: text})
		require.Equal(t, []string{"profile.display_name"}, bad, name)
	}
	for _, text := range []string{
		"x\u0323", "👍🏽", "—", "٠", "क्षि", "\u2800A", "A\u200b", "ㅤ이름", "☃\ufe0f", "£", "\u0e01\u0e33", "1\ufe0f\u20e3",
	} {
		patch, bad := profile(t, decoder(t), &profilev1.Profile{DisplayName: text})
		require.Empty(t, bad, "%q", text)
		require.Equal(t, text, patch.DisplayName.Value)
	}
}

// Go's normaliser adds U+034F after 30 marks, and orders and composes no further than that.
func TestS7_NamesArePlainNFC(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a" + strings.Repeat("\u0301", 40):            "á" + strings.Repeat("\u0301", 39),
		"a" + strings.Repeat("\u0301", 35) + "\u0323": "ạ" + strings.Repeat("\u0301", 35),
		strings.Repeat("\u0301", 31) + "x":            strings.Repeat("\u0301", 31) + "x",
		"\u1112\u1161\u11ab\u1100\u1173\u11af":        "한글",
		"\uac00\u11a8":                                "각",
		"\u0958":                                      "\u0915\u093c",
		"Å":                                           "Å",
		"e\u0302\u0301":                               "ế",
		"a\u034f\u0301":                               "a\u034f\u0301",
		"q\u0307\u0323":                               "q\u0323\u0307",
		"\U0001d15e":                                  "\U0001d157\U0001d165",
	} {
		patch, bad := profile(t, decoder(t), &profilev1.Profile{DisplayName: text})
		require.Empty(t, bad, "%q", text)
		require.Equal(t, want, patch.DisplayName.Value, "%q", text)
	}
	require.Equal(t, []string{"profile.display_name"}, second(profile(t, decoder(t), &profilev1.Profile{DisplayName: "x" + strings.Repeat("\u0301", 64)})))
}

func second[A, B any](_ A, b B) B { return b }

func TestS7_KeysAMergeDeletesDoNotCount(t *testing.T) {
	t.Parallel()
	merge := func(deleted, added int, value string) *profilev1.Preferences {
		extra := &structpb.Struct{Fields: map[string]*structpb.Value{}}
		for i := range deleted {
			extra.Fields[fmt.Sprintf("d%062d", i)] = structpb.NewNullValue()
		}
		for i := range added {
			extra.Fields[fmt.Sprintf("a%d", i)] = structpb.NewStringValue(value)
		}
		return &profilev1.Preferences{Extra: extra}
	}
	for _, counts := range [][2]int{{40, 40}, {64, 64}, {1, 64}, {400, 0}} {
		patch, bad := preferences(t, merge(counts[0], counts[1], "x"))
		require.Empty(t, bad, "%v", counts)
		require.Len(t, patch.Extra.Values, counts[0]+counts[1])
	}
	for _, refused := range []*profilev1.Preferences{merge(0, 65, "x"), merge(40, 65, "x"), merge(40, 17, strings.Repeat("x", 1024))} {
		_, bad := preferences(t, refused)
		require.Equal(t, []string{"preferences.extra"}, bad)
	}
	_, bad := preferences(t, extraOf("1k", structpb.NewNullValue()))
	require.Equal(t, []string{"preferences.extra"}, bad, "a key that cannot be there cannot be deleted")
}

func TestS7_AvatarURLs(t *testing.T) {
	t.Parallel()
	const https = "https://cdn.example.com/"
	good := []string{
		https, https + "a?b=c#d", "https://192.0.2.1:8443/x", "https://[2001:db8::1]/x", "HTTPS://cdn.example.com/x", "https://localhost/x", "https://cdn.example.com:65535/x", "https://cdn.example.com:1/x",
		"https://münchen.example/bild", "https://xn--mnchen-3ya.example/x", "https://a_b.example/x", https + "画像/ä.png?q=日本", https + "e\u0301", https + "🦊", https + strings.Repeat("x", 2048-len(https)),
	}
	for _, url := range good {
		patch, bad := profile(t, decoder(t), &profilev1.Profile{AvatarUrl: url})
		require.Empty(t, bad, url)
		require.Equal(t, url, *patch.AvatarURL.Value, "stored as given")
	}
	for _, url := range []string{
		"http://cdn.example.com/x", "ftp://cdn.example.com/x", "//cdn.example.com/x", "/x", "cdn.example.com/x", "https:", "https://", "https:///x",
		"https:cdn.example.com", "https://user:pass@cdn.example.com/", "https://user@cdn.example.com/", "javascript:alert(1)", "data:image/png;base64,AA",
		"file:///etc/passwd", "https://:443/x", https + "a b", https + "a\nb", https + "a\x00b", " " + https, https + "%zz", "https://[::1/x",
		https + strings.Repeat("x", 2049-len(https)),
		"https://example.org:99999/a", "https://example.org:65536/a", "https://example.org:0/a", "https://example.org:/a", "https://[2001:db8::1]:70000/x",
		"https://ex..org/a", "https://.example.org/a", "https://example.org./a", "https://./a", "https://example.org..:443/a", "https://ex。.org/a",
		"https://" + strings.Repeat("x", 64) + ".org/a", https + "a\u202eb", https + "a\u2066b", https + "a\u200bb", https + "a\u200fb", https + "a\u00adb",
		https + "a?b=\u2800", https + "#\u3164", https + "a\ufeff", https + "a\ufe0f", https + "a\u2028", https + "a\u0378", "https://ex\u200bample.org/a",
		"https://ex%E2%80%8Bample.org/a", "https://ex\u202eample.org/a", "https://xn--a/",
	} {
		_, bad := profile(t, decoder(t), &profilev1.Profile{AvatarUrl: url})
		require.Equal(t, []string{"profile.avatar_url"}, bad, "%q", url)
	}
}

func TestS7_HTTPAvatarsAreForDevelopmentOnly(t *testing.T) {
	t.Parallel()
	dev, err := dto.NewDecoder(dto.Options{AllowHTTPAvatars: true})
	require.NoError(t, err)
	_, bad := profile(t, dev, &profilev1.Profile{AvatarUrl: "http://localhost:8080/a.png"})
	require.Empty(t, bad)
	_, bad = profile(t, dev, &profilev1.Profile{AvatarUrl: "ftp://localhost/a.png"})
	require.Equal(t, []string{"profile.avatar_url"}, bad)
}

func TestS7_LearningGoals(t *testing.T) {
	t.Parallel()
	for _, goal := range []string{"x", strings.Repeat("x", 500), strings.Repeat("漢", 500), "two\nlines\tand a tab"} {
		patch, bad := preferences(t, &profilev1.Preferences{LearningGoal: goal})
		require.Empty(t, bad)
		require.Equal(t, goal, *patch.LearningGoal.Value)
	}
	for _, goal := range []string{strings.Repeat("x", 501), strings.Repeat("漢", 501), "a\x00b", "a\rb", "a\x1bb", "a\u009fb"} {
		_, bad := preferences(t, &profilev1.Preferences{LearningGoal: goal})
		require.Equal(t, []string{"preferences.learning_goal"}, bad, "%.20q", goal)
	}
}

func TestS7_KeysAndSessionsAreVisibleASCII(t *testing.T) {
	t.Parallel()
	good := []string{"k", "!~", strings.Repeat("k", 128), "a-1_2:3/4.5"}
	bad := []string{strings.Repeat("k", 129), "a b", "a\tb", "a\n", "\x00", "é", "\x7f", " "}
	for _, key := range good {
		require.Empty(t, favoriteFields(t, none, favorite(func(r *profilev1.MutateFavoriteRequest) { r.IdempotencyKey = key })))
		require.Empty(t, favoriteFields(t, dto.Headers{IdempotencyKey: key}, favorite(nil)))
		_, violated := progressFields(t, func(p *profilev1.WatchProgress) { p.SessionId = key })
		require.Empty(t, violated)
	}
	for _, key := range bad {
		require.Equal(t, []string{"idempotency_key"},
			favoriteFields(t, none, favorite(func(r *profilev1.MutateFavoriteRequest) { r.IdempotencyKey = key })), "%q", key)
		require.Equal(t, []string{"x-md-idempotency-key"}, favoriteFields(t, dto.Headers{IdempotencyKey: key}, favorite(nil)), "%q", key)
		_, violated := progressFields(t, func(p *profilev1.WatchProgress) { p.SessionId = key })
		require.Equal(t, []string{"progress.session_id"}, violated, "%q", key)
	}
}

func TestS7_OtherSizes(t *testing.T) {
	t.Parallel()
	d := decoder(t)
	ids := make([]string, 101)
	for i := range ids {
		ids[i] = videoID
	}
	_, _, err := d.BatchQueryFavorite(self, none, &profilev1.BatchQueryFavoriteRequest{VideoIds: ids})
	require.Equal(t, []string{"video_ids"}, fields(t, err))
	_, got, err := d.BatchQueryFavorite(self, none, &profilev1.BatchQueryFavoriteRequest{VideoIds: ids[:100]})
	require.NoError(t, err)
	require.Len(t, got, 100)
	_, _, err = d.ListFavorites(self, none, &profilev1.ListFavoritesRequest{PageToken: strings.Repeat("x", 513)})
	require.Equal(t, []string{"page_token"}, fields(t, err))
	_, _, err = d.ListWatchHistory(self, none, &profilev1.ListWatchHistoryRequest{PageToken: strings.Repeat("x", 513)})
	require.Equal(t, []string{"page_token"}, fields(t, err))
	_, err = d.PurgeUserData(self, none, &profilev1.PurgeUserDataRequest{UserId: me.String(), Reason: strings.Repeat("x", 501)})
	require.Equal(t, []string{"reason"}, fields(t, err))
	_, _, err = d.UpdateProfile(self, none, &profilev1.UpdateProfileRequest{UpdateMask: &fieldmaskpb.FieldMask{Paths: make([]string, 129)}})
	require.Contains(t, fields(t, err), "update_mask")
}

func TestP17_WhatTheReferenceAcceptedIsRefused(t *testing.T) {
	t.Parallel()
	name := func(p *profilev1.Profile, paths ...string) []string {
		_, _, err := decoder(t).UpdateProfile(self, none, &profilev1.UpdateProfileRequest{Profile: p, UpdateMask: &fieldmaskpb.FieldMask{Paths: paths}})
		return fields(t, err)
	}
	require.Equal(t, []string{"profile.display_name"}, name(&profilev1.Profile{}, "display_name"), "empty name")
	require.Equal(t, []string{"profile.avatar_url"}, name(&profilev1.Profile{AvatarUrl: " "}, "avatar_url"), "blank URL")
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -0.1, 1.5} {
		_, bad := progressFields(t, func(p *profilev1.WatchProgress) { p.ProgressRatio = &v })
		require.Equal(t, []string{"progress.progress_ratio"}, bad, "%v", v)
	}
	_, bad := progressFields(t, func(p *profilev1.WatchProgress) { p.PositionSeconds, p.TotalWatchSeconds = -5, -5 })
	require.Equal(t, []string{"progress.position_seconds", "progress.total_watch_seconds"}, bad)
	_, bad = preferences(t, extraOf("k", structpb.NewStringValue(strings.Repeat("x", 20<<10))))
	require.Equal(t, []string{"preferences.extra"}, bad, "huge JSON")
}
