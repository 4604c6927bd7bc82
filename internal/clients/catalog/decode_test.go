package catalog_test

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/lingo-services/profile/internal/clients/catalog"
	videov1 "github.com/lingo-services/profile/internal/clients/catalog/video/v1"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
)

const (
	eventID    = "0190d5a0-1111-7abc-8def-000000000001"
	videoID    = "0190d5a0-3333-7abc-8def-00000000abcd"
	uploaderID = "0190d5a0-2222-7abc-8def-000000000002"
)

func created(change ...func(*videov1.Event, *videov1.VideoCreated)) *videov1.Event {
	v := &videov1.VideoCreated{
		VideoId: videoID, UploaderId: uploaderID, Title: "Ciel", Description: new("d"), DurationMicros: new(int64(1)),
		PublishedAt: new("2030-01-02T03:04:05.123456789Z"), Version: 3, OccurredAt: "2030-01-02T03:04:05Z", Status: "published",
		MediaStatus: "m", AnalysisStatus: "a",
	}
	e := &videov1.Event{
		EventId: eventID, EventType: videov1.EventType_EVENT_TYPE_VIDEO_CREATED, AggregateId: videoID, AggregateType: "video", Version: 3,
		Payload: &videov1.Event_Created{Created: v},
	}
	for _, f := range change {
		f(e, v)
	}
	return e
}

func updated(change ...func(*videov1.VideoUpdated)) *videov1.Event {
	v := &videov1.VideoUpdated{VideoId: videoID, Version: 4}
	for _, f := range change {
		f(v)
	}
	return &videov1.Event{EventId: eventID, Payload: &videov1.Event_Updated{Updated: v}}
}

func deleted() *videov1.Event {
	return &videov1.Event{EventId: eventID, Payload: &videov1.Event_Deleted{Deleted: &videov1.VideoDeleted{VideoId: videoID, Version: 5}}}
}

func decode(t testing.TB, e *videov1.Event, attributes map[string]string) (catalog.Event, error) {
	t.Helper()
	data, err := proto.Marshal(e)
	require.NoError(t, err)
	return catalog.Decode(data, attributes)
}

func TestM134_CreatedSaysWhatItHolds(t *testing.T) {
	t.Parallel()
	got, err := decode(t, created(), nil)
	require.NoError(t, err)
	video, _ := models.ParseVideoID(videoID)
	uploader, _ := models.ParseUserID(uploaderID)
	require.Equal(t, catalog.Event{
		ID: uuid.MustParse(eventID), Type: catalog.TypeCreated, OccurredAt: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC),
		Change: po.VideoChange{
			VideoID: video, Kind: po.VideoCreated, Version: 3, UploaderID: &uploader, Title: new("Ciel"), Description: new("d"),
			DurationMicros: new(int64(1)), Status: new("published"), PublishedAt: new(time.Date(2030, 1, 2, 3, 4, 5, 123456000, time.UTC)),
		},
	}, got)
}

func TestM134_AbsentIsNoStatementAndEmptyClears(t *testing.T) {
	t.Parallel()
	got, err := decode(t, updated(), nil)
	require.NoError(t, err)
	require.Equal(t, catalog.TypeUpdated, got.Type)
	require.Equal(t, po.VideoChange{VideoID: got.Change.VideoID, Kind: po.VideoUpdated, Version: 4}, got.Change)

	got, err = decode(t, updated(func(v *videov1.VideoUpdated) {
		v.Title, v.Description, v.Status, v.ThumbnailUrl, v.HlsMasterPlaylist = new(""), new(""), new(""), new(""), new("")
		v.VisibilityStatus, v.PublishedAt, v.DurationMicros = new(""), new(""), new(int64(0))
	}), nil)
	require.NoError(t, err)
	require.Equal(t, po.VideoChange{
		VideoID: got.Change.VideoID, Kind: po.VideoUpdated, Version: 4, Title: new(""), Description: new(""), Status: new(""),
		ThumbnailURL: new(""), HLSMasterPlaylist: new(""), VisibilityStatus: new(""), PublishedAt: &time.Time{}, DurationMicros: new(int64(0)),
	}, got.Change)

	got, err = decode(t, created(func(_ *videov1.Event, v *videov1.VideoCreated) { v.Title, v.Status, v.UploaderId = "", "", "" }), nil)
	require.NoError(t, err)
	require.Nil(t, got.Change.Title)
	require.Nil(t, got.Change.Status)
	require.Nil(t, got.Change.UploaderID)
}

func TestM134_ThePayloadDecidesTheType(t *testing.T) {
	t.Parallel()
	got, err := decode(t, deleted(), map[string]string{"event_type": catalog.TypeCreated})
	require.NoError(t, err)
	require.Equal(t, catalog.TypeDeleted, got.Type)
	require.Equal(t, po.VideoDeleted, got.Change.Kind)
}

func TestS70_TheEventIDIsThePayloadsOrTheAttributes(t *testing.T) {
	t.Parallel()
	same := map[string]string{"event_id": strings.ToUpper(eventID)}
	got, err := decode(t, created(), same)
	require.NoError(t, err)
	require.Equal(t, eventID, got.ID.String())
	got, err = decode(t, created(func(e *videov1.Event, _ *videov1.VideoCreated) { e.EventId = "" }), same)
	require.NoError(t, err)
	require.Equal(t, eventID, got.ID.String())
}

func TestS73_PoisonNamesTheField(t *testing.T) {
	t.Parallel()
	envelope := func(f func(*videov1.Event)) *videov1.Event {
		return created(func(e *videov1.Event, _ *videov1.VideoCreated) { f(e) })
	}
	video := func(f func(*videov1.VideoCreated)) *videov1.Event {
		return created(func(e *videov1.Event, v *videov1.VideoCreated) { e.Version = 0; f(v) })
	}
	for field, event := range map[string]*videov1.Event{
		"event_id":         envelope(func(e *videov1.Event) { e.EventId = "{" + eventID + "}" }),
		"aggregate_id":     envelope(func(e *videov1.Event) { e.AggregateId = uploaderID }),
		"version":          envelope(func(e *videov1.Event) { e.Version = 4 }),
		"created.version":  video(func(v *videov1.VideoCreated) { v.Version = 0 }),
		"created.video_id": video(func(v *videov1.VideoCreated) { v.VideoId = "" }),
		"updated.version":  updated(func(v *videov1.VideoUpdated) { v.Version = -1 }),
	} {
		t.Run(field, func(t *testing.T) {
			t.Parallel()
			_, err := decode(t, event, nil)
			var poison *catalog.PoisonError
			require.ErrorAs(t, err, &poison)
			require.Equal(t, field, poison.Field)
		})
	}
	for name, attributes := range map[string]map[string]string{
		"another event": {"event_id": videoID}, "no event": {"event_id": "x"},
	} {
		_, err := decode(t, created(), attributes)
		var poison *catalog.PoisonError
		require.ErrorAs(t, err, &poison, name)
	}
	_, err := catalog.Decode([]byte("not protobuf"), nil)
	require.ErrorContains(t, err, "payload")
	broken := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "\xff")
	_, err = catalog.Decode(broken, nil)
	require.ErrorContains(t, err, "payload", "text that is not UTF-8")
}

func TestS73_AFieldThatCannotBeKeptIsDropped(t *testing.T) {
	t.Parallel()
	long, nul := strings.Repeat("a", catalog.MaxDescription+1), "a\x00"
	got, err := decode(t, created(func(_ *videov1.Event, v *videov1.VideoCreated) {
		v.UploaderId, v.Title, v.Description, v.DurationMicros, v.PublishedAt = "u", nul, &long, new(int64(-1)), new("9999-12-31T23:59:59-01:00")
	}), nil)
	require.NoError(t, err)
	require.Equal(t, []string{"created.uploader_id", "created.title", "created.description", "created.duration_micros", "created.published_at"}, got.Dropped)
	require.Empty(t, got.Unknown)
	require.Equal(t, po.VideoChange{VideoID: got.Change.VideoID, Kind: po.VideoCreated, Version: 3, Status: new("published")}, got.Change)

	got, err = decode(t, updated(func(v *videov1.VideoUpdated) {
		v.Title, v.Description, v.DurationMicros, v.ThumbnailUrl, v.HlsMasterPlaylist = &long, &nul, new(catalog.MaxDuration.Microseconds()+1), &long, &nul
		v.PublishedAt, v.VisibilityStatus, v.Status = new("2026-11-26"), new("private"), new("READY")
	}), nil)
	require.NoError(t, err)
	require.Equal(t, []string{
		"updated.title", "updated.description", "updated.duration_micros", "updated.thumbnail_url", "updated.hls_master_playlist", "updated.published_at",
	}, got.Dropped)
	require.Empty(t, got.Unknown)
	require.Equal(t, po.VideoChange{VideoID: got.Change.VideoID, Kind: po.VideoUpdated, Version: 4, VisibilityStatus: new("private"), Status: new("READY")}, got.Change)
}

func TestS73_UnknownWordsAreKeptToHide(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{
		"friends": "friends", " public": " public", "öffentlich": "öffentlich", "a\x00": catalog.Unreadable, strings.Repeat("a", catalog.MaxStatus+1): catalog.Unreadable,
	} {
		got, err := decode(t, updated(func(v *videov1.VideoUpdated) { v.Status, v.VisibilityStatus = &said, &said }), nil)
		require.NoError(t, err)
		require.Equal(t, []string{"updated.status", "updated.visibility_status"}, got.Unknown)
		require.Empty(t, got.Dropped)
		require.Equal(t, []*string{&want, &want}, []*string{got.Change.Status, got.Change.VisibilityStatus})
		got, err = decode(t, created(func(_ *videov1.Event, v *videov1.VideoCreated) { v.Status = said }), nil)
		require.NoError(t, err)
		require.Equal(t, []string{"created.status"}, got.Unknown)
		require.Equal(t, &want, got.Change.Status)
	}
}

func TestS73_AnUnknownTypeIsNotPoison(t *testing.T) {
	t.Parallel()
	future, err := proto.Marshal(&videov1.Event{EventId: eventID, Version: 1})
	require.NoError(t, err)
	future = protowire.AppendString(protowire.AppendTag(future, 13, protowire.BytesType), "a later payload")
	event, err := catalog.Decode(future, map[string]string{"event_type": "catalog.video.restored"})
	var unknown *catalog.UnknownTypeError
	require.ErrorAs(t, err, &unknown)
	require.Equal(t, "catalog.video.restored", unknown.Type)
	require.Equal(t, eventID, event.ID.String())

	_, err = catalog.Decode(nil, nil)
	var poison *catalog.PoisonError
	require.ErrorAs(t, err, &poison, "without an id it cannot be told from others")
}

// Whatever the bytes are: no panic, one of the two errors, or a change that keeps every documented bound.
func FuzzDecode(f *testing.F) {
	for _, e := range []*videov1.Event{created(), updated(), deleted(), {EventId: eventID}} {
		data, err := proto.Marshal(e)
		require.NoError(f, err)
		f.Add(data, "", "")
		f.Add(append(data, data...), eventID, "catalog.video.other")
	}
	f.Fuzz(func(t *testing.T, data []byte, id, kind string) {
		e, err := catalog.Decode(data, map[string]string{"event_id": id, "event_type": kind})
		if err != nil {
			var poison *catalog.PoisonError
			var unknown *catalog.UnknownTypeError
			require.True(t, errors.As(err, &poison) || errors.As(err, &unknown), "%v", err)
			return
		}
		c := e.Change
		require.NotEqual(t, uuid.Nil, e.ID)
		require.NotEqual(t, models.VideoID{}, c.VideoID)
		require.Positive(t, c.Version)
		require.Contains(t, []string{catalog.TypeCreated, catalog.TypeUpdated, catalog.TypeDeleted}, e.Type)
		for text, limit := range map[*string]int{
			c.Title: catalog.MaxTitle, c.Description: catalog.MaxDescription, c.ThumbnailURL: catalog.MaxURL,
			c.HLSMasterPlaylist: catalog.MaxURL, c.Status: catalog.MaxStatus, c.VisibilityStatus: catalog.MaxStatus,
		} {
			require.True(t, text == nil || len(*text) <= limit && utf8.ValidString(*text) && !strings.Contains(*text, "\x00"))
		}
		require.True(t, c.DurationMicros == nil || *c.DurationMicros >= 0)
		require.True(t, c.PublishedAt == nil || c.PublishedAt.Year() >= 1 && c.PublishedAt.Year() <= 9999 && c.PublishedAt.Nanosecond()%1000 == 0)
	})
}
