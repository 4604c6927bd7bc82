package test

import (
	"math/rand/v2"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/models"
	outboxevents "github.com/lingo-services/profile/internal/models/outbox_events"
	"github.com/lingo-services/profile/internal/services"
	"github.com/lingo-services/profile/test/testkit"
)

// counters are what a consumer keeps of a video.
type counters struct{ version, likes, bookmarks, watchers, seconds int64 }

func countersOf(s *profilev1.VideoStats) counters {
	return counters{s.GetStatsVersion(), s.GetLikeCount(), s.GetBookmarkCount(), s.GetUniqueWatchers(), s.GetTotalWatchSeconds()}
}

// snapshot is what one event says of a video's counters.
type snapshot struct {
	video string
	// moved: the event's own transaction, which held the video's lock, changed them.
	moved bool
	counters
}

// snapshots are those of the users' events, in commit order of each video's changes.
func snapshots(t testing.TB, s *testkit.Service, users []models.UserID) (all []snapshot) {
	t.Helper()
	keys := make([]uuid.UUID, len(users))
	for i, user := range users {
		keys[i] = uuid.UUID(user)
	}
	rows, err := s.DB.Owner.Query(t.Context(), "SELECT event_type, payload FROM profile.outbox_events WHERE ordering_key = ANY($1) ORDER BY id", keys)
	require.NoError(t, err)
	var kind string
	var payload []byte
	_, err = pgx.ForEachRow(rows, []any{&kind, &payload}, func() error {
		message, err := outboxevents.Decode(kind, payload)
		if err != nil {
			return err
		}
		about, ok := message.(interface {
			GetVideoId() string
			GetStats() *profilev1.VideoStats
		})
		if !ok {
			return nil
		}
		moved := true
		if watched, ok := message.(*profilev1.WatchProgressedEvent); ok {
			moved = watched.GetContext().AsMap()["first_watch"].(bool)
		}
		all = append(all, snapshot{about.GetVideoId(), moved, countersOf(about.GetStats())})
		return nil
	})
	require.NoError(t, err)
	return all
}

// keepGreatest is what a consumer has after reading the events in a random order.
func keepGreatest(all []snapshot, seed uint64) map[string]counters {
	kept := map[string]counters{}
	for _, i := range rand.New(rand.NewPCG(seed, 0)).Perm(len(all)) {
		if s := all[i]; s.version > kept[s.video].version {
			kept[s.video] = s.counters
		}
	}
	return kept
}

func TestS78_GreatestSnapshotIsTheNewestInAnyOrder(t *testing.T) {
	t.Parallel()
	s := newCinema(t)
	rapid.Check(t, func(rt *rapid.T) {
		d := func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "choice") }
		tb, users, videos := shrinkable{t, rt}, newUsers(4), newVideos(2)
		const writers, each = 6, 8
		plans := make([][]command, writers)
		for i := range plans {
			for range each {
				plans[i] = append(plans[i], anyCommand(d, pick(d, users...), pick(d, videos...), nil))
			}
		}
		for _, err := range testkit.Together(writers, func(i int) error {
			for _, c := range plans[i] {
				if _, err := c.run(tb, s); err != nil {
					return err
				}
			}
			return nil
		}) {
			require.NoError(tb, err)
		}
		// Seconds may grow without an event: the last change of each video is one that is announced.
		last := testkit.NewUser()
		for _, video := range videos {
			_, err := command{user: last, favorite: &services.FavoriteCommand{UserID: last, VideoID: video, Type: models.Like, Active: true}}.run(tb, s)
			require.NoError(tb, err)
		}

		all := snapshots(tb, s, append(users, last))
		known, newest := map[string]map[int64]counters{}, map[string]int64{}
		for _, e := range all {
			if known[e.video] == nil {
				known[e.video] = map[int64]counters{}
			}
			if before, found := known[e.video][e.version]; found {
				require.Equal(tb, before, e.counters, "one version, one set of counters")
			}
			known[e.video][e.version] = e.counters
			if e.moved {
				require.GreaterOrEqual(tb, e.version, newest[e.video], "a later change has no smaller version; those of one transaction share theirs")
				newest[e.video] = e.version
			}
		}
		for range 5 {
			kept := keepGreatest(all, uint64(d(1<<30)))
			for _, video := range videos {
				now := viewing{s, last, video}.stats(tb)
				require.Equal(tb, counters{now.Version, now.LikeCount, now.BookmarkCount, now.UniqueWatchers, now.TotalWatchSeconds}, kept[video.String()])
			}
		}
	})
}

// Events of one transaction about one video tell the same counters, those after all of it.
func TestS78_EventsOfOneTransactionShareASnapshot(t *testing.T) {
	t.Parallel()
	s, users, video := newCinema(t), newUsers(5), testkit.NewVideo()
	cmds := make([]services.FavoriteCommand, len(users))
	for i, user := range users {
		cmds[i] = services.FavoriteCommand{UserID: user, VideoID: video, Type: models.Like, Active: true}
	}
	_, err := s.Engagements.Apply(t.Context(), models.ServiceActor, cmds)
	require.NoError(t, err)
	all := snapshots(t, s, users)
	require.Len(t, all, len(users))
	for _, e := range all {
		require.Equal(t, counters{version: 1, likes: int64(len(users))}, e.counters)
	}
}

// A report that moves no counter tells the current ones.
func TestS78_UnmovedCountersKeepTheirVersion(t *testing.T) {
	t.Parallel()
	v := newViewing(newCinema(t))
	v.report(t, ratio(0.2), total(10))
	v.report(t, ratio(0.4), total(10))
	all := snapshots(t, v.s, []models.UserID{v.user})
	require.Len(t, all, 2)
	require.Equal(t, counters{version: 1, watchers: 1, seconds: 10}, all[0].counters)
	require.Equal(t, all[0].counters, all[1].counters)
}

// A change tells counters that no other can have moved meanwhile, also when its transaction leaves them where they were.
func TestS78_ChangesThatCancelOutMoveTheVersion(t *testing.T) {
	t.Parallel()
	s, users, video := newCinema(t), newUsers(2), testkit.NewVideo()
	like := func(user models.UserID, active bool) services.FavoriteCommand {
		return services.FavoriteCommand{UserID: user, VideoID: video, Type: models.Like, Active: active}
	}
	_, err := s.Engagements.Apply(t.Context(), models.ServiceActor, []services.FavoriteCommand{like(users[0], true)})
	require.NoError(t, err)
	_, err = s.Engagements.Apply(t.Context(), models.ServiceActor, []services.FavoriteCommand{like(users[0], false), like(users[1], true)})
	require.NoError(t, err)
	all := snapshots(t, s, users)
	require.Len(t, all, 3)
	require.Equal(t, counters{version: 1, likes: 1}, all[0].counters)
	require.Equal(t, counters{version: 2, likes: 1}, all[1].counters)
	require.Equal(t, all[1].counters, all[2].counters)
}
