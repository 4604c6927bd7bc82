package test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/services"
	"github.com/lingo-services/profile/test/testkit"
)

// anySet are commands of one user about one video, dated within a few seconds so that equal times are likely. Reports
// without a ratio are of videos of a known length, and totals are believed either always or never: what a report counts
// depends on the time since the first one (S34).
func anySet(d draw, user models.UserID, video models.VideoID, lengthKnown bool, start time.Time) (favorites []services.FavoriteCommand, reports []services.ProgressReport) {
	when := func() models.ClaimedTime {
		return models.ClaimedTime{OccurredAt: new(start.Add(time.Duration(d(4)) * time.Second))}
	}
	for range 1 + d(4) {
		favorites = append(favorites, services.FavoriteCommand{
			UserID: user, VideoID: video, Type: pick(d, models.Like, models.Bookmark), Active: d(2) == 0, Claimed: when(),
		})
	}
	for n := range 1 + d(4) {
		r := services.ProgressReport{
			UserID: user, VideoID: video, Claimed: when(), PositionSeconds: int64(d(3)) * 480, RatioBP: pick(d, new(int32(0)), new(int32(300)), new(int32(5000)), new(int32(9500))),
			TotalSeconds: pick(d, int64(0), 30, 1000),
		}
		if lengthKnown {
			r.RatioBP = pick(d, nil, r.RatioBP)
			r.TotalSeconds = pick(d, r.TotalSeconds, 900_000)
		}
		if d(2) == 0 {
			r.SessionID, r.Seq = pick(d, "phone", "tv"), int64(n+1)
		}
		reports = append(reports, r)
	}
	return favorites, reports
}

// shuffled are all of values in any order, some of them twice.
func shuffled[T any](d draw, values []T) []T {
	all := append(append([]T{}, values...), values[:d(len(values)+1)]...)
	for i := range all {
		j := i + d(len(all)-i)
		all[i], all[j] = all[j], all[i]
	}
	return all
}

// endings are what is stored of every pair: registers, watch row and completion, and the counters of the video. How
// often a video was completed is decided with every report at hand only, and so is when a register became active.
func endings(t testing.TB, s *testkit.Service, users []models.UserID, videos []models.VideoID) []string {
	t.Helper()
	ids, owners := make([]uuid.UUID, len(videos)), make([]uuid.UUID, len(videos))
	for i, video := range videos {
		ids[i], owners[i] = uuid.UUID(video), uuid.UUID(users[i])
	}
	rows, err := s.DB.Owner.Query(t.Context(), `
		SELECT coalesce((SELECT string_agg(concat_ws(' ', e.engagement_type, e.deleted_at IS NULL, e.state_at), ', ' ORDER BY e.engagement_type)
		                 FROM profile.engagements e WHERE e.user_id = i.owner AND e.video_id = i.id), '')
		    || coalesce((SELECT concat_ws(' ', ';', w.position_seconds, w.ratio_bp, w.resume_at, w.ratio_at, w.max_ratio_bp, w.furthest_seconds,
		                                  w.reported_seconds, w.counted_seconds, 'qualified', w.qualified_at, 'completed', w.completed_at,
		                                  'session', w.session_id, 'from', w.first_watched_at, w.last_watched_at)
		                 FROM profile.watch_logs w WHERE w.user_id = i.owner AND w.video_id = i.id), '')
		    || coalesce((SELECT concat_ws(' ', ';', v.like_count, v.bookmark_count, v.unique_watchers, v.total_watch_seconds)
		                 FROM profile.video_stats v WHERE v.video_id = i.id), '; 0 0 0 0')
		FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS i (id, owner, place) ORDER BY i.place`, ids, owners)
	require.NoError(t, err)
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return out
}

// Any set of commands, repeated and in any order, ends alike: 10,000 sets, each about two videos in two orders.
func TestS11_S32_AnyOrderAndRepetitionEndsAlike(t *testing.T) {
	t.Parallel()
	s := newCinema(t)
	const rounds, sets = 40, 250
	start := showtime.Add(-time.Hour)
	for round := range rounds {
		d := seeded(uint64(round))
		users := newUsers(sets)
		var videos [2][]models.VideoID
		var favorites [2][]services.FavoriteCommand
		var reports [2][]services.ProgressReport
		var told []string
		for i := range sets {
			user, known := users[i], i%2 == 0
			for half := range videos {
				videos[half] = append(videos[half], testkit.NewVideo())
			}
			f, r := anySet(d, user, videos[0][i], known, start)
			told = append(told, fmt.Sprintf("round %d, set %d: %v %v", round, i, f, r))
			favorites[0], reports[0] = append(favorites[0], f...), append(reports[0], r...)
			for _, c := range shuffled(d, f) {
				c.VideoID = videos[1][i]
				favorites[1] = append(favorites[1], c)
			}
			for _, c := range shuffled(d, r) {
				c.VideoID = videos[1][i]
				reports[1] = append(reports[1], c)
			}
		}
		thousand := int64(1_000_000_000)
		for half := range videos {
			var lengths []services.VideoChange
			for i := 0; i < sets; i += 2 {
				lengths = append(lengths, services.VideoChange{VideoID: videos[half][i], Kind: po.VideoCreated, Version: 1, DurationMicros: &thousand})
			}
			_, err := s.Videos.Upsert(t.Context(), lengths)
			require.NoError(t, err)
			_, err = s.Engagements.Apply(t.Context(), models.ServiceActor, favorites[half])
			require.NoError(t, err)
			_, err = s.Watch.Apply(t.Context(), models.ServiceActor, reports[half])
			require.NoError(t, err)
		}
		first, second := endings(t, s, users, videos[0]), endings(t, s, users, videos[1])
		for i := range sets {
			require.Equal(t, first[i], second[i], told[i])
		}
	}
	s.RequireNoDrift(t)
}
