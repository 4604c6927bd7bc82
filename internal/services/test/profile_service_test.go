package test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/wrapperspb"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/test/testkit"
)

func TestS60_VersionCountsStoredChanges(t *testing.T) {
	t.Parallel()
	l := newLearner(testkit.New(t))
	steps := []struct {
		name  string
		write func() int64
		want  int64
	}{
		{"FirstWrite", func() int64 { return l.mustUpdate(t, renaming("Ada")).GetProfileVersion() }, 1},
		{"SameName", func() int64 { return l.mustUpdate(t, renaming("Ada")).GetProfileVersion() }, 1},
		{"SameNameAfterTrim", func() int64 { return l.mustUpdate(t, renaming("  Ada ")).GetProfileVersion() }, 1},
		{"OtherName", func() int64 { return l.mustUpdate(t, renaming("Grace")).GetProfileVersion() }, 2},
		{"Preference", func() int64 { return l.mustPrefer(t, aiming("B2")).GetProfile().GetProfileVersion() }, 3},
		{"SamePreference", func() int64 { return l.mustPrefer(t, aiming("B2")).GetProfile().GetProfileVersion() }, 3},
	}
	for _, step := range steps {
		require.Equal(t, step.want, step.write(), step.name)
		require.Equal(t, step.want, l.profile(t).GetProfileVersion(), step.name)
	}
}

func TestS60_ReadsInventNothing(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	l := newLearner(s)
	before := s.DB.RowCounts(t)
	for name, read := range map[string]func() error{
		"Self": func() error {
			_, err := l.GetProfile(t.Context(), &profilev1.GetProfileRequest{})
			return err
		},
		"Service": func() error {
			_, err := s.AsService("reader").GetProfile(t.Context(), &profilev1.GetProfileRequest{UserId: l.id.String()})
			return err
		},
		"Conditional": func() error {
			_, err := l.GetProfile(with(t.Context(), "x-md-if-none-match", "*"), &profilev1.GetProfileRequest{})
			return err
		},
	} {
		testkit.RequireError(t, read(), codes.NotFound, models.ReasonProfileNotFound)
		require.Equal(t, before, s.DB.RowCounts(t), name)
	}
}

func TestS61_FirstWriteProvisions(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	update := func(c profilev1.ProfileServiceClient, req *profilev1.UpdateProfileRequest, user string) (*profilev1.Profile, error) {
		req.UserId = user
		resp, err := c.UpdateProfile(t.Context(), req)
		return resp.GetProfile(), err
	}
	prefer := func(c profilev1.ProfileServiceClient, user string) (*profilev1.Profile, error) {
		resp, err := c.UpdatePreferences(t.Context(), &profilev1.UpdatePreferencesRequest{UserId: user, Preferences: &profilev1.Preferences{LearningGoal: "B2"}})
		return resp.GetProfile(), err
	}
	onlyPreferences := func() *profilev1.UpdateProfileRequest {
		return &profilev1.UpdateProfileRequest{Profile: &profilev1.Profile{Preferences: &profilev1.Preferences{LearningGoal: "B2"}}}
	}
	for name, c := range map[string]struct {
		write func(l learner) (*profilev1.Profile, error)
		name  string
	}{
		"UserNames": {func(l learner) (*profilev1.Profile, error) { return update(l, renaming("Ada"), "") }, "Ada"},
		"ServiceNames": {func(l learner) (*profilev1.Profile, error) {
			return update(s.AsService("writer"), renaming("Ada"), l.id.String())
		}, "Ada"},
		"UserOnlyPreferences":    {func(l learner) (*profilev1.Profile, error) { return update(l, onlyPreferences(), "") }, ""},
		"UserUpdatesPreferences": {func(l learner) (*profilev1.Profile, error) { return prefer(l, "") }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLearner(s)
			created, err := c.write(l)
			require.NoError(t, err)
			require.Equal(t, int64(1), created.GetProfileVersion())
			require.Equal(t, c.name, created.GetDisplayName())
			require.Equal(t, l.id.String(), created.GetUserId())
		})
	}
	for name, c := range map[string]struct {
		write  func(l learner) error
		code   codes.Code
		reason models.Reason
		fields []string
	}{
		"ServiceUpdatesPreferences": {func(l learner) error {
			_, err := prefer(s.AsService("writer"), l.id.String())
			return err
		}, codes.NotFound, models.ReasonProfileNotFound, nil},
		"WithoutName": {func(l learner) error {
			_, err := update(l, &profilev1.UpdateProfileRequest{Profile: &profilev1.Profile{AvatarUrl: "https://a.example/a.png"}}, "")
			return err
		}, codes.InvalidArgument, models.ReasonInvalidArgument, []string{"profile.display_name"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLearner(s)
			details := testkit.RequireError(t, c.write(l), c.code, c.reason)
			require.Equal(t, c.fields, details.Fields())
			require.Zero(t, testkit.One[int64](t, s.DB, "SELECT count(*) FROM profile.users WHERE user_id = $1", l.id.String()))
		})
	}
}

func TestS61_ANewProfileWasUpdatedWhenItWasCreated(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	for range 20 {
		named, preferring := newLearner(s), newLearner(s)
		for _, p := range []*profilev1.Profile{named.mustUpdate(t, renaming("Ada")), preferring.mustPrefer(t, aiming("B2")).GetProfile(), named.profile(t)} {
			require.Equal(t, p.GetCreatedAt().AsTime(), p.GetUpdatedAt().AsTime())
		}
	}
	l := named(t, s)
	changed := l.mustUpdate(t, renaming("Grace"))
	require.Greater(t, changed.GetUpdatedAt().AsTime(), changed.GetCreatedAt().AsTime())
}

func TestS61_ParallelFirstWritesGiveOneRow(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	const users = 4
	release := holdEverybody(t, s)
	learners := make([]learner, users)
	versions := make([][]int64, users)
	for u := range users {
		learners[u], versions[u] = newLearner(s), make([]int64, 2)
	}
	done := testkit.Later(func() error {
		for _, err := range testkit.Together(users*2, func(i int) error {
			l, seen := learners[i/2], &versions[i/2][i%2]
			if i%2 == 0 {
				resp, err := l.UpdateProfile(t.Context(), renaming("Ada"))
				*seen = resp.GetProfile().GetProfileVersion()
				return err
			}
			resp, err := l.UpdatePreferences(t.Context(), aiming("B2"))
			*seen = resp.GetProfile().GetProfileVersion()
			return err
		}) {
			if err != nil {
				return err
			}
		}
		return nil
	})
	awaitBlocked(t, s, users*2)
	release()
	require.NoError(t, <-done)
	for u, l := range learners {
		slices.Sort(versions[u])
		require.Equal(t, []int64{1, 2}, versions[u])
		stored := l.profile(t)
		require.Equal(t, "Ada", stored.GetDisplayName())
		require.Equal(t, "B2", stored.GetPreferences().GetLearningGoal())
	}
	require.Equal(t, int64(users), testkit.One[int64](t, s.DB, "SELECT count(*) FROM profile.users"))
}

func TestS61_OtherWritesNeedNoProfile(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	l, video := newLearner(s), testkit.NewVideo()
	l.mustMutate(t, adding(video))
	l.mustReport(t, watching(video, 0.5))
	require.Zero(t, testkit.One[int64](t, s.DB, "SELECT count(*) FROM profile.users"))
	_, err := l.GetProfile(t.Context(), &profilev1.GetProfileRequest{})
	testkit.RequireError(t, err, codes.NotFound, models.ReasonProfileNotFound)
}

// etagOf reads the current entity tag of a profile.
func etagOf(t *testing.T, l learner) string {
	t.Helper()
	md, option := header()
	_, err := l.GetProfile(t.Context(), &profilev1.GetProfileRequest{}, option)
	require.NoError(t, err)
	require.Len(t, md.Get("etag"), 1)
	return md.Get("etag")[0]
}

func TestS64_ETagFollowsTheVersion(t *testing.T) {
	t.Parallel()
	l := named(t, testkit.New(t))
	first := etagOf(t, l)
	require.Regexp(t, `^"[0-9a-f]{16}-1"$`, first)
	require.NotContains(t, first, l.id.String())
	md, option := header()
	_, err := l.UpdatePreferences(t.Context(), aiming("B2"), option)
	require.NoError(t, err)
	require.Equal(t, []string{etagOf(t, l)}, md.Get("etag"))
	require.Regexp(t, `-2"$`, etagOf(t, l))
	require.NotEqual(t, first, etagOf(t, named(t, l.Service)), "another user's tag at the same version")
}

func TestS64_IfNoneMatch(t *testing.T) {
	t.Parallel()
	l := named(t, testkit.New(t))
	old := etagOf(t, l)
	l.mustPrefer(t, aiming("B2"))
	current := etagOf(t, l)
	foreign := named(t, l.Service)
	foreign.mustPrefer(t, aiming("B2"))
	for name, c := range map[string]struct {
		tag         string
		notModified bool
	}{
		"Current":     {current, true},
		"Weak":        {"W/" + current, true},
		"InAList":     {old + ", " + current, true},
		"Any":         {"*", true},
		"Old":         {old, false},
		"OfSomebody":  {etagOf(t, foreign), false},
		"Unquoted":    {current[1 : len(current)-1], false},
		"Nonsense":    {"nonsense", false},
		"OnlyVersion": {`"2"`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			md, option := header()
			resp, err := l.GetProfile(with(t.Context(), "x-md-if-none-match", c.tag), &profilev1.GetProfileRequest{}, option)
			require.NoError(t, err)
			require.Equal(t, c.notModified, resp.GetNotModified())
			require.Equal(t, c.notModified, resp.GetProfile() == nil)
			require.Equal(t, []string{current}, md.Get("etag"))
		})
	}
}

// state is a profile's content in the notation of the mask table: name, avatar, goal, quota, extra.
func state(p *profilev1.Profile) string {
	quota := "-"
	if q := p.GetPreferences().GetDailyQuotaMinutes(); q != nil {
		quota = fmt.Sprint(q.GetValue())
	}
	return fmt.Sprint(p.GetDisplayName(), "|", p.GetAvatarUrl(), "|", p.GetPreferences().GetLearningGoal(), "|", quota, "|", p.GetPreferences().GetExtra().AsMap())
}

const (
	oldAvatar = "https://a.example/old.png"
	newAvatar = "https://a.example/new.png"
	unchanged = "Old|" + oldAvatar + "|A1|10|map[x:1 y:2]"
	refused   = ""
)

// full is a profile whose every field is set.
func full(t testing.TB, s *testkit.Service) learner {
	t.Helper()
	l := newLearner(s)
	l.mustUpdate(t, &profilev1.UpdateProfileRequest{Profile: &profilev1.Profile{
		DisplayName: "Old", AvatarUrl: oldAvatar, Preferences: preferencesOf(t, "A1", wrapperspb.Int32(10), map[string]any{"x": 1, "y": 2}),
	}})
	return l
}

func preferencesOf(t testing.TB, goal string, quota *wrapperspb.Int32Value, extra map[string]any) *profilev1.Preferences {
	t.Helper()
	return &profilev1.Preferences{LearningGoal: goal, DailyQuotaMinutes: quota, Extra: object(t, extra)}
}

// TestS65_UpdateProfileMasks sends new values of every field with each mask; only what the mask names moves.
func TestS65_UpdateProfileMasks(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	sent := func() *profilev1.Profile {
		return &profilev1.Profile{DisplayName: "New", AvatarUrl: newAvatar, Preferences: preferencesOf(t, "B2", wrapperspb.Int32(20), map[string]any{"x": 9, "z": 3})}
	}
	empty := func() *profilev1.Profile { return &profilev1.Profile{} }
	onlyName := func() *profilev1.Profile { return &profilev1.Profile{DisplayName: "New"} }
	zeroQuota := func() *profilev1.Profile {
		return &profilev1.Profile{Preferences: &profilev1.Preferences{DailyQuotaMinutes: wrapperspb.Int32(0)}}
	}
	const (
		renamed     = "New|" + oldAvatar + "|A1|10|map[x:1 y:2]"
		pictured    = "Old|" + newAvatar + "|A1|10|map[x:1 y:2]"
		aimed       = "Old|" + oldAvatar + "|B2|10|map[x:1 y:2]"
		quoted      = "Old|" + oldAvatar + "|A1|20|map[x:1 y:2]"
		replaced    = "Old|" + oldAvatar + "|A1|10|map[x:9 z:3]"
		preferenced = "Old|" + oldAvatar + "|B2|20|map[x:9 z:3]"
		all         = "New|" + newAvatar + "|B2|20|map[x:9 z:3]"
	)
	for _, c := range []struct {
		name string
		sent func() *profilev1.Profile
		mask []string
		want string // refused: INVALID_ARGUMENT and nothing changes
	}{
		{"Name", sent, []string{"display_name"}, renamed},
		{"Avatar", sent, []string{"avatar_url"}, pictured},
		{"Goal", sent, []string{"learning_goal"}, aimed},
		{"Quota", sent, []string{"daily_quota_minutes"}, quoted},
		{"Extra", sent, []string{"extra"}, replaced},
		{"TwoFields", sent, []string{"display_name", "learning_goal"}, "New|" + oldAvatar + "|B2|10|map[x:1 y:2]"},
		{"AllNamed", sent, []string{"display_name", "avatar_url", "learning_goal", "daily_quota_minutes", "extra"}, all},
		{"AllNamedInOtherOrder", sent, []string{"extra", "daily_quota_minutes", "learning_goal", "avatar_url", "display_name"}, all},
		{"Star", sent, []string{"*"}, all},
		{"Repeated", sent, []string{"display_name", "display_name"}, renamed},
		{"RepeatedWithPrefix", sent, []string{"display_name", "profile.display_name"}, renamed},
		{"PrefixedName", sent, []string{"profile.display_name"}, renamed},
		{"PrefixedAvatar", sent, []string{"profile.avatar_url"}, pictured},
		{"PrefixedGoal", sent, []string{"preferences.learning_goal"}, aimed},
		{"PrefixedQuota", sent, []string{"preferences.daily_quota_minutes"}, quoted},
		{"PrefixedExtra", sent, []string{"preferences.extra"}, replaced},
		{"TwicePrefixedGoal", sent, []string{"profile.preferences.learning_goal"}, aimed},
		{"TwicePrefixedExtra", sent, []string{"profile.preferences.extra"}, replaced},
		{"ParentPreferences", sent, []string{"preferences"}, preferenced},
		{"PrefixedParentPreferences", sent, []string{"profile.preferences"}, preferenced},
		{"ExtraKeySet", sent, []string{"extra.z"}, "Old|" + oldAvatar + "|A1|10|map[x:1 y:2 z:3]"},
		{"ExtraKeyOverwritten", sent, []string{"extra.x"}, "Old|" + oldAvatar + "|A1|10|map[x:9 y:2]"},
		{"ExtraKeyDeleted", sent, []string{"extra.y"}, "Old|" + oldAvatar + "|A1|10|map[x:1]"},
		{"ExtraKeysMixed", sent, []string{"extra.x", "extra.y", "extra.z"}, replaced},
		{"PrefixedExtraKey", sent, []string{"preferences.extra.z"}, "Old|" + oldAvatar + "|A1|10|map[x:1 y:2 z:3]"},
		{"ExtraKeyUnknown", sent, []string{"extra.nothing"}, unchanged},
		{"DottedExtraKey", sent, []string{"extra.x.y"}, unchanged},
		{"NoMask", sent, nil, "New|" + newAvatar + "|B2|20|map[x:9 y:2 z:3]"},
		{"NoMaskOnlyName", onlyName, nil, renamed},
		{"NoMaskZeroQuota", zeroQuota, nil, "Old|" + oldAvatar + "|A1|0|map[x:1 y:2]"},
		{"ClearAvatar", empty, []string{"avatar_url"}, "Old||A1|10|map[x:1 y:2]"},
		{"ClearGoal", empty, []string{"learning_goal"}, "Old|" + oldAvatar + "||10|map[x:1 y:2]"},
		{"ClearQuota", empty, []string{"daily_quota_minutes"}, "Old|" + oldAvatar + "|A1|-|map[x:1 y:2]"},
		{"ClearExtra", empty, []string{"extra"}, "Old|" + oldAvatar + "|A1|10|map[]"},
		{"ClearPreferences", empty, []string{"preferences"}, "Old|" + oldAvatar + "||-|map[]"},
		{"ClearSeveral", empty, []string{"avatar_url", "learning_goal", "extra.x"}, "Old|||10|map[y:2]"},
		{"StarClearsWhatIsUnset", onlyName, []string{"*"}, "New|||-|map[]"},
		{"ClearName", empty, []string{"display_name"}, refused},
		{"ClearNameAmongOthers", empty, []string{"avatar_url", "display_name"}, refused},
		{"StarWithoutName", zeroQuota, []string{"*"}, refused},
		{"StarAndMore", sent, []string{"*", "display_name"}, refused},
		{"PrefixedStar", sent, []string{"preferences.*"}, refused},
		{"ExtraStar", sent, []string{"extra.*"}, refused},
		{"Unknown", sent, []string{"nickname"}, refused},
		{"UnknownAmongKnown", sent, []string{"display_name", "nickname"}, refused},
		{"OutputOnlyID", sent, []string{"user_id"}, refused},
		{"OutputOnlyVersion", sent, []string{"profile_version"}, refused},
		{"OutputOnlyTime", sent, []string{"updated_at"}, refused},
		{"OutputOnlyJSON", sent, []string{"preferences_json"}, refused},
		{"Empty", sent, []string{""}, refused},
		{"Blank", sent, []string{" display_name"}, refused},
		{"UpperCase", sent, []string{"DISPLAY_NAME"}, refused},
		{"CamelCase", sent, []string{"displayName"}, refused},
		{"Nested", sent, []string{"display_name.first"}, refused},
		{"NestedGoal", sent, []string{"learning_goal.text"}, refused},
		{"TrailingDot", sent, []string{"display_name."}, refused},
		{"LeadingDot", sent, []string{".display_name"}, refused},
		{"OnlyPrefix", sent, []string{"profile."}, refused},
		{"Profile", sent, []string{"profile"}, refused},
		{"WrongPrefixOrder", sent, []string{"preferences.profile.learning_goal"}, refused},
		{"ExtraWithoutKey", sent, []string{"extra."}, refused},
		{"ExtraBadKey", sent, []string{"extra.9"}, refused},
		{"ExtraTypedKey", sent, []string{"extra.learning_goal"}, refused},
		{"ExtraAndItsKey", sent, []string{"extra", "extra.x"}, refused},
		{"KeyAndItsExtra", sent, []string{"preferences.extra.x", "extra"}, refused},
		{"PreferencesAndGoal", sent, []string{"preferences", "preferences.learning_goal"}, refused},
		{"PreferencesAndExtraKey", sent, []string{"preferences", "extra.x"}, refused},
		{"NoMaskNothing", empty, nil, refused},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := full(t, s)
			requireMasked(t, l, c.want, func(ctx context.Context) error {
				_, err := l.UpdateProfile(ctx, &profilev1.UpdateProfileRequest{Profile: c.sent(), UpdateMask: maskOf(c.mask...)})
				return err
			})
		})
	}
}

// requireMasked checks what a masked write does to a full profile.
func requireMasked(t *testing.T, l learner, want string, write func(ctx context.Context) error) {
	t.Helper()
	require.Equal(t, unchanged, state(l.profile(t)))
	err := write(t.Context())
	if want == refused {
		require.NotEmpty(t, testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonInvalidArgument).Fields())
		require.Equal(t, unchanged, state(l.profile(t)))
		require.Equal(t, int64(1), l.profile(t).GetProfileVersion())
		return
	}
	require.NoError(t, err)
	require.Equal(t, want, state(l.profile(t)))
}

// TestS65_UpdatePreferencesMasks: the same, relative to preferences; the profile itself is out of reach.
func TestS65_UpdatePreferencesMasks(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	const rest = "Old|" + oldAvatar + "|"
	for _, c := range []struct {
		name string
		mask []string
		want string
	}{
		{"Goal", []string{"learning_goal"}, rest + "B2|10|map[x:1 y:2]"},
		{"PrefixedGoal", []string{"preferences.learning_goal"}, rest + "B2|10|map[x:1 y:2]"},
		{"TwicePrefixedGoal", []string{"profile.preferences.learning_goal"}, rest + "B2|10|map[x:1 y:2]"},
		{"ClearQuota", []string{"daily_quota_minutes"}, rest + "A1|-|map[x:1 y:2]"},
		{"Extra", []string{"preferences.extra"}, rest + "A1|10|map[x:9 z:3]"},
		{"ExtraKey", []string{"extra.z"}, rest + "A1|10|map[x:1 y:2 z:3]"},
		{"Star", []string{"*"}, rest + "B2|-|map[x:9 z:3]"},
		{"Preferences", []string{"preferences"}, rest + "B2|-|map[x:9 z:3]"},
		{"NoMask", nil, rest + "B2|10|map[x:9 y:2 z:3]"},
		{"Name", []string{"display_name"}, refused},
		{"PrefixedName", []string{"profile.display_name"}, refused},
		{"Avatar", []string{"avatar_url"}, refused},
		{"Unknown", []string{"goal"}, refused},
		{"UpperCase", []string{"Learning_goal"}, refused},
		{"ExtraAndItsKey", []string{"extra.x", "preferences.extra"}, refused},
		{"StarAndMore", []string{"learning_goal", "*"}, refused},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := full(t, s)
			requireMasked(t, l, c.want, func(ctx context.Context) error {
				_, err := l.UpdatePreferences(ctx, &profilev1.UpdatePreferencesRequest{
					Preferences: preferencesOf(t, "B2", nil, map[string]any{"x": 9, "z": 3}), UpdateMask: maskOf(c.mask...),
				})
				return err
			})
		})
	}
}

func TestP16_DocumentedMasksWork(t *testing.T) {
	t.Parallel()
	l := full(t, testkit.New(t))
	t.Run("NameWithoutPrefix", func(t *testing.T) {
		got := l.mustUpdate(t, &profilev1.UpdateProfileRequest{Profile: &profilev1.Profile{DisplayName: "New"}, UpdateMask: maskOf("display_name")})
		require.Equal(t, "New", got.GetDisplayName())
	})
	t.Run("PreferenceCleared", func(t *testing.T) {
		got := l.mustPrefer(t, &profilev1.UpdatePreferencesRequest{UpdateMask: maskOf("learning_goal")})
		require.Empty(t, got.GetProfile().GetPreferences().GetLearningGoal())
		require.Equal(t, int64(1), testkit.One[int64](t, l.DB, "SELECT count(*) FROM profile.users WHERE learning_goal IS NULL"))
	})
	t.Run("TypedKeysOutOfReachOfExtra", func(t *testing.T) {
		_, err := l.UpdatePreferences(t.Context(), keeping(t, map[string]any{"daily_quota_minutes": 99}))
		details := testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonInvalidArgument)
		require.Equal(t, []string{"preferences.extra.daily_quota_minutes"}, details.Fields())
		require.Equal(t, int32(10), l.profile(t).GetPreferences().GetDailyQuotaMinutes().GetValue())
	})
}
