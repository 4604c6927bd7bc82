// Package contract pins what other services rely on: the names, numbers and types of spec/api.md, and the
// catalogue of errors.
package contract

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/models"
)

// rpcs are the nine that callers already speak, in the order of api.md section 1, and later ones.
var rpcs = []string{
	"GetProfile", "UpdateProfile", "UpdatePreferences", "MutateFavorite", "BatchQueryFavorite", "ListFavorites", "UpsertWatchProgress",
	"ListWatchHistory", "PurgeUserData", "GetWatchProgress", "BatchGetWatchProgress", "GetVideoStats", "BatchGetVideoStats", "BatchGetVideos",
}

// callers of api.md section 1: who may call a method, beside admins.
const callers = `
GetProfile: self reader
UpdateProfile: self writer
UpdatePreferences: self writer
MutateFavorite: self writer
BatchQueryFavorite: self reader
ListFavorites: self reader
UpsertWatchProgress: self writer
ListWatchHistory: self reader
PurgeUserData: compliance
GetWatchProgress: self reader
BatchGetWatchProgress: self reader
GetVideoStats: anyone
BatchGetVideoStats: anyone
BatchGetVideos: reader
`

// fields of api.md sections 2-4: "message: name number type, …". Types: scalars by their proto name,
// messages and enums by their full name without the profile.v1 or google.protobuf package, repeated as [].
const fields = `
GetProfileRequest: user_id 1 string
GetProfileResponse: profile 1 Profile, not_modified 2 bool
UpdateProfileRequest: user_id 1 string, profile 2 Profile, update_mask 3 FieldMask, expected_profile_version 4 Int64Value, idempotency_key 5 string
UpdateProfileResponse: profile 1 Profile
UpdatePreferencesRequest: user_id 1 string, preferences 2 Preferences, update_mask 3 FieldMask, expected_profile_version 4 Int64Value, idempotency_key 5 string
UpdatePreferencesResponse: profile 1 Profile, delta 2 PreferenceDelta
MutateFavoriteRequest: user_id 1 string, video_id 2 string, favorite_type 3 FavoriteType, action 4 FavoriteAction, idempotency_key 5 string, occurred_at 6 Timestamp
MutateFavoriteResponse: state 1 FavoriteState, stats 2 VideoStats, changed 3 bool, reason 4 OutcomeReason
BatchQueryFavoriteRequest: user_id 1 string, video_ids 2 []string, include_stats 3 bool
BatchQueryFavoriteResponse: summaries 1 []FavoriteSummary
ListFavoritesRequest: user_id 1 string, page_size 2 int32, page_token 3 string, favorite_type 4 FavoriteType, include_unavailable 5 bool, with_count 6 bool
ListFavoritesResponse: favorites 1 []FavoriteItem, next_page_token 2 string, total_count 3 int64
UpsertWatchProgressRequest: user_id 1 string, video_id 2 string, progress 3 WatchProgress, idempotency_key 4 string, occurred_at 5 Timestamp, seq 6 int64
UpsertWatchProgressResponse: progress 1 WatchProgress, stats 2 VideoStats, recorded 3 bool, reason 4 OutcomeReason
ListWatchHistoryRequest: user_id 1 string, page_size 2 int32, page_token 3 string, filter 4 WatchHistoryFilter, include_unavailable 5 bool
ListWatchHistoryResponse: items 1 []WatchHistoryEntry, next_page_token 2 string
PurgeUserDataRequest: user_id 1 string, reason 2 string, idempotency_key 3 string
PurgeUserDataResponse: purge_task_id 1 string
Profile: user_id 1 string, display_name 2 string, avatar_url 3 string, profile_version 4 int64, preferences 5 Preferences, created_at 6 Timestamp, updated_at 7 Timestamp, preferences_json 8 string
Preferences: learning_goal 1 string, daily_quota_minutes 2 Int32Value, extra 99 Struct
PreferenceDelta: changes 1 []PreferenceChange
PreferenceChange: field 1 string, old_value 2 Value, new_value 3 Value
FavoriteState: has_liked 1 bool, has_bookmarked 2 bool, liked_at 3 Timestamp, bookmarked_at 4 Timestamp
FavoriteItem: video_id 1 string, favorite_type 2 FavoriteType, state 3 FavoriteState, video 4 VideoMetadata, created_at 5 Timestamp, updated_at 6 Timestamp, stats 7 VideoStats, availability 8 Availability
FavoriteSummary: video_id 1 string, state 2 FavoriteState, stats 3 VideoStats
WatchProgress: position_seconds 1 int64, progress_ratio 2 double, total_watch_seconds 3 int64, first_watched_at 4 Timestamp, last_watched_at 5 Timestamp, expires_at 6 Timestamp, session_id 7 string, completed_at 8 Timestamp, completed_count 9 int32, max_ratio 10 double, duration_seconds 11 int64, resume_position_seconds 12 int64
GetWatchProgressRequest: user_id 1 string, video_id 2 string
GetWatchProgressResponse: progress 1 WatchProgress, recorded 2 bool
BatchGetWatchProgressRequest: user_id 1 string, video_ids 2 []string
BatchGetWatchProgressResponse: items 1 []WatchProgressItem
WatchProgressItem: video_id 1 string, progress 2 WatchProgress, recorded 3 bool
GetVideoStatsRequest: video_id 1 string
GetVideoStatsResponse: stats 1 VideoStats
BatchGetVideoStatsRequest: video_ids 1 []string
BatchGetVideoStatsResponse: items 1 []VideoStatsItem
VideoStatsItem: video_id 1 string, stats 2 VideoStats
BatchGetVideosRequest: video_ids 1 []string
BatchGetVideosResponse: items 1 []VideoItem
VideoItem: video_id 1 string, video 2 VideoMetadata, stats 3 VideoStats, availability 4 Availability
WatchHistoryEntry: video_id 1 string, progress 2 WatchProgress, video 3 VideoMetadata, stats 4 VideoStats, availability 5 Availability
VideoMetadata: video_id 1 string, title 2 string, description 3 string, duration_micros 4 int64, thumbnail_url 5 string, hls_master_playlist 6 string, status 7 string, visibility_status 8 string, published_at 9 Timestamp, version 10 int64, updated_at 11 Timestamp
VideoStats: like_count 1 int64, bookmark_count 2 int64, unique_watchers 3 int64, total_watch_seconds 4 int64, updated_at 5 Timestamp
EngagementAddedEvent: event_id 1 string, user_id 2 string, video_id 3 string, favorite_type 4 FavoriteType, occurred_at 5 Timestamp, source 6 string, stats 7 VideoStats
EngagementRemovedEvent: event_id 1 string, user_id 2 string, video_id 3 string, favorite_type 4 FavoriteType, occurred_at 5 Timestamp, deleted_at 6 Timestamp, source 7 string, stats 8 VideoStats
WatchProgressedEvent: event_id 1 string, user_id 2 string, video_id 3 string, progress 4 WatchProgress, context 5 Struct
PreferencesUpdatedEvent: event_id 1 string, user_id 2 string, profile_version 3 int64, occurred_at 4 Timestamp, delta 5 PreferenceDelta
WatchRemovedEvent: event_id 1 string, user_id 2 string, video_id 3 string, occurred_at 4 Timestamp, reason 5 string, stats 6 VideoStats
UserDeletionScheduledEvent: event_id 1 string, user_id 2 string, purge_task_id 3 string, occurred_at 4 Timestamp, delete_after 5 Timestamp
UserDeletionCompletedEvent: event_id 1 string, user_id 2 string, purge_task_id 3 string, occurred_at 4 Timestamp, purged_at 5 Timestamp, erased 6 ErasedCounts
ErasedCounts: profiles 1 int64, engagements 2 int64, watch_records 3 int64, events 4 int64, idempotency_records 5 int64
`

// promised are numbers of api.md that nothing else may take before their field comes.
var promised = map[protoreflect.Name]map[protoreflect.FieldNumber]protoreflect.Name{
	"UpsertWatchProgressRequest": {7: "segments"},
}

var enums = map[protoreflect.Name][]string{
	"FavoriteAction": {"FAVORITE_ACTION_UNSPECIFIED", "FAVORITE_ACTION_ADD", "FAVORITE_ACTION_REMOVE"},
	"FavoriteType":   {"FAVORITE_TYPE_UNSPECIFIED", "FAVORITE_TYPE_LIKE", "FAVORITE_TYPE_BOOKMARK"},
}

// withPresence tell "absent" from zero (S40, S52, S62).
var withPresence = map[string]bool{
	"WatchProgress.progress_ratio": true, "ListFavoritesResponse.total_count": true, "Preferences.daily_quota_minutes": true,
	"UpdateProfileRequest.expected_profile_version": true, "UpdatePreferencesRequest.expected_profile_version": true,
}

func files() []protoreflect.FileDescriptor {
	return []protoreflect.FileDescriptor{
		profilev1.File_profile_v1_profile_proto, profilev1.File_profile_v1_events_proto, profilev1.File_profile_v1_errors_proto,
	}
}

func message(t *testing.T, name protoreflect.Name) protoreflect.MessageDescriptor {
	t.Helper()
	for _, file := range files() {
		if m := file.Messages().ByName(name); m != nil {
			return m
		}
	}
	require.Failf(t, "missing", "message %s", name)
	return nil
}

func service() protoreflect.ServiceDescriptor {
	return profilev1.File_profile_v1_profile_proto.Services().ByName("ProfileService")
}

func typeName(f protoreflect.FieldDescriptor) string {
	name := f.Kind().String()
	switch {
	case f.Message() != nil:
		name = short(f.Message())
	case f.Enum() != nil:
		name = short(f.Enum())
	}
	if f.IsList() {
		return "[]" + name
	}
	return name
}

func short(d protoreflect.Descriptor) string {
	name := string(d.FullName())
	for _, known := range []string{"profile.v1.", "google.protobuf."} {
		name = strings.TrimPrefix(name, known)
	}
	return name
}

func TestPackageAndFiles(t *testing.T) {
	t.Parallel()
	for _, file := range files() {
		require.Equal(t, protoreflect.FullName("profile.v1"), file.Package(), file.Path())
		require.True(t, strings.HasPrefix(file.Path(), "profile/v1/"), file.Path())
		require.Equal(t, protoreflect.Proto3, file.Syntax(), file.Path())
	}
	require.Equal(t, "profile.v1.ProfileService", profilev1.ProfileService_ServiceDesc.ServiceName)
}

// callersOf reads the option of a method.
func callersOf(m protoreflect.MethodDescriptor) (list []string) {
	option, _ := proto.GetExtension(m.Options(), profilev1.E_Access).(*profilev1.Access)
	if option.GetAnyone() {
		list = append(list, "anyone")
	}
	if option.GetSelf() {
		list = append(list, "self")
	}
	for _, r := range option.GetRoles() {
		list = append(list, strings.ToLower(strings.TrimPrefix(r.String(), "ROLE_")))
	}
	return list
}

func TestS3_CallersOfMethods(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for _, name := range rpcs {
		fmt.Fprintf(&text, "\n%s: %s", name, strings.Join(callersOf(service().Methods().ByName(protoreflect.Name(name))), " "))
	}
	require.Equal(t, callers, text.String()+"\n")
}

// The table of docs/api.md says of every method what its option says.
func TestDocumentedCallers(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("../../docs/api.md")
	require.NoError(t, err)
	for _, name := range rpcs {
		row := fmt.Sprintf("\n| `%s` | %s |", name, strings.Join(callersOf(service().Methods().ByName(protoreflect.Name(name))), ", "))
		require.Contains(t, string(document), row)
	}
}

func TestRPCs(t *testing.T) {
	t.Parallel()
	for _, name := range rpcs {
		m := service().Methods().ByName(protoreflect.Name(name))
		require.NotNil(t, m, name)
		require.Equal(t, name+"Request", short(m.Input()))
		require.Equal(t, name+"Response", short(m.Output()))
		require.False(t, m.IsStreamingClient() || m.IsStreamingServer(), name)
	}
}

func TestFields(t *testing.T) {
	t.Parallel()
	checked := 0
	for line := range strings.Lines(strings.TrimSpace(fields)) {
		name, list, found := strings.Cut(strings.TrimSpace(line), ": ")
		require.True(t, found, line)
		m := message(t, protoreflect.Name(name))
		for _, want := range strings.Split(list, ", ") {
			parts := strings.Fields(want)
			number, err := strconv.Atoi(parts[1])
			require.NoError(t, err, line)
			f := m.Fields().ByNumber(protoreflect.FieldNumber(number))
			require.NotNil(t, f, "%s has no field %d", name, number)
			require.Equal(t, want, fmt.Sprintf("%s %d %s", f.Name(), f.Number(), typeName(f)), name)
			checked++
		}
	}
	require.Greater(t, checked, 140)
}

func TestEveryMessageOfTheServiceIsPinned(t *testing.T) {
	t.Parallel()
	for i := range service().Methods().Len() {
		m := service().Methods().Get(i)
		for _, d := range []protoreflect.MessageDescriptor{m.Input(), m.Output()} {
			require.Contains(t, fields, "\n"+short(d)+": ", "a new message needs a line in this test")
		}
	}
}

func TestPromisedNumbersAreFree(t *testing.T) {
	t.Parallel()
	for name, numbers := range promised {
		for number, field := range numbers {
			if f := message(t, name).Fields().ByNumber(number); f != nil {
				require.Equal(t, field, f.Name(), name)
			}
		}
	}
}

func TestEnums(t *testing.T) {
	t.Parallel()
	for name, values := range enums {
		enum := profilev1.File_profile_v1_profile_proto.Enums().ByName(name)
		require.NotNil(t, enum, name)
		for number, value := range values {
			v := enum.Values().ByNumber(protoreflect.EnumNumber(number))
			require.NotNil(t, v, "%s %d", name, number)
			require.Equal(t, protoreflect.Name(value), v.Name())
		}
		require.Equal(t, len(values), enum.Values().Len(), name)
	}
}

func TestS40_PresenceWhereAbsentIsNotZero(t *testing.T) {
	t.Parallel()
	for path := range withPresence {
		name, field, _ := strings.Cut(path, ".")
		f := message(t, protoreflect.Name(name)).Fields().ByName(protoreflect.Name(field))
		require.NotNil(t, f, path)
		require.True(t, f.HasPresence(), path)
	}
	// Presence by accident would change what "unset" means to callers.
	for _, file := range files() {
		for i := range file.Messages().Len() {
			m := file.Messages().Get(i)
			for j := range m.Fields().Len() {
				if f := m.Fields().Get(j); f.HasOptionalKeyword() {
					require.True(t, withPresence[string(m.Name())+"."+string(f.Name())], f.FullName())
				}
			}
		}
	}
}

func TestFieldNamesAreLowerCase(t *testing.T) {
	t.Parallel()
	for _, file := range files() {
		for i := range file.Messages().Len() {
			m := file.Messages().Get(i)
			for j := range m.Fields().Len() {
				f := m.Fields().Get(j)
				require.Equal(t, protoreflect.Name(strings.ToLower(string(f.Name()))), f.Name(), f.FullName())
			}
		}
	}
}

func TestEveryReasonIsInTheContractAndBack(t *testing.T) {
	t.Parallel()
	const prefix = "ERROR_REASON_"
	values := profilev1.File_profile_v1_errors_proto.Enums().ByName("ErrorReason").Values()
	var inContract []models.Reason
	for i := range values.Len() {
		name, found := strings.CutPrefix(string(values.Get(i).Name()), prefix)
		require.True(t, found, values.Get(i).Name())
		if values.Get(i).Number() == 0 {
			require.Equal(t, "UNSPECIFIED", name)
			continue
		}
		inContract = append(inContract, models.Reason(name))
	}
	require.ElementsMatch(t, models.Reasons(), inContract)
}
