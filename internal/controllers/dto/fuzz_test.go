package dto_test

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/structpb"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/controllers/dto"
	"github.com/lingo-services/profile/internal/controllers/identity"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/vo"
)

// fuzzRequest decodes raw bytes as a request with arbitrary headers. Whatever they are, decoding does not
// panic and an error is INVALID_ARGUMENT with violations that can be sent.
func fuzzRequest[T proto.Message](f *testing.F, empty func() T, decode func(*dto.Decoder, dto.Headers, T) error, seeds ...T) {
	f.Helper()
	for _, seed := range seeds {
		wire, err := proto.Marshal(seed)
		require.NoError(f, err)
		f.Add(wire, "", "")
		f.Add(append(wire, wire...), "key", "2030-01-02T03:04:05Z")
	}
	d := decoder(f)
	f.Fuzz(func(t *testing.T, wire []byte, key, clientTime string) {
		req := empty()
		if proto.Unmarshal(wire, req) != nil {
			return // the handler answers before it decodes
		}
		requireInvalid(t, decode(d, dto.Headers{IdempotencyKey: key, ClientTime: clientTime, IfMatch: key}, req))
	})
}

func requireInvalid(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	var known *models.Error
	require.ErrorAs(t, err, &known)
	require.Equal(t, models.KindInvalid, known.Reason.Entry().Kind)
	require.NotEmpty(t, known.Violations)
	for _, v := range known.Violations {
		require.True(t, utf8.ValidString(v.Field) && utf8.ValidString(v.Description), "%q %q", v.Field, v.Description)
	}
}

func FuzzGetProfile(f *testing.F) {
	fuzzRequest(f, func() *profilev1.GetProfileRequest { return &profilev1.GetProfileRequest{} },
		func(d *dto.Decoder, h dto.Headers, r *profilev1.GetProfileRequest) error {
			_, err := d.GetProfile(self, h, r)
			return err
		}, &profilev1.GetProfileRequest{UserId: me.String()})
}

func FuzzUpdateProfile(f *testing.F) {
	fuzzRequest(f, func() *profilev1.UpdateProfileRequest { return &profilev1.UpdateProfileRequest{} },
		func(d *dto.Decoder, h dto.Headers, r *profilev1.UpdateProfileRequest) error {
			_, _, err := d.UpdateProfile(self, h, r)
			return err
		}, &profilev1.UpdateProfileRequest{Profile: fullProfile(), UpdateMask: mask("*")}, &profilev1.UpdateProfileRequest{Profile: fullProfile()})
}

func FuzzUpdatePreferences(f *testing.F) {
	fuzzRequest(f, func() *profilev1.UpdatePreferencesRequest { return &profilev1.UpdatePreferencesRequest{} },
		func(d *dto.Decoder, h dto.Headers, r *profilev1.UpdatePreferencesRequest) error {
			_, _, err := d.UpdatePreferences(self, h, r)
			return err
		}, &profilev1.UpdatePreferencesRequest{Preferences: fullProfile().GetPreferences(), UpdateMask: mask("extra.a", "learning_goal")})
}

func FuzzMutateFavorite(f *testing.F) {
	fuzzRequest(f, func() *profilev1.MutateFavoriteRequest { return &profilev1.MutateFavoriteRequest{} },
		func(d *dto.Decoder, h dto.Headers, r *profilev1.MutateFavoriteRequest) error {
			_, _, err := d.MutateFavorite(self, h, r)
			return err
		}, favorite(nil))
}

func FuzzBatchQueryFavorite(f *testing.F) {
	fuzzRequest(f, func() *profilev1.BatchQueryFavoriteRequest { return &profilev1.BatchQueryFavoriteRequest{} },
		func(d *dto.Decoder, h dto.Headers, r *profilev1.BatchQueryFavoriteRequest) error {
			_, _, err := d.BatchQueryFavorite(self, h, r)
			return err
		}, &profilev1.BatchQueryFavoriteRequest{VideoIds: []string{videoID, videoID}, IncludeStats: true})
}

func FuzzListFavorites(f *testing.F) {
	fuzzRequest(f, func() *profilev1.ListFavoritesRequest { return &profilev1.ListFavoritesRequest{} },
		func(d *dto.Decoder, h dto.Headers, r *profilev1.ListFavoritesRequest) error {
			_, _, err := d.ListFavorites(self, h, r)
			return err
		}, &profilev1.ListFavoritesRequest{PageSize: 5, PageToken: "x", FavoriteType: profilev1.FavoriteType_FAVORITE_TYPE_LIKE, WithCount: true})
}

func FuzzUpsertWatchProgress(f *testing.F) {
	fuzzRequest(f, func() *profilev1.UpsertWatchProgressRequest { return &profilev1.UpsertWatchProgressRequest{} },
		func(d *dto.Decoder, h dto.Headers, r *profilev1.UpsertWatchProgressRequest) error {
			_, _, err := d.UpsertWatchProgress(self, h, r)
			return err
		}, progress(func(r *profilev1.UpsertWatchProgressRequest) {
			r.Progress = &profilev1.WatchProgress{PositionSeconds: 42, ProgressRatio: new(0.5), TotalWatchSeconds: 42, SessionId: "s"}
			r.Seq = 7
		}))
}

func FuzzGetWatchProgress(f *testing.F) {
	fuzzRequest(f, func() *profilev1.GetWatchProgressRequest { return &profilev1.GetWatchProgressRequest{} },
		func(d *dto.Decoder, h dto.Headers, r *profilev1.GetWatchProgressRequest) error {
			_, _, err := d.GetWatchProgress(self, h, r)
			return err
		}, &profilev1.GetWatchProgressRequest{VideoId: "20000000-0000-4000-8000-000000000002"})
}

func FuzzBatchGetWatchProgress(f *testing.F) {
	fuzzRequest(f, func() *profilev1.BatchGetWatchProgressRequest { return &profilev1.BatchGetWatchProgressRequest{} },
		func(d *dto.Decoder, h dto.Headers, r *profilev1.BatchGetWatchProgressRequest) error {
			_, _, err := d.BatchGetWatchProgress(self, h, r)
			return err
		}, &profilev1.BatchGetWatchProgressRequest{VideoIds: []string{"20000000-0000-4000-8000-000000000002"}})
}

func FuzzListWatchHistory(f *testing.F) {
	fuzzRequest(f, func() *profilev1.ListWatchHistoryRequest { return &profilev1.ListWatchHistoryRequest{} },
		func(d *dto.Decoder, h dto.Headers, r *profilev1.ListWatchHistoryRequest) error {
			_, _, err := d.ListWatchHistory(self, h, r)
			return err
		}, &profilev1.ListWatchHistoryRequest{PageSize: 5, Filter: &profilev1.WatchHistoryFilter{
			Completion: profilev1.CompletionState_COMPLETION_STATE_COMPLETED,
		}})
}

func FuzzPurgeUserData(f *testing.F) {
	fuzzRequest(f, func() *profilev1.PurgeUserDataRequest { return &profilev1.PurgeUserDataRequest{} },
		func(d *dto.Decoder, h dto.Headers, r *profilev1.PurgeUserDataRequest) error {
			_, err := d.PurgeUserData(self, h, r)
			return err
		}, &profilev1.PurgeUserDataRequest{UserId: me.String(), Reason: "asked"})
}

// Every path of an accepted mask changes what it names, and nothing else changes.
func FuzzFieldMask(f *testing.F) {
	for _, seed := range [][2]string{
		{"display_name", "extra.a"}, {"*", "*"}, {"extra", "extra.k"}, {"profile.preferences.extra.a", "preferences"}, {"", "extra."},
	} {
		f.Add(seed[0], seed[1])
	}
	d := decoder(f)
	f.Fuzz(func(t *testing.T, one, two string) {
		if !utf8.ValidString(one) || !utf8.ValidString(two) {
			return // the wire holds no such strings
		}
		_, cmd, err := d.UpdateProfile(self, none, &profilev1.UpdateProfileRequest{Profile: fullProfile(), UpdateMask: mask(one, two)})
		requireInvalid(t, err)
		if err == nil {
			requireNamed(t, cmd.Patch, one, two)
		}
		_, preferences, err := d.UpdatePreferences(self, none, &profilev1.UpdatePreferencesRequest{
			Preferences: fullProfile().GetPreferences(), UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{one}},
		})
		requireInvalid(t, err)
		if err == nil {
			require.False(t, preferences.Patch.DisplayName.Set || preferences.Patch.AvatarURL.Set)
			requireNamed(t, preferences.Patch, one)
		}
	})
}

func requireNamed(t *testing.T, patch vo.ProfilePatch, paths ...string) {
	t.Helper()
	changed := set(patch)
	require.NotEmpty(t, changed)
	groups := map[string][]string{
		"extra":       {"extra", "extra.a", "extra.b"},
		"preferences": {"learning_goal", "daily_quota_minutes", "extra", "extra.a", "extra.b"},
		"*":           {"display_name", "avatar_url", "learning_goal", "daily_quota_minutes", "extra", "extra.a", "extra.b"},
	}
	var named []string
	for _, path := range paths {
		for _, prefix := range []string{"profile.", "preferences."} {
			if len(path) > len(prefix) && path[:len(prefix)] == prefix {
				path = path[len(prefix):]
			}
		}
		if group, ok := groups[path]; ok {
			named = append(named, group...)
			continue
		}
		named = append(named, path)
	}
	require.Subset(t, named, changed)
}

// What is accepted of a preferences document obeys the rules and can be sent back.
func FuzzPreferencesJSON(f *testing.F) {
	for _, seed := range []string{
		`{"theme":"dark"}`, `{"a":[1,2,{"b":null}]}`, `{"a":"\u0000"}`, `{"learning_goal":1}`, `{"n":1e308}`, `{"deep":[[[[[[1]]]]]]}`, `{"":1}`,
	} {
		f.Add([]byte(seed), true)
	}
	d := decoder(f)
	f.Fuzz(func(t *testing.T, document []byte, masked bool) {
		extra := &structpb.Struct{}
		if protojson.Unmarshal(document, extra) != nil {
			return
		}
		req := &profilev1.UpdatePreferencesRequest{Preferences: &profilev1.Preferences{Extra: extra}}
		if masked {
			req.UpdateMask = mask("extra")
		}
		_, cmd, err := d.UpdatePreferences(self, none, req)
		requireInvalid(t, err)
		if err != nil {
			return
		}
		require.Empty(t, models.CheckExtra("extra", cmd.Patch.Extra.Values))
		user := vo.User{UserID: me}
		user.Extra = cmd.Patch.Extra.Values
		p, err := dto.Profile(user)
		require.NoError(t, err)
		require.True(t, json.Valid([]byte(p.GetPreferencesJson())))
		require.Len(t, p.GetPreferences().GetExtra().GetFields(), len(extra.GetFields()))
	})
}

func FuzzGetVideoStats(f *testing.F) {
	fuzzRequest(f, func() *profilev1.GetVideoStatsRequest { return &profilev1.GetVideoStatsRequest{} },
		func(d *dto.Decoder, h dto.Headers, req *profilev1.GetVideoStatsRequest) error {
			_, err := d.GetVideoStats(identity.Subject{Actor: models.ServiceActor}, h, req)
			return err
		}, &profilev1.GetVideoStatsRequest{VideoId: "20000000-0000-4000-8000-000000000002"})
}

func FuzzBatchGetVideoStats(f *testing.F) {
	fuzzRequest(f, func() *profilev1.BatchGetVideoStatsRequest { return &profilev1.BatchGetVideoStatsRequest{} },
		func(d *dto.Decoder, h dto.Headers, req *profilev1.BatchGetVideoStatsRequest) error {
			_, err := d.BatchGetVideoStats(identity.Subject{Actor: models.ServiceActor}, h, req)
			return err
		}, &profilev1.BatchGetVideoStatsRequest{VideoIds: []string{"20000000-0000-4000-8000-000000000002"}})
}

func FuzzBatchGetVideos(f *testing.F) {
	fuzzRequest(f, func() *profilev1.BatchGetVideosRequest { return &profilev1.BatchGetVideosRequest{} },
		func(d *dto.Decoder, h dto.Headers, req *profilev1.BatchGetVideosRequest) error {
			_, err := d.BatchGetVideos(identity.Subject{Actor: models.ServiceActor}, h, req)
			return err
		}, &profilev1.BatchGetVideosRequest{VideoIds: []string{"20000000-0000-4000-8000-000000000002"}})
}
