// Package catalog reads the events of the Catalog service.
package catalog

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	videov1 "github.com/lingo-services/profile/internal/clients/catalog/video/v1"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
)

// The event types, as the attribute event_type spells them.
const (
	TypeCreated = "catalog.video.created"
	TypeUpdated = "catalog.video.updated"
	TypeDeleted = "catalog.video.deleted"
)

// Bounds of what we keep, in bytes: generous to any real catalog, and a page of 100 videos still fits an answer.
const (
	MaxTitle       = 2_000
	MaxDescription = 20_000
	MaxURL         = 4_096
	MaxStatus      = 64
	MaxDuration    = 366 * 24 * time.Hour
)

// Event is a decoded event.
type Event = po.CatalogEvent

// Decode reads a message of topic catalog.video.events. Which payload is there decides the type, whatever
// event_type says. The id is the payload's, or the attribute's when the payload has none. Statuses of media and
// analysis, difficulty, summary, tags and subtitles are not kept. Errors: *PoisonError, *UnknownTypeError; the
// event then holds what could be read before.
func Decode(data []byte, attributes map[string]string) (Event, error) {
	var m videov1.Event
	if err := proto.Unmarshal(data, &m); err != nil {
		return Event{Type: attributes["event_type"]}, &PoisonError{"payload", "not a video.v1.Event"}
	}
	r := reader{event: &m}
	e := Event{Type: typeOf(&m, attributes), ID: r.eventID(attributes["event_id"])}
	if m.GetPayload() == nil && r.err == nil {
		return e, &UnknownTypeError{e.Type}
	}
	switch payload := m.GetPayload().(type) {
	case *videov1.Event_Created:
		e.Change, e.OccurredAt = r.created(payload.Created), moment(m.GetOccurredAt(), payload.Created.GetOccurredAt())
	case *videov1.Event_Updated:
		e.Change, e.OccurredAt = r.updated(payload.Updated), moment(m.GetOccurredAt(), payload.Updated.GetOccurredAt())
	case *videov1.Event_Deleted:
		e.Change, e.OccurredAt = r.deleted(payload.Deleted), moment(m.GetOccurredAt(), payload.Deleted.GetOccurredAt())
	}
	if r.err != nil {
		return e, r.err
	}
	return e, nil
}

func typeOf(m *videov1.Event, attributes map[string]string) string {
	switch m.GetPayload().(type) {
	case *videov1.Event_Created:
		return TypeCreated
	case *videov1.Event_Updated:
		return TypeUpdated
	case *videov1.Event_Deleted:
		return TypeDeleted
	}
	if named := attributes["event_type"]; named != "" {
		return named
	}
	return m.GetEventType().String()
}

// moment is the first of texts that is a time; the zero time when none is.
func moment(texts ...string) time.Time {
	for _, text := range texts {
		if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
			return at.UTC()
		}
	}
	return time.Time{}
}

// reader collects fields; the first that breaks its rule is the error.
type reader struct {
	event *videov1.Event
	err   error
}

func (r *reader) refuse(field, format string, args ...any) {
	if r.err == nil {
		r.err = &PoisonError{field, fmt.Sprintf(format, args...)}
	}
}

func (r *reader) eventID(attribute string) uuid.UUID {
	text := r.event.GetEventId()
	switch {
	case text == "":
		text = attribute
	case attribute != "" && !strings.EqualFold(attribute, text):
		r.refuse("event_id", "payload and attribute disagree")
		return uuid.Nil
	}
	id, err := models.ParseVideoID(text) // the one accepted spelling of a UUID
	if err != nil {
		r.refuse("event_id", "%v", err)
	}
	return uuid.UUID(id)
}

func (r *reader) change(payload string, kind po.ChangeKind, videoID string, version int64) po.VideoChange {
	id, err := models.ParseVideoID(videoID)
	if err != nil {
		r.refuse(payload+".video_id", "%v", err)
	}
	if outer := r.event.GetAggregateId(); outer != "" && !strings.EqualFold(outer, videoID) {
		r.refuse("aggregate_id", "is not the payload's video_id")
	}
	outer := r.event.GetVersion()
	switch {
	case version == 0:
		version = outer
	case outer != 0 && outer != version:
		r.refuse("version", "%d, but the payload says %d", outer, version)
	}
	if version < 1 {
		r.refuse(payload+".version", "%d, must be at least 1", version)
	}
	return po.VideoChange{VideoID: id, Kind: kind, Version: version}
}

func (r *reader) created(v *videov1.VideoCreated) po.VideoChange {
	c := r.change("created", po.VideoCreated, v.GetVideoId(), v.GetVersion())
	if v.GetUploaderId() != "" {
		uploader, err := models.ParseUserID(v.GetUploaderId())
		if err != nil {
			r.refuse("created.uploader_id", "%v", err)
		}
		c.UploaderID = &uploader
	}
	c.Title = r.text("created.title", said(v.GetTitle()), MaxTitle)
	c.Description = r.text("created.description", v.Description, MaxDescription)
	c.DurationMicros = r.duration("created.duration_micros", v.DurationMicros)
	c.PublishedAt = r.time("created.published_at", v.PublishedAt)
	c.Status = r.text("created.status", said(v.GetStatus()), MaxStatus)
	return c
}

// said is nil for empty text, which is how a field without presence is absent.
func said(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func (r *reader) updated(v *videov1.VideoUpdated) po.VideoChange {
	c := r.change("updated", po.VideoUpdated, v.GetVideoId(), v.GetVersion())
	c.Title = r.text("updated.title", v.Title, MaxTitle)
	c.Description = r.text("updated.description", v.Description, MaxDescription)
	c.DurationMicros = r.duration("updated.duration_micros", v.DurationMicros)
	c.Status = r.text("updated.status", v.Status, MaxStatus)
	c.ThumbnailURL = r.text("updated.thumbnail_url", v.ThumbnailUrl, MaxURL)
	c.HLSMasterPlaylist = r.text("updated.hls_master_playlist", v.HlsMasterPlaylist, MaxURL)
	c.PublishedAt = r.time("updated.published_at", v.PublishedAt)
	c.VisibilityStatus = r.text("updated.visibility_status", v.VisibilityStatus, MaxStatus)
	return c
}

func (r *reader) deleted(v *videov1.VideoDeleted) po.VideoChange {
	return r.change("deleted", po.VideoDeleted, v.GetVideoId(), v.GetVersion())
}

func (r *reader) text(field string, value *string, limit int) *string {
	switch {
	case value == nil:
	case len(*value) > limit:
		r.refuse(field, "%d bytes, at most %d", len(*value), limit)
	case strings.ContainsRune(*value, 0):
		r.refuse(field, "contains NUL")
	}
	return value
}

func (r *reader) duration(field string, micros *int64) *int64 {
	if micros != nil && (*micros < 0 || *micros > MaxDuration.Microseconds()) {
		r.refuse(field, "%d, must be between 0 and %d", *micros, MaxDuration.Microseconds())
	}
	return micros
}

// time reads microseconds; empty text is the zero time. Only years 1 to 9999 can be answered to a client.
func (r *reader) time(field string, text *string) *time.Time {
	if text == nil {
		return nil
	}
	if *text == "" {
		return &time.Time{}
	}
	at, err := time.Parse(time.RFC3339Nano, *text)
	at = at.UTC().Truncate(time.Microsecond)
	if err != nil || at.Year() < 1 || at.Year() > 9999 {
		r.refuse(field, "not an RFC 3339 time of the years 1 to 9999")
	}
	return &at
}
