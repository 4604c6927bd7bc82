package repositories_test

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
)

func favorites(t testing.TB, s schema, q po.FavoriteQuery) []po.Favorite {
	t.Helper()
	return read(t, s, func(ctx context.Context, tx *repositories.Tx) ([][]po.Favorite, error) {
		return tx.Engagements.ListByUser(ctx, []po.FavoriteQuery{q})
	})[0]
}

func countFavorites(t testing.TB, s schema, q po.FavoriteQuery) int64 {
	t.Helper()
	return read(t, s, func(ctx context.Context, tx *repositories.Tx) (int64, error) {
		return tx.Engagements.CountByUser(ctx, q)
	})
}

// pages walks a list to its end; every page but the last is full.
func pages(t testing.TB, s schema, q po.FavoriteQuery) (keys []po.FavoriteKey) {
	t.Helper()
	for {
		page := favorites(t, s, q)
		for _, f := range page {
			keys = append(keys, f.Key())
		}
		if len(page) < q.Limit {
			return keys
		}
		require.Len(t, page, q.Limit)
		last := page[len(page)-1].Key()
		q.Before = &last
	}
}

// newestFirst is the order of S50.
func newestFirst(a, b po.FavoriteKey) int {
	return -cmp.Or(a.EngagedAt.Compare(b.EngagedAt), strings.Compare(a.VideoID.String(), b.VideoID.String()),
		strings.Compare(string(a.Type), string(b.Type)))
}

func TestS50_PagesGiveEveryRowOnceInATotalOrder(t *testing.T) {
	t.Parallel()
	s := open(t)
	var cmds []po.FavoriteCommand
	for n := range byte(7) {
		at := after(int(n) / 3) // ties in time, within and across videos
		cmds = append(cmds, adding(user(1), video(n), at), bookmarking(user(1), video(n), at), adding(user(2), video(n), at))
	}
	favor(t, s, cmds...)
	favor(t, s, removing(user(1), video(6), after(90)))
	for name, tc := range map[string]struct {
		kind models.FavoriteType
		want int
	}{"both": {"", 13}, "likes": {models.Like, 6}, "bookmarks": {models.Bookmark, 7}} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1, 2, 3, 5, 50} {
				q := po.FavoriteQuery{UserID: user(1), Type: tc.kind, Limit: size}
				keys := pages(t, s, q)
				require.Len(t, keys, tc.want)
				require.True(t, slices.IsSortedFunc(keys, newestFirst))
				require.Len(t, distinctKeys(keys), tc.want)
				require.Equal(t, int64(tc.want), countFavorites(t, s, q))
			}
		})
	}
	require.Empty(t, favorites(t, s, po.FavoriteQuery{UserID: newUser(), Limit: 5}), "an unknown user has nothing (S55)")
}

func distinctKeys(keys []po.FavoriteKey) map[po.FavoriteKey]bool {
	set := map[po.FavoriteKey]bool{}
	for _, k := range keys {
		set[k] = true
	}
	return set
}

// An offset would skip or repeat when rows above it come and go.
func TestP12_WritesBetweenPagesNeitherSkipNorRepeatUnchangedRows(t *testing.T) {
	t.Parallel()
	s := open(t)
	for n := range byte(6) {
		favor(t, s, adding(user(1), video(n), after(int(n))))
	}
	q := po.FavoriteQuery{UserID: user(1), Limit: 2}
	first := favorites(t, s, q)
	require.Equal(t, []models.VideoID{video(5), video(4)}, []models.VideoID{first[0].VideoID, first[1].VideoID})
	favor(t, s, adding(user(1), video(100), after(100)), adding(user(1), video(101), after(101)), removing(user(1), video(5), after(100)),
		removing(user(1), video(4), after(100)))
	last := first[1].Key()
	q.Before = &last
	var rest []models.VideoID
	for _, k := range pages(t, s, q) {
		rest = append(rest, k.VideoID)
	}
	require.Equal(t, []models.VideoID{video(3), video(2), video(1), video(0)}, rest)
}

func TestP13_ReAddedFavoriteMovesToTheTop(t *testing.T) {
	t.Parallel()
	s := open(t)
	favor(t, s, adding(user(1), video(1), after(1)), adding(user(1), video(2), after(2)))
	favor(t, s, removing(user(1), video(1), after(3)), adding(user(1), video(1), after(4)))
	list := favorites(t, s, po.FavoriteQuery{UserID: user(1), Limit: 5})
	require.Equal(t, []models.VideoID{video(1), video(2)}, []models.VideoID{list[0].VideoID, list[1].VideoID})
	require.Equal(t, after(4), list[0].EngagedAt)
}

func TestS51_CountsOmitWhatTheCallerMayNotSee(t *testing.T) {
	t.Parallel()
	s := open(t)
	state := func(n byte, status, visibility string, uploader models.UserID) {
		catalog(t, s, video(n), func(c *po.VideoChange) {
			c.Status, c.VisibilityStatus, c.UploaderID = ptr(status), ptr(visibility), ptr(uploader)
		})
	}
	state(1, "ready", "public", user(9))
	state(2, "ready", "private", user(9))
	state(3, "ready", "private", user(1))
	state(4, "processing", "public", user(9))
	state(5, "processing", "public", user(1))
	state(6, "deleted", "public", user(1))
	for n := byte(1); n <= 7; n++ { // 7 is unknown
		favor(t, s, adding(user(1), video(n), after(int(n))))
	}
	for _, kind := range []models.FavoriteType{"", models.Like} {
		q := po.FavoriteQuery{UserID: user(1), Type: kind}
		require.Equal(t, int64(4), countFavorites(t, s, q))
		q.IncludeUnavailable = true
		require.Equal(t, int64(7), countFavorites(t, s, q))
	}
}

func TestM97_ListedVideosCarryMetadataAndCounters(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.stopClock(t, noon)
	catalog(t, s, video(1), func(c *po.VideoChange) {
		c.UploaderID, c.Description, c.DurationMicros = ptr(user(9)), ptr("d"), ptr(int64(60_000_000))
		c.ThumbnailURL, c.HLSMasterPlaylist, c.PublishedAt = ptr("th"), ptr("hls"), ptr(after(-5))
	})
	moveVideos(t, s, po.StatsDelta{VideoID: video(1), Likes: 1, Seconds: 7}, po.StatsDelta{VideoID: video(2), Bookmarks: 1})
	listed := read(t, s, func(ctx context.Context, tx *repositories.Tx) (map[models.VideoID]po.ListedVideo, error) {
		return tx.Videos.Listed(ctx, []models.VideoID{video(1), video(2), video(3)})
	})
	require.Equal(t, map[models.VideoID]po.ListedVideo{
		video(1): {Availability: models.Available, Stats: po.VideoStats{LikeCount: 1, TotalWatchSeconds: 7, Version: 1, UpdatedAt: noon}, Video: &po.Video{
			VideoID: video(1), UploaderID: ptr(user(9)), Title: ptr("t"), Description: ptr("d"), DurationMicros: ptr(int64(60_000_000)),
			ThumbnailURL: ptr("th"), HLSMasterPlaylist: ptr("hls"), Status: ptr("ready"), VisibilityStatus: ptr("public"),
			PublishedAt: ptr(after(-5)), Version: 1, UpdatedAt: noon, Availability: models.Available,
		}},
		video(2): {Availability: models.Unknown, Stats: po.VideoStats{BookmarkCount: 1, Version: 1, UpdatedAt: noon}},
		video(3): {Availability: models.Unknown},
	}, listed)
}

func TestS18_BatchAnswersInOrderAndLengthOfTheIDs(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.stopClock(t, noon)
	favor(t, s, adding(user(1), video(1), after(1)), bookmarking(user(1), video(1), after(2)), adding(user(1), video(2), after(3)),
		removing(user(1), video(2), after(4)), adding(user(2), video(3), after(5)))
	moveVideos(t, s, po.StatsDelta{VideoID: video(3), Likes: 1})
	get := func(ids ...models.VideoID) []po.FavoriteState {
		return read(t, s, func(ctx context.Context, tx *repositories.Tx) ([]po.FavoriteState, error) {
			return tx.Engagements.BatchGet(ctx, user(1), ids)
		})
	}
	liked := po.FavoriteState{VideoID: video(1), LikedAt: ptr(after(1)), BookmarkedAt: ptr(after(2))}
	others := po.FavoriteState{VideoID: video(3), Stats: po.VideoStats{LikeCount: 1, Version: 1, UpdatedAt: noon}}
	require.Empty(t, get())
	require.Equal(t, []po.FavoriteState{others, liked, {VideoID: video(2)}, {VideoID: video(8)}, liked},
		get(video(3), video(1), video(2), video(8), video(1)))
}

func TestM97_TimesKeepMicroseconds(t *testing.T) {
	t.Parallel()
	s := open(t)
	at := noon.Add(123_456 * time.Microsecond)
	favor(t, s, adding(user(1), video(1), at))
	require.Equal(t, at, favorites(t, s, po.FavoriteQuery{UserID: user(1), Limit: 1})[0].EngagedAt)
}

// A page may end between the like and the bookmark of one video, whatever its id.
func TestS50_PagesMayEndBetweenTheKindsOfAVideo(t *testing.T) {
	t.Parallel()
	s := open(t)
	ids := []models.VideoID{models.VideoID(uuid.Max), {14: 1, 15: 0xff}, {15: 0xff}, {14: 1}, {15: 1}}
	var want []po.FavoriteKey
	for _, id := range ids {
		favor(t, s, adding(user(1), id, after(1)), bookmarking(user(1), id, after(1)))
		want = append(want, po.FavoriteKey{EngagedAt: after(1), VideoID: id, Type: models.Like}, po.FavoriteKey{EngagedAt: after(1), VideoID: id, Type: models.Bookmark})
	}
	slices.SortFunc(want, newestFirst)
	for size := 1; size <= len(want)+1; size++ {
		require.Equal(t, want, pages(t, s, po.FavoriteQuery{UserID: user(1), Limit: size}), size)
	}
}

// Lists that are read together are each their own.
func TestS50_ListsReadTogetherAreWhatTheyAreAlone(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.stopClock(t, after(100))
	for u := range byte(3) {
		for n := range 4 * (u + 1) {
			favor(t, s, adding(user(u), video(n), after(int(n))), bookmarking(user(u), video(n), after(int(n))))
			l := watchLog(user(u), video(n))
			l.LastWatchedAt = after(int(n))
			storeLogs(t, s, l)
		}
	}
	var likes []po.FavoriteQuery
	var watches []po.WatchQuery
	for _, u := range []models.UserID{user(2), user(0), newUser(), user(1), user(2)} {
		for limit := range 7 {
			key := po.FavoriteKey{EngagedAt: after(limit), VideoID: video(byte(limit)), Type: models.Like}
			likes = append(likes, po.FavoriteQuery{UserID: u, Limit: limit + 1}, po.FavoriteQuery{UserID: u, Type: models.Bookmark, Before: &key, Limit: 3})
			watches = append(watches, po.WatchQuery{UserID: u, Limit: limit + 1},
				po.WatchQuery{UserID: u, Before: &po.WatchKey{LastWatchedAt: key.EngagedAt, VideoID: key.VideoID}, WatchedAfter: ptr(after(1)), Limit: 3})
		}
	}
	together := read(t, s, func(ctx context.Context, tx *repositories.Tx) ([][]po.Favorite, error) {
		return tx.Engagements.ListByUser(ctx, likes)
	})
	for i, q := range likes {
		require.Equal(t, favorites(t, s, q), together[i])
		require.LessOrEqual(t, len(together[i]), q.Limit)
	}
	histories := read(t, s, func(ctx context.Context, tx *repositories.Tx) ([][]po.WatchLog, error) {
		return tx.WatchLogs.ListRecent(ctx, watches)
	})
	for i, q := range watches {
		require.Equal(t, history(t, s, q), histories[i])
	}
}
