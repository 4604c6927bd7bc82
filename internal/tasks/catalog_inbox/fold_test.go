package cataloginbox_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	videov1 "github.com/lingo-services/profile/internal/clients/catalog/video/v1"
	"github.com/lingo-services/profile/internal/models"
	cataloginbox "github.com/lingo-services/profile/internal/tasks/catalog_inbox"
	"github.com/lingo-services/profile/test/testkit"
)

// history is some of everything a catalog says of one video.
func history(id models.VideoID) []*videov1.Event {
	return []*videov1.Event{
		created(id, 1, func(v *videov1.VideoCreated) { v.Description, v.UploaderId = new("first"), testkit.NewUser().String() }),
		updated(id, 2, func(v *videov1.VideoUpdated) { v.Title, v.ThumbnailUrl = new("second"), new("https://x/2.jpg") }),
		updated(id, 3, func(v *videov1.VideoUpdated) { v.VisibilityStatus, v.Description = new("public"), new("") }),
		deleted(id, 4),
		updated(id, 5, func(v *videov1.VideoUpdated) { v.HlsMasterPlaylist, v.Status = new("https://x/5.m3u8"), new("ready") }),
	}
}

func about(id models.VideoID, events []*videov1.Event) []*videov1.Event {
	copies := make([]*videov1.Event, len(events))
	for i, e := range events {
		c := proto.CloneOf(e)
		c.AggregateId = id.String()
		switch p := c.GetPayload().(type) {
		case *videov1.Event_Created:
			p.Created.VideoId = id.String()
		case *videov1.Event_Updated:
			p.Updated.VideoId = id.String()
		case *videov1.Event_Deleted:
			p.Deleted.VideoId = id.String()
		}
		copies[i] = event(id, c)
	}
	return copies
}

func TestS72_AnyOrderAndRepetitionThroughTheBrokerEndsInTheSameRow(t *testing.T) {
	t.Parallel()
	s := open(t)
	r := s.start(t)
	model := testkit.NewVideo()
	events := history(model)
	s.sendAll(t, events)
	r.await(t, "the model", func() bool { return r.counts[cataloginbox.Applied]+r.counts[cataloginbox.Stale] == len(events) })
	want := s.row(t, model)
	require.Contains(t, want, `"availability": "available"`)

	const videos, again = 40, 2
	var all []*videov1.Event
	var ids []models.VideoID
	for range videos {
		id := testkit.NewVideo()
		mine := about(id, events)
		for range again {
			mine = append(mine, mine[rand.IntN(len(events))]) // the same event id: a duplicate
		}
		ids, all = append(ids, id), append(all, mine...)
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	s.sendAll(t, all)
	r.await(t, "everything", func() bool {
		return r.counts[cataloginbox.Applied]+r.counts[cataloginbox.Stale] == (videos+1)*len(events) &&
			r.counts[cataloginbox.Duplicate] == videos*again && r.inHand == 0
	})
	for _, id := range ids {
		require.Equal(t, want, s.row(t, id))
	}
}

func TestP22_ALateCreateOverwritesNothingNewer(t *testing.T) {
	t.Parallel()
	s := open(t)
	r := s.start(t)
	id := testkit.NewVideo()
	s.send(t, updated(id, 5, func(v *videov1.VideoUpdated) {
		v.Title, v.ThumbnailUrl, v.HlsMasterPlaylist, v.VisibilityStatus = new("newer"), new("https://x/t"), new("https://x/p"), new("private")
	}))
	r.awaitCount(t, cataloginbox.Applied, 1)
	s.send(t, created(id, 1, func(v *videov1.VideoCreated) { v.Description = new("only the create knows") }))
	r.awaitCount(t, cataloginbox.Applied, 2)
	require.Equal(t, "newer|only the create knows|https://x/t|https://x/p|private|5", testkit.One[string](t, s.DB,
		"SELECT concat_ws('|', title, description, thumbnail_url, hls_master_playlist, visibility_status, version) FROM profile.videos_projection"))
}

func TestP22_ADeleteBeforeTheCreateIsATombstone(t *testing.T) {
	t.Parallel()
	s := open(t)
	r := s.start(t)
	id := testkit.NewVideo()
	availability := func() string {
		return testkit.One[string](t, s.DB, "SELECT availability FROM profile.videos_projection")
	}
	s.send(t, deleted(id, 3))
	r.awaitCount(t, cataloginbox.Applied, 1)
	require.Equal(t, "deleted", availability())
	s.send(t, created(id, 1))
	s.send(t, updated(id, 2, func(v *videov1.VideoUpdated) { v.VisibilityStatus = new("public") }))
	r.awaitCount(t, cataloginbox.Applied, 3)
	require.Equal(t, "deleted", availability(), "lower versions do not revive it")
	s.send(t, updated(id, 4, func(v *videov1.VideoUpdated) { v.Status = new("ready") }))
	r.awaitCount(t, cataloginbox.Applied, 4)
	require.Equal(t, "available", availability(), "a higher one does")
}

func TestP22_VersionZeroNeverApplies(t *testing.T) {
	t.Parallel()
	s := open(t)
	r := s.start(t)
	id := testkit.NewVideo()
	s.send(t, created(id, 2))
	r.awaitCount(t, cataloginbox.Applied, 1)
	before := s.row(t, id)
	s.send(t, updated(id, 0, func(v *videov1.VideoUpdated) { v.Title = new("zero") }))
	r.awaitCount(t, cataloginbox.Dead, 1)
	require.Equal(t, before, s.row(t, id))
}

func TestS71_AnEqualOrLowerVersionIsStale(t *testing.T) {
	t.Parallel()
	s := open(t)
	r := s.start(t)
	id := testkit.NewVideo()
	title := func(text string) func(*videov1.VideoUpdated) {
		return func(v *videov1.VideoUpdated) { v.Title = &text }
	}
	s.send(t, updated(id, 5, title("five")))
	r.awaitCount(t, cataloginbox.Applied, 1)
	touched := s.touched(t, id)
	s.send(t, updated(id, 5, title("also five")))
	s.send(t, updated(id, 4, title("four")))
	r.awaitCount(t, cataloginbox.Stale, 2)
	require.Equal(t, "five", s.title(t, id))
	require.Equal(t, touched, s.touched(t, id))
}

func TestS73_AVisibilityChangeIsNotLostToADate(t *testing.T) {
	t.Parallel()
	s := open(t)
	r := s.start(t)
	public := func(id models.VideoID) {
		s.send(t, created(id, 1, func(v *videov1.VideoCreated) { v.Status = "READY" }))
		r.await(t, "created", func() bool { return r.inHand == 0 && s.availability(t, id) == "available" })
	}
	for name, tc := range map[string]struct {
		say  func(*videov1.VideoUpdated)
		want string
	}{
		"a day":             {func(v *videov1.VideoUpdated) { v.VisibilityStatus, v.PublishedAt = new("private"), new("2026-11-26") }, "private"},
		"upper case":        {func(v *videov1.VideoUpdated) { v.VisibilityStatus, v.PublishedAt = new("PRIVATE"), new("soon") }, "private"},
		"a long title":      {func(v *videov1.VideoUpdated) { v.Status, v.Title = new("Archived"), new(strings.Repeat("x", 3_000)) }, "deleted"},
		"a negative length": {func(v *videov1.VideoUpdated) { v.Status, v.DurationMicros = new("processing"), new(int64(-1)) }, "not_ready"},
		"NUL in an address": {func(v *videov1.VideoUpdated) {
			v.VisibilityStatus, v.ThumbnailUrl = new("friends"), new("https://x/\x00")
		}, "private"},
		"an endless status": {func(v *videov1.VideoUpdated) { v.Status, v.Description = new(strings.Repeat("x", 100)), new("\x00") }, "not_ready"},
		"NUL in a visibility": {func(v *videov1.VideoUpdated) {
			v.VisibilityStatus, v.HlsMasterPlaylist = new("public\x00"), new("\x00")
		}, "private"},
	} {
		id := testkit.NewVideo()
		public(id)
		before := r.faults[cataloginbox.Dropped]
		s.send(t, updated(id, 2, tc.say))
		r.await(t, name, func() bool { return r.inHand == 0 && r.faults[cataloginbox.Dropped] == before+1 })
		require.Equal(t, tc.want, s.availability(t, id), name)
	}
	require.Zero(t, s.inboxCount(t, "dead"))
	require.Equal(t, 3, r.faults[cataloginbox.Unknown])
}

func TestS73_CreatedLeavesVisibilityAlone(t *testing.T) {
	t.Parallel()
	s := open(t)
	r := s.start(t)
	id := testkit.NewVideo()
	s.send(t, updated(id, 1, func(v *videov1.VideoUpdated) { v.VisibilityStatus = new("private") }))
	r.awaitCount(t, cataloginbox.Applied, 1)
	s.send(t, created(id, 2))
	r.awaitCount(t, cataloginbox.Applied, 2)
	require.Equal(t, "private", testkit.One[string](t, s.DB, "SELECT availability FROM profile.videos_projection"))
}
