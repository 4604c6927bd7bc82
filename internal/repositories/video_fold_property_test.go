package repositories_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/test/testkit"
)

// catalogHistory draws what a catalog might say of one video: each version once, each field absent,
// cleared or set. Its order is that of versions.
func catalogHistory(r *rapid.T) []po.VideoChange {
	versions := rapid.SliceOfNDistinct(rapid.Int64Range(1, 20), 1, 7, rapid.ID[int64]).Draw(r, "versions")
	slices.Sort(versions)
	changes := make([]po.VideoChange, len(versions))
	for i, version := range versions {
		changes[i] = po.VideoChange{
			Kind: rapid.SampledFrom([]po.ChangeKind{po.VideoUpdated, po.VideoCreated, po.VideoDeleted}).Draw(r, "kind"), Version: version,
			UploaderID:        maybe(r, "uploader", models.UserID{}, user(1), user(2)),
			Title:             maybe(r, "title", "", "a", "b", "c"),
			Description:       maybe(r, "description", "", "d", "e"),
			DurationMicros:    maybe(r, "duration", int64(-1), 0, 1_000_000),
			ThumbnailURL:      maybe(r, "thumbnail", "", "f", "g"),
			HLSMasterPlaylist: maybe(r, "playlist", "", "h", "i"),
			Status:            maybe(r, "status", "", "ready", "processing", "deleted"),
			VisibilityStatus:  maybe(r, "visibility", "", "public", "private"),
			PublishedAt:       maybe(r, "published", time.Time{}, noon, after(1)),
		}
	}
	return changes
}

func maybe[T any](r *rapid.T, label string, values ...T) *T {
	return rapid.Ptr(rapid.SampledFrom(values), true).Draw(r, label)
}

// disturbed draws the history in some order, with some of it delivered again.
func disturbed(r *rapid.T, changes []po.VideoChange) []po.VideoChange {
	again := rapid.SliceOfN(rapid.SampledFrom(changes), 0, 4).Draw(r, "again")
	return rapid.Permutation(append(slices.Clone(changes), again...)).Draw(r, "delivered")
}

// foldTogether delivers every list of changes about a video of its own, size changes of each in one statement,
// and returns the videos' rows.
func foldTogether(t testing.TB, s schema, lists [][]po.VideoChange, size int) []string {
	t.Helper()
	ids, longest := make([]models.VideoID, len(lists)), 0
	for i, list := range lists {
		ids[i], longest = newVideo(), max(longest, len(list))
	}
	for from := 0; from < longest; from += size {
		var batch []po.VideoChange
		for i, list := range lists {
			batch = append(batch, about(ids[i], list[min(from, len(list)):min(from+size, len(list))])...)
		}
		fold(t, s, batch...)
	}
	return testkit.One[[]string](t, s.DB, `
		SELECT array_agg((to_jsonb(v) - 'video_id' - 'created_at' - 'updated_at')::text ORDER BY n)
		FROM unnest($1::uuid[]) WITH ORDINALITY AS asked (video_id, n) JOIN profile.videos_projection v USING (video_id)`, ids)
}

func about(id models.VideoID, changes []po.VideoChange) []po.VideoChange {
	changes = slices.Clone(changes)
	for i := range changes {
		changes[i].VideoID = id
	}
	return changes
}

// 25 histories in four orders each, times rapid's 100 checks: 10,000 permutations.
func TestS72_AnyOrderAndRepetitionEndsInTheSameRow(t *testing.T) {
	t.Parallel()
	s := open(t)
	const histories, orders = 25, 4
	rapid.Check(t, func(r *rapid.T) {
		var lists [][]po.VideoChange
		for range histories {
			history := catalogHistory(r)
			lists = append(lists, history)
			for range orders {
				lists = append(lists, disturbed(r, history))
			}
		}
		rows := foldTogether(t, s, lists, rapid.IntRange(1, 5).Draw(r, "size"))
		require.Len(r, rows, len(lists))
		for same := range slices.Chunk(rows, 1+orders) {
			for _, row := range same[1:] {
				require.Equal(r, same[0], row)
			}
		}
	})
}

// The other half of order-freedom: the row is not merely always the same, it is the newest word on each field, and as
// available as somebody finds it who hears everything once and in order.
func TestS71_EveryFieldIsTheNewestWordOnIt(t *testing.T) {
	t.Parallel()
	s := open(t)
	rapid.Check(t, func(r *rapid.T) {
		history := catalogHistory(r)
		want := po.Video{VideoID: newVideo()}
		var created, deleted bool
		for _, c := range history {
			want.Version = c.Version
			created = created || c.Kind == po.VideoCreated
			deleted = c.Kind == po.VideoDeleted || deleted && c.Kind != po.VideoCreated && c.Status == nil
			newest(&want.UploaderID, c.UploaderID, models.UserID{})
			newest(&want.Title, c.Title, "")
			newest(&want.Description, c.Description, "")
			newest(&want.DurationMicros, c.DurationMicros, -1)
			newest(&want.ThumbnailURL, c.ThumbnailURL, "")
			newest(&want.HLSMasterPlaylist, c.HLSMasterPlaylist, "")
			newest(&want.Status, c.Status, "")
			newest(&want.VisibilityStatus, c.VisibilityStatus, "")
			newest(&want.PublishedAt, c.PublishedAt, time.Time{})
		}
		fold(t, s, about(want.VideoID, disturbed(r, history))...)
		got := videosOf(t, s, want.VideoID)[want.VideoID]
		got.UpdatedAt = time.Time{}
		want.Availability = expected(created, deleted, orEmpty(want.Status), orEmpty(want.VisibilityStatus))
		require.Equal(r, want, got)
	})
}

func orEmpty(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// expected is S21 for the words that catalogHistory uses.
func expected(created, deleted bool, status, visibility string) models.Availability {
	switch {
	case deleted || status == "deleted":
		return models.Deleted
	case visibility == "private":
		return models.Private
	case !created || status == "processing":
		return models.NotReady
	}
	return models.Available
}

func newest[T comparable](field **T, said *T, cleared T) {
	switch {
	case said == nil:
	case *said == cleared:
		*field = nil
	default:
		*field = said
	}
}
