// Package catalog reads the events of the Catalog service.
package catalog

import (
	"fmt"
	"slices"
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
// analysis, difficulty, summary, tags and subtitles are not kept. A field that we cannot keep is left out, or hides the
// video when it says who may see it; what is not about the right video and version is an error. Errors: *PoisonError,
// *UnknownTypeError; the event then holds what could be read before.
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
	e.Dropped, e.Unknown = r.dropped, r.unknown
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

// reader collects fields; the first of those that an event cannot do without and that breaks its rule is the error.
type reader struct {
	event            *videov1.Event
	err              error
	dropped, unknown []string
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
		if uploader, err := models.ParseUserID(v.GetUploaderId()); err == nil {
			c.UploaderID = &uploader
		} else {
			r.drop("created.uploader_id")
		}
	}
	c.Title = r.text("created.title", said(v.GetTitle()), MaxTitle)
	c.Description = r.text("created.description", v.Description, MaxDescription)
	c.DurationMicros = r.duration("created.duration_micros", v.DurationMicros)
	c.PublishedAt = r.time("created.published_at", v.PublishedAt)
	c.Status = r.word("created.status", said(v.GetStatus()), statuses)
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
	c.Status = r.word("updated.status", v.Status, statuses)
	c.ThumbnailURL = r.text("updated.thumbnail_url", v.ThumbnailUrl, MaxURL)
	c.HLSMasterPlaylist = r.text("updated.hls_master_playlist", v.HlsMasterPlaylist, MaxURL)
	c.PublishedAt = r.time("updated.published_at", v.PublishedAt)
	c.VisibilityStatus = r.word("updated.visibility_status", v.VisibilityStatus, visibilities)
	return c
}

func (r *reader) deleted(v *videov1.VideoDeleted) po.VideoChange {
	return r.change("deleted", po.VideoDeleted, v.GetVideoId(), v.GetVersion())
}

func (r *reader) drop(field string) { r.dropped = append(r.dropped, field) }

func (r *reader) text(field string, value *string, limit int) *string {
	if value != nil && !isStorable(*value, limit) {
		r.drop(field)
		return nil
	}
	return value
}

func isStorable(text string, limit int) bool {
	return len(text) <= limit && !strings.ContainsRune(text, 0)
}

// The words that decide who may see a video, in lower case; profile.availability_of says what each means (S21).
var (
	statuses     = []string{"ready", "published", "pending_upload", "processing", "deleted", "archived", "rejected", "failed"}
	visibilities = []string{"public", "unlisted", "private"}
)

// Unreadable stands for a status or visibility that cannot be stored: dropping it could show what was to be hidden.
const Unreadable = "unreadable"

// word reads a status or visibility; empty text clears it.
func (r *reader) word(field string, value *string, known []string) *string {
	if value == nil || *value == "" || slices.Contains(known, strings.ToLower(*value)) {
		return value
	}
	r.unknown = append(r.unknown, field)
	if !isStorable(*value, MaxStatus) {
		unreadable := Unreadable
		return &unreadable
	}
	return value
}

func (r *reader) duration(field string, micros *int64) *int64 {
	if micros != nil && (*micros < 0 || *micros > MaxDuration.Microseconds()) {
		r.drop(field)
		return nil
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
		r.drop(field)
		return nil
	}
	return &at
}
