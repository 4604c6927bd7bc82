package repositories_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
)

type videosByID = map[models.VideoID]po.Video

func fold(t testing.TB, s schema, changes ...po.VideoChange) []models.VideoID {
	t.Helper()
	return write(t, s, func(ctx context.Context, tx *repositories.Tx) ([]models.VideoID, error) {
		return tx.Videos.UpsertFromCatalogEvent(ctx, changes)
	})
}

func videosOf(t testing.TB, s schema, ids ...models.VideoID) videosByID {
	t.Helper()
	return read(t, s, func(ctx context.Context, tx *repositories.Tx) (videosByID, error) {
		return tx.Videos.ListByIDs(ctx, ids)
	})
}

// change is a catalog event about video 1.
func change(kind po.ChangeKind, version int64, fields ...func(*po.VideoChange)) po.VideoChange {
	c := po.VideoChange{VideoID: video(1), Kind: kind, Version: version}
	for _, f := range fields {
		f(&c)
	}
	return c
}

func titled(text string) func(*po.VideoChange) {
	return func(c *po.VideoChange) { c.Title = &text }
}

func described(text string) func(*po.VideoChange) {
	return func(c *po.VideoChange) { c.Description = &text }
}

func shown(status, visibility string) func(*po.VideoChange) {
	return func(c *po.VideoChange) { c.Status, c.VisibilityStatus = &status, &visibility }
}

func complete(c *po.VideoChange) {
	c.UploaderID, c.Title, c.Description = ptr(user(9)), ptr("t"), ptr("d")
	c.DurationMicros, c.ThumbnailURL, c.HLSMasterPlaylist = ptr(int64(0)), ptr("th"), ptr("hls")
	c.Status, c.VisibilityStatus, c.PublishedAt = ptr("published"), ptr("unlisted"), ptr(after(-1).Add(time.Microsecond))
}

func TestM97_VideosComeBackAsPublished(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.stopClock(t, noon)
	require.Empty(t, fold(t, s))
	require.Empty(t, videosOf(t, s))
	require.Equal(t, []models.VideoID{video(1)}, fold(t, s, change(po.VideoCreated, 7, complete)))
	want := po.Video{
		VideoID: video(1), UploaderID: ptr(user(9)), Title: ptr("t"), Description: ptr("d"), DurationMicros: ptr(int64(0)),
		ThumbnailURL: ptr("th"), HLSMasterPlaylist: ptr("hls"), Status: ptr("published"), VisibilityStatus: ptr("unlisted"),
		PublishedAt: ptr(after(-1).Add(time.Microsecond)), Version: 7, UpdatedAt: noon, Availability: models.Available,
	}
	require.Equal(t, videosByID{video(1): want}, videosOf(t, s, video(1), video(2), video(1)), "only rows that exist")
}

func TestM97_OnlyVideosWhoseRowChangedAreReported(t *testing.T) {
	t.Parallel()
	s := open(t)
	about := func(n byte, version int64) po.VideoChange {
		return po.VideoChange{VideoID: video(n), Kind: po.VideoUpdated, Version: version, Title: ptr("t")}
	}
	changed := func(changes ...po.VideoChange) []models.VideoID {
		ids := fold(t, s, changes...)
		slices.SortFunc(ids, func(a, b models.VideoID) int { return slices.Compare(a[:], b[:]) })
		return ids
	}
	require.Equal(t, []models.VideoID{video(1), video(2), video(3)}, changed(about(3, 5), about(1, 5), about(2, 5)))
	require.Empty(t, changed(about(3, 5), about(1, 5), about(2, 4)), "nothing new")
	require.Equal(t, []models.VideoID{video(2)}, changed(about(1, 5), about(2, 6), about(3, 1)))
	require.Equal(t, []models.VideoID{video(1)}, changed(about(1, 6), about(1, 7), about(1, 6), about(1, 8)), "once each")
	require.Equal(t, int64(8), videosOf(t, s, video(1))[video(1)].Version)
}

func TestS70_RepeatedChangeLeavesTheRowUntouched(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.stopClock(t, noon)
	c := change(po.VideoCreated, 3, complete)
	fold(t, s, c)
	before := videosOf(t, s, video(1))
	s.stopClock(t, after(60))
	require.Empty(t, fold(t, s, c, c))
	require.Equal(t, before, videosOf(t, s, video(1)))
}

func TestS71_OnlyGreaterVersionsApply(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		second po.VideoChange
		title  string
	}{
		"greater": {change(po.VideoUpdated, 6, titled("new")), "new"},
		"equal":   {change(po.VideoUpdated, 5, titled("new")), "old"},
		"lower":   {change(po.VideoUpdated, 4, titled("new")), "old"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			fold(t, s, change(po.VideoCreated, 5, titled("old")), tc.second)
			v := videosOf(t, s, video(1))[video(1)]
			require.Equal(t, tc.title, *v.Title)
			require.Equal(t, max(5, tc.second.Version), v.Version)
		})
	}
}

func TestS71_LateCreatedFillsWhatIsStillUnknown(t *testing.T) {
	t.Parallel()
	s := open(t)
	fold(t, s, change(po.VideoUpdated, 5, titled("newer"), described("")))
	fold(t, s, change(po.VideoCreated, 1, complete))
	v := videosOf(t, s, video(1))[video(1)]
	require.Equal(t, "newer", *v.Title)
	require.Nil(t, v.Description, "cleared by the newer version, not unknown")
	require.Equal(t, "hls", *v.HLSMasterPlaylist)
	require.Equal(t, int64(5), v.Version)
	require.Equal(t, models.Available, v.Availability)
}

func TestS72_UpdateBeforeCreateIsKeptAsAPartialRow(t *testing.T) {
	t.Parallel()
	s := open(t)
	fold(t, s, change(po.VideoUpdated, 2, described("early")))
	v := videosOf(t, s, video(1))[video(1)]
	require.Nil(t, v.Title)
	require.Equal(t, "early", *v.Description)
	require.Equal(t, models.NotReady, v.Availability)
}

func TestS72_TombstoneIsRevivedByAHigherCreateOrStatusOnly(t *testing.T) {
	t.Parallel()
	s := open(t)
	availability := func(changes ...po.VideoChange) models.Availability {
		fold(t, s, changes...)
		return videosOf(t, s, video(1))[video(1)].Availability
	}
	require.Equal(t, models.Deleted, availability(change(po.VideoDeleted, 5)), "delete before create")
	require.Equal(t, models.Deleted, availability(change(po.VideoCreated, 1, shown("ready", "public"))))
	require.Equal(t, models.Deleted, availability(change(po.VideoUpdated, 4, shown("published", "public"))))
	late := func(c *po.VideoChange) {
		complete(c)
		c.Status = nil
	}
	require.Equal(t, models.Deleted, availability(change(po.VideoUpdated, 6, late)), "everything but a status")
	require.Equal(t, models.Available, availability(change(po.VideoUpdated, 7, shown("ready", "public"))))
	require.Equal(t, models.Deleted, availability(change(po.VideoDeleted, 8)))
	require.Equal(t, models.Deleted, availability(change(po.VideoDeleted, 5)), "the old delete again")
	require.Equal(t, models.Deleted, availability(change(po.VideoUpdated, 9, late)))
	require.Equal(t, models.Available, availability(change(po.VideoCreated, 10)), "created again")
	require.Equal(t, models.Deleted, availability(change(po.VideoUpdated, 11, shown("archived", "public"))))
	require.Equal(t, models.Available, availability(change(po.VideoUpdated, 12, shown("ready", "public"))), "without an event of deletion")
}

func TestS73_CreatedWithoutVisibilityLeavesItAlone(t *testing.T) {
	t.Parallel()
	s := open(t)
	fold(t, s, change(po.VideoUpdated, 2, shown("ready", "private")), change(po.VideoCreated, 3, titled("t")))
	v := videosOf(t, s, video(1))[video(1)]
	require.Equal(t, "private", *v.VisibilityStatus)
	require.Equal(t, models.Private, v.Availability)
}

func TestS73_VersionBelowOneIsRefused(t *testing.T) {
	t.Parallel()
	s := open(t)
	for _, version := range []int64{0, -1} {
		_, err := try(t, s, func(ctx context.Context, tx *repositories.Tx) ([]models.VideoID, error) {
			return tx.Videos.UpsertFromCatalogEvent(ctx, []po.VideoChange{change(po.VideoUpdated, version)})
		})
		require.Error(t, err)
	}
	require.Zero(t, s.DB.RowCounts(t)["videos_projection"])
}

// The reference let a late create null what newer events had set, and lost what came before a create.
func TestP22_LateCreateKeepsNewerFields(t *testing.T) {
	t.Parallel()
	s := open(t)
	fold(t, s, change(po.VideoUpdated, 9, complete), change(po.VideoCreated, 1, titled("first")))
	v := videosOf(t, s, video(1))[video(1)]
	require.Equal(t, []*string{ptr("t"), ptr("th"), ptr("hls"), ptr("unlisted")}, []*string{v.Title, v.ThumbnailURL, v.HLSMasterPlaylist, v.VisibilityStatus})
}

func TestM97_EmptyValuesClearAndAbsentOnesDoNot(t *testing.T) {
	t.Parallel()
	s := open(t)
	fold(t, s, change(po.VideoCreated, 1, complete), change(po.VideoUpdated, 2))
	require.Equal(t, "t", *videosOf(t, s, video(1))[video(1)].Title)
	fold(t, s, change(po.VideoUpdated, 3, func(c *po.VideoChange) {
		c.UploaderID, c.Title, c.Description = &models.UserID{}, ptr(""), ptr("")
		c.DurationMicros, c.ThumbnailURL, c.HLSMasterPlaylist = ptr(int64(-1)), ptr(""), ptr("")
		c.Status, c.VisibilityStatus, c.PublishedAt = ptr(""), ptr(""), &time.Time{}
	}))
	v := videosOf(t, s, video(1))[video(1)]
	v.UpdatedAt = time.Time{}
	require.Equal(t, po.Video{VideoID: video(1), Version: 3, Availability: models.Available}, v)
}

func TestS72_ALateThumbnailDoesNotBringADeletedVideoBack(t *testing.T) {
	t.Parallel()
	s := open(t)
	history := []po.VideoChange{
		change(po.VideoCreated, 1, complete), change(po.VideoDeleted, 3), change(po.VideoUpdated, 4, func(c *po.VideoChange) { c.ThumbnailURL = ptr("late") }),
	}
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}, {2, 1, 2, 0, 1}} {
		id := newVideo()
		for _, i := range order {
			fold(t, s, about(id, history[i:i+1])...)
		}
		v := videosOf(t, s, id)[id]
		require.Equal(t, models.Deleted, v.Availability, "%v", order)
		require.Equal(t, "late", *v.ThumbnailURL)
	}
}

func TestS73_StatusAndVisibilityCompareWithoutCase(t *testing.T) {
	t.Parallel()
	s := open(t)
	for said, want := range map[[2]string]models.Availability{
		{"READY", "PUBLIC"}: models.Available, {"Published", "Unlisted"}: models.Available, {"ready", "Private"}: models.Private,
		{"READY", "FRIENDS"}: models.Private, {"Processing", "Public"}: models.NotReady, {"Invented", "public"}: models.NotReady,
		{"Deleted", "public"}: models.Deleted, {"ARCHIVED", "PRIVATE"}: models.Deleted,
	} {
		id := newVideo()
		fold(t, s, about(id, []po.VideoChange{change(po.VideoCreated, 1, shown(said[0], said[1]))})...)
		require.Equal(t, want, videosOf(t, s, id)[id].Availability, "%v", said)
	}
}

// The columns are visibilities, the rows statuses; "-" was never said. What the catalog may invent later is
// not shown until we know it.
func TestS21_AvailabilityOfEveryStatusAndVisibility(t *testing.T) {
	t.Parallel()
	visibilities := []string{"-", "public", "unlisted", "private", "friends"}
	const a, p, n, d = models.Available, models.Private, models.NotReady, models.Deleted
	table := map[string][]models.Availability{
		"-":              {a, a, a, p, p},
		"ready":          {a, a, a, p, p},
		"published":      {a, a, a, p, p},
		"pending_upload": {n, n, n, p, p},
		"processing":     {n, n, n, p, p},
		"invented":       {n, n, n, p, p},
		"deleted":        {d, d, d, d, d},
		"archived":       {d, d, d, d, d},
		"rejected":       {d, d, d, d, d},
		"failed":         {d, d, d, d, d},
	}
	s := open(t)
	said := func(text string) *string {
		if text == "-" {
			return nil
		}
		return &text
	}
	for status, row := range table {
		for i, visibility := range visibilities {
			fields := func(c *po.VideoChange) {
				c.VideoID, c.Status, c.VisibilityStatus = newVideo(), said(status), said(visibility)
			}
			created, stub := change(po.VideoCreated, 1, fields), change(po.VideoUpdated, 1, fields)
			revived, tombstone := change(po.VideoCreated, 1, fields), change(po.VideoCreated, 1, fields)
			ofStub := row[i]
			if ofStub == models.Available {
				ofStub = models.NotReady
			}
			fold(t, s, created, stub, tombstone, revived,
				po.VideoChange{VideoID: tombstone.VideoID, Kind: po.VideoDeleted, Version: 2},
				po.VideoChange{VideoID: revived.VideoID, Kind: po.VideoDeleted, Version: 2},
				po.VideoChange{VideoID: revived.VideoID, Kind: po.VideoCreated, Version: 3})
			videos := videosOf(t, s, created.VideoID, stub.VideoID, tombstone.VideoID, revived.VideoID)
			require.Equal(t, row[i], videos[created.VideoID].Availability, "%s %s", status, visibility)
			require.Equal(t, ofStub, videos[stub.VideoID].Availability, "%s %s, update only", status, visibility)
			require.Equal(t, models.Deleted, videos[tombstone.VideoID].Availability, "%s %s, then deleted", status, visibility)
			require.Equal(t, row[i], videos[revived.VideoID].Availability, "%s %s, deleted and revived", status, visibility)
		}
	}
}
