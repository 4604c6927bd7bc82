package dto_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/controllers/dto"
	"github.com/lingo-services/profile/internal/controllers/identity"
	"github.com/lingo-services/profile/internal/models"
)

const videoID = "0190d5a0-3333-7abc-8def-00000000abcd"

var (
	me   = models.UserID(uuid.MustParse("0190d5a0-1111-7abc-8def-00000000abcd"))
	self = identity.Subject{User: me, Actor: models.UserActor(me)}
	none dto.Headers
)

// strict compiles the rules once; decoders are safe for concurrent use.
var strict = sync.OnceValues(func() (*dto.Decoder, error) { return dto.NewDecoder(dto.Options{}) })

func decoder(t testing.TB) *dto.Decoder {
	t.Helper()
	d, err := strict()
	require.NoError(t, err)
	return d
}

// fields are the violated fields of an INVALID_ARGUMENT error, in the order reported; none without an error.
func fields(t testing.TB, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	require.ErrorIs(t, err, models.ErrInvalidArgument)
	var known *models.Error
	require.ErrorAs(t, err, &known)
	require.NotEmpty(t, known.Violations)
	var names []string
	for _, v := range known.Violations {
		require.NotEmpty(t, v.Description)
		names = append(names, v.Field)
	}
	return names
}

func favorite(change func(*profilev1.MutateFavoriteRequest)) *profilev1.MutateFavoriteRequest {
	req := &profilev1.MutateFavoriteRequest{
		VideoId: videoID, FavoriteType: profilev1.FavoriteType_FAVORITE_TYPE_LIKE, Action: profilev1.FavoriteAction_FAVORITE_ACTION_ADD,
	}
	if change != nil {
		change(req)
	}
	return req
}

func progress(change func(*profilev1.UpsertWatchProgressRequest)) *profilev1.UpsertWatchProgressRequest {
	req := &profilev1.UpsertWatchProgressRequest{VideoId: videoID, Progress: &profilev1.WatchProgress{PositionSeconds: 1}}
	change(req)
	return req
}

func favoriteFields(t *testing.T, h dto.Headers, req *profilev1.MutateFavoriteRequest) []string {
	t.Helper()
	_, _, err := decoder(t).MutateFavorite(self, h, req)
	return fields(t, err)
}

func TestS8_EveryViolationIsReportedAtOnceSortedByField(t *testing.T) {
	t.Parallel()
	d := decoder(t)
	stranger := identity.Subject{Violations: []models.Violation{{Field: "user_id", Description: "is required when a service calls"}}}
	_, _, err := d.MutateFavorite(stranger, dto.Headers{IdempotencyKey: "not visible", ClientTime: "yesterday"}, &profilev1.MutateFavoriteRequest{
		VideoId: "no", FavoriteType: 9, IdempotencyKey: strings.Repeat("k", 129), OccurredAt: &timestamppb.Timestamp{Seconds: 1},
	})
	require.Equal(t, []string{
		"action", "favorite_type", "idempotency_key", "occurred_at", "user_id", "video_id", "x-md-client-time", "x-md-idempotency-key",
	}, fields(t, err))

	_, _, err = d.UpdateProfile(self, none, &profilev1.UpdateProfileRequest{
		Profile: &profilev1.Profile{DisplayName: "a\x01b", AvatarUrl: "ftp://x", Preferences: &profilev1.Preferences{
			LearningGoal: strings.Repeat("x", 501), DailyQuotaMinutes: wrapperspb.Int32(1441),
		}},
		UpdateMask:             &fieldmaskpb.FieldMask{Paths: []string{"display_name", "avatar_url", "learning_goal", "nope"}},
		ExpectedProfileVersion: wrapperspb.Int64(-1),
		IdempotencyKey:         "not visible",
	})
	require.Equal(t, []string{
		"expected_profile_version", "idempotency_key", "profile.avatar_url", "profile.display_name",
		"profile.preferences.daily_quota_minutes", "profile.preferences.learning_goal", "update_mask",
	}, fields(t, err))

	_, _, err = d.UpsertWatchProgress(self, none, &profilev1.UpsertWatchProgressRequest{
		Progress: &profilev1.WatchProgress{PositionSeconds: -1, TotalWatchSeconds: -1, SessionId: "a b", ProgressRatio: new(float64(2))}, Seq: -1,
	})
	require.Equal(t, []string{
		"progress.position_seconds", "progress.progress_ratio", "progress.session_id", "progress.total_watch_seconds", "seq", "video_id",
	}, fields(t, err))
}

func TestS8_EveryBadIDOfABatchIsNamed(t *testing.T) {
	t.Parallel()
	_, _, err := decoder(t).BatchQueryFavorite(self, none, &profilev1.BatchQueryFavoriteRequest{
		VideoIds: []string{videoID, "bad", videoID, "{" + videoID + "}"},
	})
	require.Equal(t, []string{"video_ids[1]", "video_ids[3]"}, fields(t, err))
}

func TestS9_EnumsMustBeKnown(t *testing.T) {
	t.Parallel()
	for _, value := range []int32{0, 3, 99, -1, -2147483648, 2147483647} {
		require.Equal(t, []string{"favorite_type"}, favoriteFields(t, none, favorite(func(r *profilev1.MutateFavoriteRequest) {
			r.FavoriteType = profilev1.FavoriteType(value)
		})), "type %d", value)
		require.Equal(t, []string{"action"}, favoriteFields(t, none, favorite(func(r *profilev1.MutateFavoriteRequest) {
			r.Action = profilev1.FavoriteAction(value)
		})), "action %d", value)
		if value == 0 {
			continue // in filters UNSPECIFIED means "both"
		}
		_, _, err := decoder(t).ListFavorites(self, none, &profilev1.ListFavoritesRequest{FavoriteType: profilev1.FavoriteType(value)})
		require.Equal(t, []string{"favorite_type"}, fields(t, err), "filter %d", value)
		_, _, err = decoder(t).ListWatchHistory(self, none, &profilev1.ListWatchHistoryRequest{
			Filter: &profilev1.WatchHistoryFilter{Completion: profilev1.CompletionState(value)},
		})
		require.Equal(t, []string{"filter.completion"}, fields(t, err), "completion %d", value)
	}
}

func TestS9_KnownEnumsAreDecoded(t *testing.T) {
	t.Parallel()
	for value, want := range map[profilev1.FavoriteType]models.FavoriteType{
		profilev1.FavoriteType_FAVORITE_TYPE_LIKE: models.Like, profilev1.FavoriteType_FAVORITE_TYPE_BOOKMARK: models.Bookmark,
	} {
		_, cmd, err := decoder(t).MutateFavorite(self, none, favorite(func(r *profilev1.MutateFavoriteRequest) { r.FavoriteType = value }))
		require.NoError(t, err)
		require.Equal(t, want, cmd.Type)
		require.True(t, cmd.Active)
		_, query, err := decoder(t).ListFavorites(self, none, &profilev1.ListFavoritesRequest{FavoriteType: value})
		require.NoError(t, err)
		require.Equal(t, want, query.Type)
	}
	_, cmd, err := decoder(t).MutateFavorite(self, none, favorite(func(r *profilev1.MutateFavoriteRequest) {
		r.Action = profilev1.FavoriteAction_FAVORITE_ACTION_REMOVE
	}))
	require.NoError(t, err)
	require.False(t, cmd.Active)
	for value, want := range map[profilev1.CompletionState]models.Completion{
		profilev1.CompletionState_COMPLETION_STATE_UNSPECIFIED: models.AnyCompletion,
		profilev1.CompletionState_COMPLETION_STATE_COMPLETED:   models.Completed,
		profilev1.CompletionState_COMPLETION_STATE_IN_PROGRESS: models.InProgress,
	} {
		_, query, err := decoder(t).ListWatchHistory(self, none, &profilev1.ListWatchHistoryRequest{
			Filter: &profilev1.WatchHistoryFilter{Completion: value},
		})
		require.NoError(t, err)
		require.Equal(t, want, query.Completion)
	}
}

func TestS4_IDsHaveOneSpelling(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"empty": "", "braces": "{" + videoID + "}", "urn": "urn:uuid:" + videoID, "32 digits": strings.ReplaceAll(videoID, "-", ""),
		"nil": "00000000-0000-0000-0000-000000000000", "rubbish": "video", "blank": " " + videoID,
	} {
		require.Equal(t, []string{"video_id"}, favoriteFields(t, none, favorite(func(r *profilev1.MutateFavoriteRequest) { r.VideoId = text })), name)
		if name == "empty" {
			continue // no user_id is the caller
		}
		_, err := decoder(t).GetProfile(self, none, &profilev1.GetProfileRequest{UserId: text})
		require.Equal(t, []string{"user_id"}, fields(t, err), name)
	}
	_, cmd, err := decoder(t).MutateFavorite(self, none, favorite(func(r *profilev1.MutateFavoriteRequest) { r.VideoId = strings.ToUpper(videoID) }))
	require.NoError(t, err)
	require.Equal(t, videoID, cmd.VideoID.String())
}

func TestS5_TimesOfTheRequestAreReadAsTheyAre(t *testing.T) {
	t.Parallel()
	at := time.Date(2030, 1, 2, 3, 4, 5, 678901234, time.UTC)
	call, cmd, err := decoder(t).MutateFavorite(self, dto.Headers{ClientTime: "2030-01-02T04:04:05.5+01:00"}, favorite(func(r *profilev1.MutateFavoriteRequest) {
		r.OccurredAt = timestamppb.New(at)
	}))
	require.NoError(t, err)
	require.Equal(t, me, call.Subject)
	require.Equal(t, at, *cmd.Claimed.OccurredAt)
	require.True(t, cmd.Claimed.ClientNow.Equal(time.Date(2030, 1, 2, 3, 4, 5, 500_000_000, time.UTC)))

	_, cmd, err = decoder(t).MutateFavorite(self, none, favorite(nil))
	require.NoError(t, err)
	require.Nil(t, cmd.Claimed.OccurredAt)
	require.Nil(t, cmd.Claimed.ClientNow)
}

func TestS5_InvalidTimesAreRefused(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]*timestamppb.Timestamp{
		"negative nanos":  {Seconds: 1_900_000_000, Nanos: -1},
		"nanos too large": {Seconds: 1_900_000_000, Nanos: 1_000_000_000},
		"year 0":          {Seconds: -62135596801},
		"year 10000":      {Seconds: 253402300800},
		"least":           {Seconds: -1 << 63, Nanos: -1 << 31},
		"greatest":        {Seconds: 1<<63 - 1, Nanos: 1<<31 - 1},
	} {
		got := favoriteFields(t, none, favorite(func(r *profilev1.MutateFavoriteRequest) { r.OccurredAt = at }))
		require.Equal(t, []string{"occurred_at"}, got, name)
		_, _, err := decoder(t).ListWatchHistory(self, none, &profilev1.ListWatchHistoryRequest{
			Filter: &profilev1.WatchHistoryFilter{WatchedAfter: at, WatchedBefore: at},
		})
		require.Equal(t, []string{"filter.watched_after", "filter.watched_before"}, fields(t, err), name)
	}
	early := favorite(func(r *profilev1.MutateFavoriteRequest) {
		r.OccurredAt = &timestamppb.Timestamp{Seconds: 946684799, Nanos: 999_999_999}
	})
	require.Equal(t, []string{"occurred_at"}, favoriteFields(t, none, early), "before 2000")
	require.Empty(t, favoriteFields(t, dto.Headers{ClientTime: "1999-12-31T23:59:59Z"}, early), "judged after the correction by the client's clock")
	for _, text := range []string{"yesterday", "2030-01-02", "2030-01-02T03:04:05", "1893553445", "2030-13-01T00:00:00Z", "0000-01-01T00:00:00Z"} {
		require.Equal(t, []string{"x-md-client-time"}, favoriteFields(t, dto.Headers{ClientTime: text}, favorite(nil)), text)
	}
}

func TestS41_LastWatchedAtStandsInForOccurredAt(t *testing.T) {
	t.Parallel()
	early, late := time.Date(2029, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	_, report, err := decoder(t).UpsertWatchProgress(self, none, progress(func(r *profilev1.UpsertWatchProgressRequest) {
		r.Progress.LastWatchedAt = timestamppb.New(early)
	}))
	require.NoError(t, err)
	require.Equal(t, early, *report.Claimed.OccurredAt)
	_, report, err = decoder(t).UpsertWatchProgress(self, none, progress(func(r *profilev1.UpsertWatchProgressRequest) {
		r.Progress.LastWatchedAt, r.OccurredAt = timestamppb.New(early), timestamppb.New(late)
	}))
	require.NoError(t, err)
	require.Equal(t, late, *report.Claimed.OccurredAt)
	_, _, err = decoder(t).UpsertWatchProgress(self, none, progress(func(r *profilev1.UpsertWatchProgressRequest) {
		r.Progress.LastWatchedAt = &timestamppb.Timestamp{Seconds: 1 << 60}
	}))
	require.Equal(t, []string{"progress.last_watched_at"}, fields(t, err))
}

func TestS3_PurgeNeedsANamedUser(t *testing.T) {
	t.Parallel()
	_, err := decoder(t).PurgeUserData(self, none, &profilev1.PurgeUserDataRequest{})
	require.Equal(t, []string{"user_id"}, fields(t, err))
}
