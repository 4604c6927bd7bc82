package dto_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/controllers/dto"
	"github.com/lingo-services/profile/internal/models"
)

// fingerprint of a request as the caller me sends it, with an idempotency key and header.
func fingerprint(t *testing.T, header dto.Headers, req proto.Message) [32]byte {
	t.Helper()
	header.IdempotencyKey = "k"
	var call models.Call
	var err error
	switch r := req.(type) {
	case *profilev1.UpdateProfileRequest:
		call, _, err = decoder(t).UpdateProfile(self, header, r)
	case *profilev1.UpdatePreferencesRequest:
		call, _, err = decoder(t).UpdatePreferences(self, header, r)
	case *profilev1.MutateFavoriteRequest:
		call, _, err = decoder(t).MutateFavorite(self, header, r)
	case *profilev1.UpsertWatchProgressRequest:
		call, _, err = decoder(t).UpsertWatchProgress(self, header, r)
	case *profilev1.PurgeUserDataRequest:
		call, err = decoder(t).PurgeUserData(self, header, r)
	default:
		require.FailNow(t, "no such request")
	}
	require.NoError(t, err)
	require.NotZero(t, call.Fingerprint)
	return call.Fingerprint
}

func updating(paths ...string) *profilev1.UpdateProfileRequest {
	return &profilev1.UpdateProfileRequest{Profile: fullProfile(), UpdateMask: mask(paths...)}
}

func changed[M proto.Message](req M, change func(M)) M {
	change(req)
	return req
}

func merging(extra map[string]*structpb.Value) *profilev1.UpdatePreferencesRequest {
	return &profilev1.UpdatePreferencesRequest{Preferences: &profilev1.Preferences{LearningGoal: "B2", Extra: &structpb.Struct{Fields: extra}}}
}

var (
	then  = timestamppb.New(time.Date(2025, 1, 2, 3, 4, 5, 678_901_000, time.UTC))
	later = timestamppb.New(then.AsTime().Add(time.Microsecond))
)

func TestS85_AnotherSpellingIsTheSameRequest(t *testing.T) {
	t.Parallel()
	upper := strings.ToUpper(videoID)
	for name, spellings := range map[string][]proto.Message{
		"favourite": {
			favorite(nil),
			favorite(func(r *profilev1.MutateFavoriteRequest) { r.VideoId = upper }),
			favorite(func(r *profilev1.MutateFavoriteRequest) { r.UserId = strings.ToUpper(me.String()) }),
			favorite(func(r *profilev1.MutateFavoriteRequest) { // S96: of a client that knows more fields
				r.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 7777, protowire.VarintType), 1))
			}),
		},
		"dated favourite": {
			favorite(func(r *profilev1.MutateFavoriteRequest) { r.OccurredAt = then }),
			favorite(func(r *profilev1.MutateFavoriteRequest) {
				r.OccurredAt = &timestamppb.Timestamp{Seconds: then.GetSeconds(), Nanos: then.GetNanos() + 999}
			}),
		},
		"progress": {
			progress(func(r *profilev1.UpsertWatchProgressRequest) { r.OccurredAt = then }),
			progress(func(r *profilev1.UpsertWatchProgressRequest) { r.Progress.LastWatchedAt = then }),
			progress(func(r *profilev1.UpsertWatchProgressRequest) {
				r.OccurredAt, r.Progress.LastWatchedAt, r.Progress.ExpiresAt, r.VideoId = then, later, later, upper
			}),
		},
		"some of a profile": {
			updating("display_name", "extra.a", "learning_goal"),
			updating("learning_goal", "display_name", "extra.a"),
			updating("profile.display_name", "profile.preferences.extra.a", "preferences.learning_goal"),
			updating("display_name", "extra.a", "learning_goal", "profile.display_name"),
			changed(updating("display_name", "extra.a", "learning_goal"), func(r *profilev1.UpdateProfileRequest) {
				r.UserId, r.Profile.DisplayName, r.Profile.AvatarUrl, r.Profile.ProfileVersion = me.String(), " Ada\n", "https://example.com/other", 7
			}),
		},
		"a name": {
			changed(updating("display_name"), func(r *profilev1.UpdateProfileRequest) { r.Profile.DisplayName = "\u00e9" }),
			changed(updating("display_name"), func(r *profilev1.UpdateProfileRequest) { r.Profile.DisplayName = "e\u0301" }),
		},
		"all of a profile": {
			updating("*"),
			updating("extra", "daily_quota_minutes", "avatar_url", "display_name", "learning_goal"),
			updating("preferences", "display_name", "avatar_url"),
		},
		"merge": {
			merging(map[string]*structpb.Value{"a": structpb.NewNumberValue(0), "b": {}}),
			merging(map[string]*structpb.Value{"b": structpb.NewNullValue(), "a": structpb.NewNumberValue(math.Copysign(0, -1))}),
			changed(merging(map[string]*structpb.Value{"a": structpb.NewNumberValue(0), "b": {}}), func(r *profilev1.UpdatePreferencesRequest) {
				r.UserId, r.UpdateMask = me.String(), mask()
			}),
		},
		"a goal": {
			merging(nil),
			&profilev1.UpdatePreferencesRequest{Preferences: &profilev1.Preferences{LearningGoal: "B2"}},
			changed(merging(nil), func(r *profilev1.UpdatePreferencesRequest) { r.UpdateMask = mask("learning_goal") }),
		},
		"a goal alone that empties extra": {
			changed(merging(nil), func(r *profilev1.UpdatePreferencesRequest) { r.UpdateMask = mask("learning_goal", "extra") }),
			changed(merging(nil), func(r *profilev1.UpdatePreferencesRequest) {
				r.UpdateMask, r.Preferences.Extra = mask("extra", "preferences.learning_goal"), nil
			}),
		},
		"purge": {
			&profilev1.PurgeUserDataRequest{UserId: me.String(), Reason: "asked"},
			&profilev1.PurgeUserDataRequest{UserId: strings.ToUpper(me.String()), Reason: "asked"},
		},
	} {
		first := fingerprint(t, none, spellings[0])
		for i, again := range spellings[1:] {
			require.Equal(t, first, fingerprint(t, none, again), "%s, spelling %d", name, i+1)
		}
	}
}

func TestS85_ConditionsAreAListInAnyOrder(t *testing.T) {
	t.Parallel()
	under := func(condition string) [32]byte {
		return fingerprint(t, dto.Headers{IfMatch: condition}, updating("display_name"))
	}
	first := under(`"a-1", "b-2"`)
	for _, again := range []string{`"b-2","a-1"`, `W/"a-1" , "b-2"`, `"a-1", "b-2", "a-1"`, `, "a-1","b-2"`} {
		require.Equal(t, first, under(again), again)
	}
	for _, other := range []string{"", "*", `"a-1"`, `"b-2"`, `"a-1", "b-3"`, `"A-1", "b-2"`} {
		require.NotEqual(t, first, under(other), other)
	}
}

func TestS85_AnotherRequestIsNoSpelling(t *testing.T) {
	t.Parallel()
	const greatest = math.MaxInt64
	kinds := [][]proto.Message{
		{
			favorite(nil),
			favorite(func(r *profilev1.MutateFavoriteRequest) {
				r.FavoriteType = profilev1.FavoriteType_FAVORITE_TYPE_BOOKMARK
			}),
			favorite(func(r *profilev1.MutateFavoriteRequest) { r.Action = profilev1.FavoriteAction_FAVORITE_ACTION_REMOVE }),
			favorite(func(r *profilev1.MutateFavoriteRequest) { r.OccurredAt = then }),
			favorite(func(r *profilev1.MutateFavoriteRequest) { r.OccurredAt = later }),
		},
		{
			progress(func(*profilev1.UpsertWatchProgressRequest) {}),
			progress(func(r *profilev1.UpsertWatchProgressRequest) { r.Seq = greatest }),
			progress(func(r *profilev1.UpsertWatchProgressRequest) { r.Seq = greatest - 1 }),
			progress(func(r *profilev1.UpsertWatchProgressRequest) { r.Progress.ProgressRatio = new(float64(0)) }),
			progress(func(r *profilev1.UpsertWatchProgressRequest) { r.Progress.SessionId = "s" }),
			progress(func(r *profilev1.UpsertWatchProgressRequest) { r.Progress.TotalWatchSeconds = 1 }),
		},
		{
			updating("display_name"), updating("avatar_url"), updating("display_name", "extra.a"), updating("display_name", "extra.gone"), updating("display_name", "extra"), updating(),
			changed(updating("display_name"), func(r *profilev1.UpdateProfileRequest) { r.Profile.DisplayName = "Grace" }),
			changed(updating("display_name"), func(r *profilev1.UpdateProfileRequest) { r.ExpectedProfileVersion = wrapperspb.Int64(0) }),
			changed(updating("display_name"), func(r *profilev1.UpdateProfileRequest) { r.ExpectedProfileVersion = wrapperspb.Int64(greatest) }),
			changed(updating("display_name"), func(r *profilev1.UpdateProfileRequest) { r.ExpectedProfileVersion = wrapperspb.Int64(greatest - 1) }),
		},
		{
			merging(nil), merging(map[string]*structpb.Value{"a": {}}), merging(map[string]*structpb.Value{"a": structpb.NewStringValue("0")}),
			merging(map[string]*structpb.Value{"a": structpb.NewNumberValue(0)}), merging(map[string]*structpb.Value{"a": structpb.NewStringValue("<")}),
			merging(map[string]*structpb.Value{"a": structpb.NewStringValue(`\u003c`)}),
		},
		{&profilev1.PurgeUserDataRequest{UserId: me.String(), Reason: "asked"}, &profilev1.PurgeUserDataRequest{UserId: me.String()}},
	}
	for _, requests := range kinds {
		seen := map[[32]byte]int{}
		for i, req := range requests {
			sum := fingerprint(t, none, req)
			other, known := seen[sum]
			require.False(t, known, "%T %d is taken for %d", req, i, other)
			seen[sum] = i
		}
	}
}
