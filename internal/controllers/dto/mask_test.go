package dto_test

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/gowebpki/jcs"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"pgregory.net/rapid"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/controllers/dto"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/vo"
)

func mask(paths ...string) *fieldmaskpb.FieldMask { return &fieldmaskpb.FieldMask{Paths: paths} }

// set names the fields that a patch changes.
func set(p vo.ProfilePatch) (names []string) {
	for name, isSet := range map[string]bool{
		"display_name": p.DisplayName.Set, "avatar_url": p.AvatarURL.Set, "learning_goal": p.LearningGoal.Set,
		"daily_quota_minutes": p.DailyQuotaMinutes.Set, "extra": p.Extra.Replace,
	} {
		if isSet {
			names = append(names, name)
		}
	}
	for key := range p.Extra.Values {
		names = append(names, "extra."+key)
	}
	return names
}

func fullProfile() *profilev1.Profile {
	return &profilev1.Profile{
		DisplayName: "Ada", AvatarUrl: "https://example.com/a", UserId: "ignored", ProfileVersion: 99, PreferencesJson: "ignored",
		Preferences: &profilev1.Preferences{
			LearningGoal: "B2", DailyQuotaMinutes: wrapperspb.Int32(0),
			Extra: &structpb.Struct{Fields: map[string]*structpb.Value{"a": structpb.NewNumberValue(1), "b": structpb.NewBoolValue(true)}},
		},
	}
}

func TestS65_MaskSaysWhatChanges(t *testing.T) {
	t.Parallel()
	everything := []string{"display_name", "avatar_url", "learning_goal", "daily_quota_minutes", "extra", "extra.a", "extra.b"}
	for name, tc := range map[string]struct {
		mask []string
		want []string
	}{
		"no mask is every populated field": {nil, []string{"display_name", "avatar_url", "learning_goal", "daily_quota_minutes", "extra.a", "extra.b"}},
		"star":                             {[]string{"*"}, everything},
		"one":                              {[]string{"display_name"}, []string{"display_name"}},
		"one with its prefix":              {[]string{"profile.display_name"}, []string{"display_name"}},
		"both prefixes":                    {[]string{"profile.preferences.learning_goal"}, []string{"learning_goal"}},
		"inner prefix":                     {[]string{"preferences.daily_quota_minutes"}, []string{"daily_quota_minutes"}},
		"repeated":                         {[]string{"avatar_url", "profile.avatar_url", "avatar_url"}, []string{"avatar_url"}},
		"whole extra is replaced":          {[]string{"extra"}, []string{"extra", "extra.a", "extra.b"}},
		"one key":                          {[]string{"extra.a"}, []string{"extra.a"}},
		"one key that is not sent":         {[]string{"extra.gone"}, []string{"extra.gone"}},
		"key with a dot":                   {[]string{"extra.a.b"}, []string{"extra.a.b"}},
		"all preferences":                  {[]string{"preferences"}, []string{"learning_goal", "daily_quota_minutes", "extra", "extra.a", "extra.b"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, cmd, err := decoder(t).UpdateProfile(self, none, &profilev1.UpdateProfileRequest{Profile: fullProfile(), UpdateMask: mask(tc.mask...)})
			require.NoError(t, err)
			require.ElementsMatch(t, tc.want, set(cmd.Patch))
		})
	}
}

func TestS65_WrongMasks(t *testing.T) {
	t.Parallel()
	for name, paths := range map[string][]string{
		"unknown": {"nickname"}, "output only": {"profile_version"}, "user id": {"user_id"}, "timestamps": {"updated_at"}, "json": {"preferences_json"},
		"upper case": {"Display_Name"}, "camel case": {"displayName"}, "empty": {""}, "blank": {" display_name"}, "dot": {"."},
		"star and more": {"*", "display_name"}, "star below": {"preferences.x.*"}, "parent and child": {"extra", "extra.a"},
		"parent by prefix and child": {"preferences.extra", "extra.a"}, "all preferences and child": {"preferences", "extra.a"},
		"no key": {"extra."}, "the resource": {"profile"}, "prefixes swapped": {"preferences.profile.display_name"},
		"nested in a scalar": {"display_name.x"}, "one right, one wrong": {"display_name", "nope"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := decoder(t).UpdateProfile(self, none, &profilev1.UpdateProfileRequest{Profile: fullProfile(), UpdateMask: mask(paths...)})
			require.Equal(t, []string{"update_mask"}, fields(t, err))
		})
	}
}

func TestS65_PreferencesHaveNoProfileFields(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"display_name", "avatar_url", "profile.display_name"} {
		_, _, err := decoder(t).UpdatePreferences(self, none, &profilev1.UpdatePreferencesRequest{
			Preferences: fullProfile().GetPreferences(), UpdateMask: mask(path),
		})
		require.Equal(t, []string{"update_mask"}, fields(t, err), path)
	}
	_, cmd, err := decoder(t).UpdatePreferences(self, none, &profilev1.UpdatePreferencesRequest{
		Preferences: fullProfile().GetPreferences(), UpdateMask: mask("*"),
	})
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"learning_goal", "daily_quota_minutes", "extra", "extra.a", "extra.b"}, set(cmd.Patch))
	require.True(t, cmd.PreferencesOnly)
}

func TestS65_MaskedAndUnsetIsCleared(t *testing.T) {
	t.Parallel()
	_, cmd, err := decoder(t).UpdateProfile(self, none, &profilev1.UpdateProfileRequest{
		UpdateMask: mask("avatar_url", "learning_goal", "daily_quota_minutes", "extra.k"),
	})
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"avatar_url", "learning_goal", "daily_quota_minutes", "extra.k"}, set(cmd.Patch))
	require.Nil(t, cmd.Patch.AvatarURL.Value)
	require.Nil(t, cmd.Patch.LearningGoal.Value)
	require.Nil(t, cmd.Patch.DailyQuotaMinutes.Value)
	require.Nil(t, cmd.Patch.Extra.Values["k"])

	for _, paths := range [][]string{{"display_name"}, {"*"}} {
		_, _, err = decoder(t).UpdateProfile(self, none, &profilev1.UpdateProfileRequest{UpdateMask: mask(paths...)})
		require.Equal(t, []string{"profile.display_name"}, fields(t, err), "a name cannot be cleared")
	}
}

func TestS67_NothingToUpdateIsAnError(t *testing.T) {
	t.Parallel()
	for _, p := range []*profilev1.Profile{nil, {}, {Preferences: &profilev1.Preferences{Extra: &structpb.Struct{}}}, {UserId: me.String(), ProfileVersion: 1}} {
		_, _, err := decoder(t).UpdateProfile(self, none, &profilev1.UpdateProfileRequest{Profile: p})
		require.Equal(t, []string{"update_mask"}, fields(t, err))
	}
	_, _, err := decoder(t).UpdatePreferences(self, none, &profilev1.UpdatePreferencesRequest{})
	require.Equal(t, []string{"update_mask"}, fields(t, err))
}

func TestS66_KeysNamedByTheMaskObeyTheRules(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"extra.1k", "extra.a b", "extra.clé", "extra.learning_goal", "extra..", "extra.extra"} {
		_, _, err := decoder(t).UpdatePreferences(self, none, &profilev1.UpdatePreferencesRequest{UpdateMask: mask(path)})
		require.NotEmpty(t, fields(t, err), path)
	}
}

func TestS62_VersionAndIfMatchMustAgree(t *testing.T) {
	t.Parallel()
	req := &profilev1.UpdateProfileRequest{Profile: &profilev1.Profile{DisplayName: "Ada"}, ExpectedProfileVersion: wrapperspb.Int64(3)}
	for header, want := range map[string][]string{
		"":                 nil,
		models.ETag(me, 3): nil,
		"*":                nil,
		models.ETag(me, 4): {"expected_profile_version"},
		`"something else"`: {"expected_profile_version"},
	} {
		_, cmd, err := decoder(t).UpdateProfile(self, dto.Headers{IfMatch: header}, req)
		require.Equal(t, want, fields(t, err), header)
		require.Equal(t, header, cmd.IfMatch)
	}
}

func TestS85_FieldAndHeaderAreTheSameKey(t *testing.T) {
	t.Parallel()
	with := func(field, header string) (models.Call, error) {
		call, _, err := decoder(t).MutateFavorite(self, dto.Headers{IdempotencyKey: header}, favorite(func(r *profilev1.MutateFavoriteRequest) {
			r.IdempotencyKey = field
		}))
		return call, err
	}
	for _, pair := range [][2]string{{"k", ""}, {"", "k"}, {"k", "k"}} {
		call, err := with(pair[0], pair[1])
		require.NoError(t, err)
		require.Equal(t, "k", call.IdempotencyKey)
	}
	call, err := with("", "")
	require.NoError(t, err)
	require.Empty(t, call.IdempotencyKey)
	_, err = with("k", "other")
	require.Equal(t, []string{"idempotency_key"}, fields(t, err))
}

func TestS85_FingerprintIsOfWhatWasAsked(t *testing.T) {
	t.Parallel()
	of := func(h dto.Headers, change func(*profilev1.MutateFavoriteRequest)) [32]byte {
		h.IdempotencyKey = "k"
		call, _, err := decoder(t).MutateFavorite(self, h, favorite(change))
		require.NoError(t, err)
		return call.Fingerprint
	}
	plain := of(none, nil)
	require.Equal(t, plain, of(none, func(r *profilev1.MutateFavoriteRequest) { r.IdempotencyKey = "k" }))
	require.Equal(t, plain, of(none, func(r *profilev1.MutateFavoriteRequest) { r.UserId = me.String() }), "self, named or not")
	require.Equal(t, plain, of(dto.Headers{ClientTime: "2030-01-02T03:04:05Z"}, nil), "the client's clock is not asked for")
	require.NotEqual(t, plain, of(none, func(r *profilev1.MutateFavoriteRequest) {
		r.Action = profilev1.FavoriteAction_FAVORITE_ACTION_REMOVE
	}))
	call, _, err := decoder(t).MutateFavorite(self, none, favorite(nil))
	require.NoError(t, err)
	require.Zero(t, call.Fingerprint, "no key, no fingerprint")
}

// The sample of RFC 8785, 3.2.2 to 3.2.4, and its appendix B for numbers.
func TestPreferencesJSONIsCanonical(t *testing.T) {
	t.Parallel()
	canonical := func(user vo.User) string {
		p, err := dto.Profile(user)
		require.NoError(t, err)
		return p.GetPreferencesJson()
	}
	holding := func(extra map[string]any) vo.User {
		user := vo.User{UserID: me, Version: 3}
		user.Extra = extra
		return user
	}
	for text, document := range map[string]string{
		`{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`: `{
			"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
			"string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}`,
		"{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u0080\":\"Control\",\"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\",\"😀\":\"Emoji: Grinning Face\",\"\ufb33\":\"Hebrew Letter Dalet With Dagesh\"}": `{
			"\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh", "1": "One",
			"\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control", "\u00f6": "Latin Small Letter O With Diaeresis"}`,
		"{\"k\":\"<a href='&'>\u2028\u2029\u007f\"}": `{"k": "\u003ca href='&'\u003e\u2028\u2029\u007f"}`,
		`{"k":"\b\t\n\f\r\u0001\u001f"}`:             `{"k": "\u0008\u0009\u000a\u000c\u000d\u0001\u001F"}`,
		"{\"a\":\"A\u030a\",\"b\":{}}":               `{"b": {}, "a": "A\u030a"}`,
		"{\"😀\":2,\"\ufb33\":1}":                     `{"\ufb33": 1, "\ud83d\ude00": 2}`,
	} {
		var extra map[string]any
		require.NoError(t, json.Unmarshal([]byte(document), &extra))
		require.Equal(t, text, canonical(holding(extra)))
	}
	for bits, text := range map[uint64]string{
		0x0000000000000000: "0", 0x8000000000000000: "0", 0x0000000000000001: "5e-324", 0x8000000000000001: "-5e-324",
		0x7fefffffffffffff: "1.7976931348623157e+308", 0xffefffffffffffff: "-1.7976931348623157e+308",
		0x4340000000000000: "9007199254740992", 0xc340000000000000: "-9007199254740992", 0x4430000000000000: "295147905179352830000",
		0x44b52d02c7e14af5: "9.999999999999997e+22", 0x44b52d02c7e14af6: "1e+23", 0x44b52d02c7e14af7: "1.0000000000000001e+23",
		0x444b1ae4d6e2ef4e: "999999999999999700000", 0x444b1ae4d6e2ef4f: "999999999999999900000", 0x444b1ae4d6e2ef50: "1e+21",
		0x3eb0c6f7a0b5ed8c: "9.999999999999997e-7", 0x3eb0c6f7a0b5ed8d: "0.000001", 0x41b3de4355555553: "333333333.3333332",
		0x41b3de4355555554: "333333333.33333325", 0x41b3de4355555555: "333333333.3333333", 0x41b3de4355555556: "333333333.3333334",
		0x41b3de4355555557: "333333333.33333343", 0xbecbf647612f3696: "-0.0000033333333333333333", 0x43143ff3c1cb0959: "1424953923781206.2",
	} {
		require.Equal(t, `{"n":`+text+`}`, canonical(holding(map[string]any{"n": math.Float64frombits(bits)})))
	}

	document := rapid.MapOf(rapid.String(), rapid.OneOf(rapid.String().AsAny(), rapid.Float64().AsAny(), rapid.Bool().AsAny(), rapid.Just[any](nil)))
	rapid.Check(t, func(t *rapid.T) {
		extra := document.Draw(t, "extra")
		text, err := json.Marshal(extra)
		require.NoError(t, err)
		want, err := jcs.Transform(text)
		require.NoError(t, err)
		require.Equal(t, string(want), canonical(holding(extra)))
	})

	goal, quota := "B2", int32(0)
	user := holding(map[string]any{"z": 1.5, "a": []any{nil}, "Z": "A"})
	user.LearningGoal, user.DailyQuotaMinutes = &goal, &quota
	want := `{"Z":"A","a":[null],"daily_quota_minutes":0,"learning_goal":"B2","z":1.5}`
	require.Equal(t, want, canonical(user))
	require.NotContains(t, user.Extra, "learning_goal", "the user is not touched")
	p, err := dto.Profile(user)
	require.NoError(t, err)
	require.Equal(t, int32(0), p.GetPreferences().GetDailyQuotaMinutes().GetValue())
	empty, err := dto.Profile(vo.User{UserID: me})
	require.NoError(t, err)
	require.Equal(t, "{}", empty.GetPreferencesJson())
	require.Nil(t, empty.GetPreferences().GetDailyQuotaMinutes())
}
