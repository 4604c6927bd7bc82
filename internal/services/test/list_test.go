package test

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/test/testkit"
)

// list is either of the two lists.
type list struct {
	name string
	// page fetches one page; entries are named uniquely within the list.
	page func(f fan, size int32, token string) (entries []string, next string, err error)
	seed func(f fan, n int, newest time.Time) []models.VideoID
	// entry is how page names a seeded video.
	entry func(video models.VideoID) string
}

var lists = []list{
	{
		"favorites",
		func(f fan, size int32, token string) (entries []string, next string, err error) {
			resp, err := f.client.ListFavorites(f.t.Context(), &profilev1.ListFavoritesRequest{UserId: f.user.String(), PageSize: size, PageToken: token})
			for _, item := range resp.GetFavorites() {
				entries = append(entries, item.GetFavoriteType().String()+" "+item.GetVideoId())
			}
			return entries, resp.GetNextPageToken(), err
		},
		fan.seedLikes,
		func(video models.VideoID) string { return likeType.String() + " " + video.String() },
	},
	{
		"watch history",
		func(f fan, size int32, token string) ([]string, string, error) {
			resp, err := f.client.ListWatchHistory(f.t.Context(), &profilev1.ListWatchHistoryRequest{UserId: f.user.String(), PageSize: size, PageToken: token})
			return historyIDs(resp), resp.GetNextPageToken(), err
		},
		fan.seedHistory,
		models.VideoID.String,
	},
}

// eachList runs a test on both lists, with a service for all.
func eachList(t *testing.T, test func(t *testing.T, f fan, l list)) {
	s := testkit.New(t)
	for _, l := range lists {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			test(t, newFan(t, s), l)
		})
	}
}

func (l list) mustPage(f fan, size int32, token string) (entries []string, next string) {
	f.t.Helper()
	entries, next, err := l.page(f, size, token)
	require.NoError(f.t, err)
	return entries, next
}

// walk reads all pages.
func (l list) walk(f fan, size int32) []string {
	f.t.Helper()
	return l.walkBetween(f, size, func() {})
}

// walkBetween reads all pages and calls between before each but the first.
func (l list) walkBetween(f fan, size int32, between func()) []string {
	f.t.Helper()
	entries, token := l.mustPage(f, size, "")
	for token != "" {
		between()
		var more []string
		more, token = l.mustPage(f, size, token)
		entries = append(entries, more...)
	}
	return entries
}

func TestS50_FavoritesAreOrderedTotally(t *testing.T) {
	t.Parallel()
	f := newFan(t, testkit.New(t))
	now := f.s.Clock.Now()
	newer, videos := testkit.NewVideo(), descending(newVideos(3))
	older := testkit.NewVideo()
	f.add(likeType, older, now.Add(-2*time.Hour))
	for _, video := range []models.VideoID{videos[1], videos[2], videos[0]} {
		f.add(bookmarkType, video, now.Add(-time.Hour))
		f.add(likeType, video, now.Add(-time.Hour))
	}
	f.add(bookmarkType, newer, now)
	want := []string{bookmarkType.String() + " " + newer.String()}
	for _, video := range videos {
		want = append(want, likeType.String()+" "+video.String(), bookmarkType.String()+" "+video.String())
	}
	want = append(want, likeType.String()+" "+older.String())
	for _, size := range []int32{1, 3, 100} {
		require.Equal(t, want, lists[0].walk(f, size), size)
	}
}

func TestS50_HistoryIsOrderedTotally(t *testing.T) {
	t.Parallel()
	f := newFan(t, testkit.New(t))
	now := f.s.Clock.Now()
	videos := descending(newVideos(4))
	for _, i := range []int{2, 0, 1} {
		require.NoError(t, f.watch(videos[i], 0.5, now.Add(-time.Hour)))
	}
	require.NoError(t, f.watch(videos[3], 0.5, now.Add(-time.Minute)))
	want := texts([]models.VideoID{videos[3], videos[0], videos[1], videos[2]})
	for _, size := range []int32{1, 3, 100} {
		require.Equal(t, want, lists[1].walk(f, size), size)
	}
}

func TestS52_PageSizes(t *testing.T) {
	t.Parallel()
	eachList(t, func(t *testing.T, f fan, l list) {
		l.seed(f, 105, f.s.Clock.Now().Add(-time.Hour))
		for size, want := range map[int32]int{0: 20, 1: 1, 99: 99, 100: 100, 101: 100, 1<<31 - 1: 100} {
			entries, next := l.mustPage(f, size, "")
			require.Len(t, entries, want, size)
			require.NotEmpty(t, next)
		}
		_, _, err := l.page(f, -1, "")
		require.Equal(t, []string{"page_size"}, testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonInvalidArgument).Fields())
	})
}

func TestS52_TheLastPageHasNoToken(t *testing.T) {
	t.Parallel()
	eachList(t, func(t *testing.T, f fan, l list) {
		l.seed(f, 10, f.s.Clock.Now().Add(-time.Hour))
		first, next := l.mustPage(f, 5, "")
		require.Len(t, first, 5)
		last, end := l.mustPage(f, 5, next)
		require.Len(t, last, 5, "a full page can be the last")
		require.Empty(t, end)
	})
}

func TestS52_TheTotalIsCountedOnlyWhenAskedFor(t *testing.T) {
	t.Parallel()
	f := newFan(t, testkit.New(t))
	f.seedLikes(5, f.s.Clock.Now().Add(-time.Hour))
	f.add(bookmarkType, testkit.NewVideo())
	hidden := testkit.NewVideo()
	f.add(likeType, hidden)
	f.s.Publish(t, hidden, videoIn("deleted", "public", 1))
	total := func(kind profilev1.FavoriteType, unavailable bool) int64 {
		resp := f.favorites(func(r *profilev1.ListFavoritesRequest) {
			r.WithCount, r.PageSize, r.FavoriteType, r.IncludeUnavailable = true, 2, kind, unavailable
		})
		require.NotNil(t, resp.TotalCount)
		return resp.GetTotalCount()
	}
	require.Nil(t, f.favorites().TotalCount)
	require.Equal(t, int64(6), total(profilev1.FavoriteType_FAVORITE_TYPE_UNSPECIFIED, false))
	require.Equal(t, int64(7), total(profilev1.FavoriteType_FAVORITE_TYPE_UNSPECIFIED, true))
	require.Equal(t, int64(5), total(likeType, false))
	require.Equal(t, int64(1), total(bookmarkType, false))
}

func TestS53_FavoritesFilterByType(t *testing.T) {
	t.Parallel()
	f := newFan(t, testkit.New(t))
	liked, saved := testkit.NewVideo(), testkit.NewVideo()
	f.add(likeType, liked)
	f.add(bookmarkType, saved)
	f.add(bookmarkType, liked)
	of := func(kind profilev1.FavoriteType) []string {
		return favoriteIDs(f.favorites(func(r *profilev1.ListFavoritesRequest) { r.FavoriteType = kind }))
	}
	require.Equal(t, []string{liked.String()}, of(likeType))
	require.Equal(t, []string{liked.String(), saved.String()}, of(bookmarkType))
	_, err := f.client.ListFavorites(t.Context(), &profilev1.ListFavoritesRequest{FavoriteType: 99})
	testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonInvalidArgument)
}

func TestS53_HistoryFilters(t *testing.T) {
	t.Parallel()
	f := newFan(t, testkit.New(t))
	noon := f.s.Clock.Now().Add(-24 * time.Hour)
	finished, begun, fresh := testkit.NewVideo(), testkit.NewVideo(), testkit.NewVideo()
	require.NoError(t, f.watch(finished, 0.99, noon.Add(-time.Hour)))
	require.NoError(t, f.watch(begun, 0.3, noon))
	require.NoError(t, f.watch(fresh, 0.3, noon.Add(time.Hour)))
	for name, c := range map[string]struct {
		filter *profilev1.WatchHistoryFilter
		want   []models.VideoID
	}{
		"None":                {nil, []models.VideoID{fresh, begun, finished}},
		"Completed":           {&profilev1.WatchHistoryFilter{Completion: profilev1.CompletionState_COMPLETION_STATE_COMPLETED}, []models.VideoID{finished}},
		"InProgress":          {&profilev1.WatchHistoryFilter{Completion: profilev1.CompletionState_COMPLETION_STATE_IN_PROGRESS}, []models.VideoID{fresh, begun}},
		"AfterIsInclusive":    {&profilev1.WatchHistoryFilter{WatchedAfter: timestamppb.New(noon)}, []models.VideoID{fresh, begun}},
		"BeforeIsExclusive":   {&profilev1.WatchHistoryFilter{WatchedBefore: timestamppb.New(noon)}, []models.VideoID{finished}},
		"RangeOfOneInstant":   {&profilev1.WatchHistoryFilter{WatchedAfter: timestamppb.New(noon), WatchedBefore: timestamppb.New(noon.Add(time.Microsecond))}, []models.VideoID{begun}},
		"BeforeIsRoundedUp":   {&profilev1.WatchHistoryFilter{WatchedBefore: timestamppb.New(noon.Add(time.Nanosecond))}, []models.VideoID{begun, finished}},
		"JustBeforeIsBefore":  {&profilev1.WatchHistoryFilter{WatchedBefore: timestamppb.New(noon.Add(-time.Nanosecond))}, []models.VideoID{finished}},
		"AfterIsRoundedUp":    {&profilev1.WatchHistoryFilter{WatchedAfter: timestamppb.New(noon.Add(time.Nanosecond))}, []models.VideoID{fresh}},
		"JustBeforeIsAfter":   {&profilev1.WatchHistoryFilter{WatchedAfter: timestamppb.New(noon.Add(-time.Nanosecond))}, []models.VideoID{fresh, begun}},
		"EmptyRange":          {&profilev1.WatchHistoryFilter{WatchedAfter: timestamppb.New(noon), WatchedBefore: timestamppb.New(noon)}, nil},
		"CombinationIsAnAnd":  {&profilev1.WatchHistoryFilter{Completion: profilev1.CompletionState_COMPLETION_STATE_COMPLETED, WatchedAfter: timestamppb.New(noon)}, nil},
		"AnEmptyFilterIsNone": {&profilev1.WatchHistoryFilter{}, []models.VideoID{fresh, begun, finished}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, texts(c.want), historyIDs(f.history(func(r *profilev1.ListWatchHistoryRequest) { r.Filter = c.filter })))
		})
	}
}

func TestS53_AFilterCannotChangeUnderAToken(t *testing.T) {
	t.Parallel()
	f := newFan(t, testkit.New(t))
	now := f.s.Clock.Now()
	f.seedLikes(4, now.Add(-time.Hour))
	f.seedHistory(4, now.Add(-time.Hour))
	favorites := f.favorites(func(r *profilev1.ListFavoritesRequest) { r.PageSize = 2 }).GetNextPageToken()
	history := f.history(func(r *profilev1.ListWatchHistoryRequest) { r.PageSize = 2 }).GetNextPageToken()
	for name, request := range map[string]func() error{
		"type": func() error {
			return f.listFavorites(&profilev1.ListFavoritesRequest{FavoriteType: likeType, PageToken: favorites})
		},
		"availability": func() error {
			return f.listFavorites(&profilev1.ListFavoritesRequest{IncludeUnavailable: true, PageToken: favorites})
		},
		"completion": func() error {
			return f.listHistory(history, &profilev1.WatchHistoryFilter{Completion: profilev1.CompletionState_COMPLETION_STATE_IN_PROGRESS})
		},
		"after": func() error {
			return f.listHistory(history, &profilev1.WatchHistoryFilter{WatchedAfter: timestamppb.New(now)})
		},
		"before": func() error {
			return f.listHistory(history, &profilev1.WatchHistoryFilter{WatchedBefore: timestamppb.New(now)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testkit.RequireError(t, request(), codes.InvalidArgument, models.ReasonInvalidPageToken)
		})
	}
	require.NoError(t, f.listFavorites(&profilev1.ListFavoritesRequest{PageToken: favorites, WithCount: true, PageSize: 3}), "neither selects rows")
}

func (f fan) listFavorites(req *profilev1.ListFavoritesRequest) error {
	_, err := f.client.ListFavorites(f.t.Context(), req)
	return err
}

func (f fan) listHistory(token string, filter *profilev1.WatchHistoryFilter) error {
	_, err := f.client.ListWatchHistory(f.t.Context(), &profilev1.ListWatchHistoryRequest{PageToken: token, Filter: filter})
	return err
}

func TestS54_ForeignAndAlteredTokensAreRefused(t *testing.T) {
	t.Parallel()
	eachList(t, func(t *testing.T, f fan, l list) {
		l.seed(f, 4, f.s.Clock.Now().Add(-time.Hour))
		_, token := l.mustPage(f, 2, "")
		requireRefused := func(by fan, l list, token string) {
			t.Helper()
			_, _, err := l.page(by, 2, token)
			details := testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonInvalidPageToken)
			require.Equal(t, []string{"page_token"}, details.Fields())
		}
		requireRefused(newFan(t, f.s), l, token)
		requireRefused(f, lists[1-slices.IndexFunc(lists, func(o list) bool { return o.name == l.name })], token)
		for _, malformed := range []string{"2", "!", token + "A", token[:len(token)-1], token + "=", " " + token, strings.ToUpper(token)} {
			requireRefused(f, l, malformed)
		}
		raw, err := base64.RawURLEncoding.DecodeString(token)
		require.NoError(t, err)
		for i := range raw {
			altered := slices.Clone(raw)
			altered[i] ^= 1
			requireRefused(f, l, base64.RawURLEncoding.EncodeToString(altered))
		}
	})
}

func TestS54_TokensSurviveARestartAndAKeyRotation(t *testing.T) {
	t.Parallel()
	before := testkit.New(t)
	old := ""
	rotated := testkit.NewOn(t, before.DB, func(c *confpb.Bootstrap) {
		old = c.GetCursor().GetKeys()[0]
		c.Cursor.Keys = []string{"a-newer-cursor-key-0002", old}
	})
	finished := testkit.NewOn(t, before.DB, func(c *confpb.Bootstrap) { c.Cursor.Keys = []string{"a-newer-cursor-key-0002"} })
	f, l := newFan(t, before), lists[0]
	l.seed(f, 6, before.Clock.Now().Add(-time.Hour))
	_, token := l.mustPage(f, 2, "")
	want, _ := l.mustPage(f, 2, token)

	got, next := l.mustPage(f.on(rotated), 2, token)
	require.Equal(t, want, got)
	l.mustPage(f.on(finished), 2, next)
	_, _, err := l.page(f.on(finished), 2, token)
	testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonInvalidPageToken)
}

func TestS54_PageSizeMayChangeBetweenPages(t *testing.T) {
	t.Parallel()
	eachList(t, func(t *testing.T, f fan, l list) {
		l.seed(f, 25, f.s.Clock.Now().Add(-time.Hour))
		want := l.walk(f, 100)
		var got []string
		token := ""
		for _, size := range []int32{1, 7, 2, 100} {
			var entries []string
			entries, token = l.mustPage(f, size, token)
			got = append(got, entries...)
		}
		require.Equal(t, want, got)
		require.Empty(t, token)
	})
}

// writer changes a fan's list while it is read: new rows, rows that move to the top, rows that go.
type writer struct {
	f       fan
	touched []models.VideoID
}

// step makes change i.
func (w writer) step(l list, i int) error {
	video := w.touched[i/3%len(w.touched)]
	if l.name == "favorites" {
		actions := []func() error{
			func() error { _, err := w.f.try(addAction, likeType, testkit.NewVideo()); return err },
			func() error { _, err := w.f.try(removeAction, likeType, video); return err },
			func() error { _, err := w.f.try(addAction, likeType, w.touched[i%len(w.touched)]); return err },
		}
		return actions[i%3]()
	}
	switch i % 3 {
	case 0:
		return w.f.watch(testkit.NewVideo(), 0.5)
	case 1:
		return w.f.watch(video, 0.6)
	default:
		_, err := w.f.s.DB.Owner.Exec(w.f.t.Context(), "DELETE FROM profile.watch_logs WHERE (user_id, video_id) = ($1, $2)",
			uuid.UUID(w.f.user), uuid.UUID(w.touched[(i/3+7)%len(w.touched)]))
		return err
	}
}

// until writes until done is closed and returns how many changes it made. It
// tells changed of them, and closes it at the end.
func (w writer) until(done <-chan struct{}, changed chan<- struct{}, l list) (changes int, err error) {
	defer close(changed)
	for err == nil {
		select {
		case <-done:
			return changes, nil
		default:
			err = w.step(l, changes)
			changes++
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}
	return changes, err
}

func TestS54_PagesNeverRepeatOrSkipWhileOthersWrite(t *testing.T) {
	t.Parallel()
	const rows, pageSize = 1000, 7
	eachList(t, func(t *testing.T, f fan, l list) {
		var touched, unchanged []models.VideoID
		for i, video := range l.seed(f, rows, f.s.Clock.Now().Add(-time.Hour)) {
			if i%4 == 0 {
				touched = append(touched, video)
			} else {
				unchanged = append(unchanged, video)
			}
		}
		want := l.walk(f, 100)
		require.Len(t, want, rows)
		done, changed := make(chan struct{}), make(chan struct{}, 1)
		changes := 0
		writing := testkit.Later(func() (err error) {
			changes, err = writer{f, touched}.until(done, changed, l)
			return err
		})

		got := l.walkBetween(f, pageSize, func() { <-changed })

		close(done)
		require.NoError(t, <-writing)
		require.Greater(t, changes, rows/pageSize/10, "the list was written to while it was read")
		seen := map[string]int{}
		for _, entry := range got {
			seen[entry]++
			require.Equal(t, 1, seen[entry], "%s appears again", entry)
		}
		for _, video := range unchanged {
			require.Equal(t, 1, seen[l.entry(video)], "%s was skipped", video)
		}
	})
}

func TestS55_AServiceSeesEmptyListsOfAnUnknownUser(t *testing.T) {
	t.Parallel()
	eachList(t, func(t *testing.T, f fan, l list) {
		nobody := fan{t, f.s, testkit.NewUser(), f.s.AsService("reader")}
		entries, next := l.mustPage(nobody, 0, "")
		require.Empty(t, entries)
		require.Empty(t, next)
		l.seed(f, 1, f.s.Clock.Now().Add(-time.Hour))
		somebody := fan{t, f.s, f.user, nobody.client}
		entries, _ = l.mustPage(somebody, 0, "")
		require.Len(t, entries, 1, "the same call for a user with rows")
	})
}

// P12: the earlier service paged by offset under a bare integer token.
func TestP12_PagingIsByKeyNotByOffset(t *testing.T) {
	t.Parallel()
	eachList(t, func(t *testing.T, f fan, l list) {
		videos := l.seed(f, 10, f.s.Clock.Now().Add(-time.Hour))
		want := l.walk(f, 100)
		first, token := l.mustPage(f, 5, "")
		if l.name == "favorites" {
			f.add(likeType, testkit.NewVideo())
			f.remove(likeType, videos[slices.IndexFunc(videos, func(v models.VideoID) bool { return l.entry(v) == first[2] })])
			f.remove(likeType, videos[slices.IndexFunc(videos, func(v models.VideoID) bool { return l.entry(v) == first[3] })])
		} else {
			require.NoError(t, f.watch(testkit.NewVideo(), 0.5))
		}
		second, _ := l.mustPage(f, 5, token)
		require.Equal(t, want[5:], second)
		_, _, err := l.page(f, 5, "5")
		testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonInvalidPageToken)
	})
}

// P13: the earlier service left a re-added favourite in its old place and never said when it was added.
func TestP13_AReaddedFavoriteMovesToTheTop(t *testing.T) {
	t.Parallel()
	f := newFan(t, testkit.New(t))
	start := testkit.At(t, "2026-03-01T10:00:00Z")
	f.s.Clock.Set(start)
	first, second := testkit.NewVideo(), testkit.NewVideo()
	for _, video := range []models.VideoID{first, second} {
		f.add(likeType, video)
		f.add(bookmarkType, video)
		f.s.Clock.Advance(time.Minute)
	}
	f.remove(likeType, first)
	f.s.Clock.Advance(time.Minute)

	again := f.add(likeType, first)

	require.Equal(t, start.Add(3*time.Minute), again.GetState().GetLikedAt().AsTime())
	require.Equal(t, start, again.GetState().GetBookmarkedAt().AsTime())
	top := f.favorites().GetFavorites()[0]
	require.Equal(t, first.String(), top.GetVideoId())
	require.Equal(t, likeType, top.GetFavoriteType())
	require.Equal(t, start.Add(3*time.Minute), top.GetCreatedAt().AsTime())
	require.Equal(t, start.Add(3*time.Minute), top.GetState().GetLikedAt().AsTime())
}
