package test

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/services"
	"github.com/lingo-services/profile/test/testkit"
)

const (
	planPageSize = 10
	planPages    = 100
)

// crowd fills the lists: 1,100 likes, bookmarks and watched videos of the user among ten times as many of
// others of the same days, in a catalogue of 10,000 videos.
func crowd(t *testing.T, s *testkit.Service, user models.UserID) {
	t.Helper()
	s.DB.Exec(t, `INSERT INTO profile.video_stats (video_id, updated_at) SELECT md5('video ' || n)::uuid, now() FROM generate_series(1, 10000) n`)
	s.DB.Exec(t, `INSERT INTO profile.videos_projection (video_id, version, created_version, status, visibility_status, created_at, updated_at)
		SELECT video_id, 1, 1, 'published', 'public', now(), now() FROM profile.video_stats`)
	s.DB.Exec(t, `
		WITH people AS (SELECT $1::uuid AS user_id, 0 AS p, 1100 AS videos UNION ALL SELECT gen_random_uuid(), p, 100 FROM generate_series(1, 110) p),
		     pairs AS (SELECT user_id, md5('video ' || (n + p * 80))::uuid AS video_id, now() - n * interval '1100 minutes' / videos AS at
		               FROM people, generate_series(1, videos) n),
		     watched AS (
		         INSERT INTO profile.watch_logs (user_id, video_id, position_seconds, ratio_bp, resume_at, max_ratio_bp, qualified_at,
		                                         first_watched_at, last_watched_at, expires_at, created_at, updated_at)
		         SELECT user_id, video_id, 10, 5000, at, 5000, at, at, at, at + interval '180 days', at, at FROM pairs)
		INSERT INTO profile.engagements (user_id, video_id, engagement_type, engaged_at, state_at, created_at, updated_at)
		SELECT user_id, video_id, kind, at, at, at, at FROM pairs, unnest(ARRAY ['like', 'bookmark']) kind`, uuid.UUID(user))
	s.DB.Exec(t, "ANALYZE profile.engagements, profile.watch_logs, profile.video_stats, profile.videos_projection")
}

// A page's plan: the list's index in its order and nothing sorted, and no more rows read than shown.
func TestS50_ListsReadTheirPageFromTheIndexAlone(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	f := newFan(t, s)
	crowd(t, s, f.user)
	tr := newTraced(t, s)
	favorites := func(kind models.FavoriteType) func(*testing.T, string) string {
		return func(t *testing.T, token string) string { return tr.favoritesPage(t, f, kind, token) }
	}
	for _, c := range []struct {
		query, index, table string
		page                func(t *testing.T, token string) (next string)
	}{
		{"ListFavorites", "engagements_list_by_type_idx", "engagements", favorites("")},
		{"ListFavorites", "engagements_list_by_type_idx", "engagements", favorites(models.Like)},
		{"ListWatchHistory", "watch_logs_list_idx", "watch_logs", func(t *testing.T, token string) string { return tr.historyPage(t, f, token) }},
	} {
		t.Run(c.query, func(t *testing.T) {
			token := ""
			for range planPages {
				token = c.page(t, token)
				require.NotEmpty(t, token)
			}
			sent := slices.DeleteFunc(tr.take(), func(st statement) bool { return !strings.Contains(st.SQL, "-- name: "+c.query+" ") })
			require.Len(t, sent, planPages, "one statement per page, its videos apart")
			for _, page := range []int{1, planPages} {
				st := sent[page-1]
				for kind, plan := range map[string]string{"custom": s.DB.Explain(t, st.SQL, st.Args...), "generic": genericPlan(t, s.DB, st)} {
					t.Run(fmt.Sprintf("page %d, %s plan", page, kind), func(t *testing.T) { requirePagePlan(t, plan, c.index, c.table) })
				}
			}
		})
	}
}

func (tr *traced) favoritesPage(t *testing.T, f fan, kind models.FavoriteType, token string) string {
	t.Helper()
	page, err := tr.engagements.List(t.Context(), f.call(), services.FavoriteListQuery{Type: kind, Page: services.PageRequest{Size: planPageSize, Token: token}})
	require.NoError(t, err)
	require.Len(t, page.Items, planPageSize)
	return page.NextToken
}

func (tr *traced) historyPage(t *testing.T, f fan, token string) string {
	t.Helper()
	page, err := tr.watch.List(t.Context(), f.call(), services.WatchListQuery{Page: services.PageRequest{Size: planPageSize, Token: token}})
	require.NoError(t, err)
	require.Len(t, page.Items, planPageSize)
	return page.NextToken
}

// genericPlan is what a connection uses that has run the prepared statement several times.
func genericPlan(t *testing.T, db *testkit.Database, st statement) string {
	t.Helper()
	var lines []string
	err := db.Reading(t, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), "SET LOCAL plan_cache_mode = force_generic_plan"); err != nil {
			return err
		}
		if _, err := tx.Exec(t.Context(), "PREPARE page AS "+st.SQL, pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
		places := make([]string, len(st.Args))
		for i := range places {
			places[i] = "$" + strconv.Itoa(i+1)
		}
		tx.Conn().TypeMap().RegisterDefaultPgType([]uuid.UUID{}, "_uuid") // this protocol asks nobody what a parameter is
		sql := "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) EXECUTE page (" + strings.Join(places, ", ") + ")"
		rows, err := tx.Query(t.Context(), sql, append([]any{pgx.QueryExecModeSimpleProtocol}, st.Args...)...)
		if err != nil {
			return err
		}
		if lines, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			return err
		}
		_, err = tx.Exec(t.Context(), "DEALLOCATE page", pgx.QueryExecModeSimpleProtocol)
		return err
	})
	require.NoError(t, err)
	return strings.Join(lines, "\n")
}

var actualRows = regexp.MustCompile(`rows=(\d+)`)

func requirePagePlan(t *testing.T, plan, index, table string) {
	t.Helper()
	require.NotContains(t, plan, "Sort", plan)
	require.NotContains(t, plan, "Seq Scan on "+table, plan)
	require.NotContains(t, plan, "Bitmap Heap Scan on "+table, plan)
	require.NotContains(t, plan, "Rows Removed by", plan)
	parts := strings.Split(plan, " using "+index+" on "+table+" ")
	require.Len(t, parts, 2, plan)
	for _, after := range parts[1:] {
		found := actualRows.FindStringSubmatch(after)
		require.Len(t, found, 2, plan)
		read, err := strconv.Atoi(found[1])
		require.NoError(t, err)
		require.LessOrEqual(t, read, planPageSize+2, "a page reads itself, whether there is more, and a spare row\n%s", plan)
	}
}

func TestS18_BatchQueryKeepsOrderAndLength(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	f := newFan(t, s)
	liked, saved, others, untouched := testkit.NewVideo(), testkit.NewVideo(), testkit.NewVideo(), testkit.NewVideo()
	f.add(likeType, liked)
	f.add(bookmarkType, saved)
	newFan(t, s).add(likeType, others)
	ids := []models.VideoID{untouched, saved, liked, saved, others, liked}
	request := texts(ids)
	request[2] = strings.ToUpper(request[2])

	resp, err := f.client.BatchQueryFavorite(t.Context(), &profilev1.BatchQueryFavoriteRequest{VideoIds: request, IncludeStats: true})

	require.NoError(t, err)
	require.Len(t, resp.GetSummaries(), len(ids))
	for i, summary := range resp.GetSummaries() {
		id := ids[i]
		require.Equal(t, id.String(), summary.GetVideoId())
		require.Equal(t, id == liked, summary.GetState().GetHasLiked())
		require.Equal(t, id == saved, summary.GetState().GetHasBookmarked())
		require.Equal(t, id == liked || id == others, summary.GetStats().GetLikeCount() == 1)
		require.Equal(t, id == saved, summary.GetStats().GetBookmarkCount() == 1)
	}
	plainAnswer, err := f.client.BatchQueryFavorite(t.Context(), &profilev1.BatchQueryFavoriteRequest{VideoIds: request})
	require.NoError(t, err)
	for _, summary := range plainAnswer.GetSummaries() {
		require.Nil(t, summary.GetStats(), "stats only when asked for")
	}
}

func TestS18_BatchQueryLimits(t *testing.T) {
	t.Parallel()
	f := newFan(t, testkit.New(t))
	for n, ok := range map[int]bool{0: true, 1: true, 100: true, 101: false} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			t.Parallel()
			resp, err := f.client.BatchQueryFavorite(t.Context(), &profilev1.BatchQueryFavoriteRequest{VideoIds: texts(newVideos(n))})
			if ok {
				require.NoError(t, err)
				require.Len(t, resp.GetSummaries(), n)
				return
			}
			details := testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonInvalidArgument)
			require.Equal(t, []string{"video_ids"}, details.Fields())
		})
	}
}

func TestS18_BatchQueryIsOneRoundTrip(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	f := newFan(t, s)
	tr := newTraced(t, s)
	videos := f.seedLikes(100, s.Clock.Now())
	states, err := tr.engagements.BatchQuery(t.Context(), f.call(), videos)
	require.NoError(t, err)
	require.Len(t, states, 100)
	require.NotNil(t, states[99].LikedAt)
	require.Equal(t, 1, tr.roundTrips())
}

// P15: the earlier service took any number of ids and sent two queries for each.
func TestP15_StatementsDoNotGrowWithIDs(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	f := newFan(t, s)
	tr := newTraced(t, s)
	for _, n := range []int{1, 2, 50, 100} {
		_, err := tr.engagements.BatchQuery(t.Context(), f.call(), newVideos(n))
		require.NoError(t, err)
		require.Equal(t, 1, tr.roundTrips(), n)
		require.Len(t, tr.take(), 2, "states and counters, for %d", n)
	}
	_, err := f.client.BatchQueryFavorite(t.Context(), &profilev1.BatchQueryFavoriteRequest{VideoIds: texts(newVideos(1000))})
	testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonInvalidArgument)
}
