package repositories

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories/profiledb"
)

type videoProjectionRepo struct{ q *profiledb.Queries }

func (r videoProjectionRepo) UpsertFromCatalogEvent(ctx context.Context, changes []po.VideoChange) ([]models.VideoID, error) {
	var changed []models.VideoID
	sorted := slices.Clone(changes) // rows are locked in key order
	slices.SortStableFunc(sorted, func(a, b po.VideoChange) int { return bytes.Compare(a.VideoID[:], b.VideoID[:]) })
	for _, round := range rounds(sorted, func(c po.VideoChange) models.VideoID { return c.VideoID }) {
		var p profiledb.ApplyVideoChangesParams
		for _, i := range round {
			appendChange(&p, sorted[i])
		}
		ids, err := r.q.ApplyVideoChanges(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("apply video changes: %w", translate(err))
		}
		for _, id := range ids {
			changed = append(changed, models.VideoID(id))
		}
	}
	return distinct(changed), nil
}

func appendChange(p *profiledb.ApplyVideoChangesParams, c po.VideoChange) {
	p.VideoIDs = append(p.VideoIDs, uuid.UUID(c.VideoID))
	p.Versions = append(p.Versions, c.Version)
	p.CreatedVersions = append(p.CreatedVersions, versionIf(c.Kind == po.VideoCreated, c.Version))
	p.DeletedVersions = append(p.DeletedVersions, versionIf(c.Kind == po.VideoDeleted, c.Version))
	p.PublishedAts = append(p.PublishedAts, orZero(c.PublishedAt))
	p.PublishedVersions = append(p.PublishedVersions, versionIf(c.PublishedAt != nil, c.Version))
	p.UploaderIDs = append(p.UploaderIDs, uuid.UUID(orZero(c.UploaderID)))
	p.UploaderVersions = append(p.UploaderVersions, versionIf(c.UploaderID != nil, c.Version))
	p.DurationMicros = append(p.DurationMicros, or(c.DurationMicros, -1))
	p.DurationVersions = append(p.DurationVersions, versionIf(c.DurationMicros != nil, c.Version))
	text := func(values *[]string, versions *[]int64, field *string) {
		*values = append(*values, orZero(field))
		*versions = append(*versions, versionIf(field != nil, c.Version))
	}
	text(&p.Titles, &p.TitleVersions, c.Title)
	text(&p.Descriptions, &p.DescriptionVersions, c.Description)
	text(&p.ThumbnailURLs, &p.ThumbnailVersions, c.ThumbnailURL)
	text(&p.HLSMasterPlaylists, &p.PlaylistVersions, c.HLSMasterPlaylist)
	text(&p.Statuses, &p.StatusVersions, c.Status)
	text(&p.VisibilityStatuses, &p.VisibilityVersions, c.VisibilityStatus)
}

func versionIf(present bool, version int64) int64 {
	if present {
		return version
	}
	return 0
}

func (r videoProjectionRepo) ListByIDs(ctx context.Context, ids []models.VideoID) (map[models.VideoID]po.Video, error) {
	rows, err := r.q.BatchGetVideos(ctx, uuids(ids))
	if err != nil {
		return nil, fmt.Errorf("read videos: %w", translate(err))
	}
	videos := make(map[models.VideoID]po.Video, len(rows))
	for _, row := range rows {
		listed := joinedVideo{
			row.VideoID, row.Availability, row.UploaderID, row.Title, row.Description, row.DurationMicros, row.ThumbnailURL,
			row.HLSMasterPlaylist, row.Status, row.VisibilityStatus, row.PublishedAt, row.Version, row.UpdatedAt,
		}.decode(po.VideoStats{})
		videos[listed.VideoID] = *listed.Video
	}
	return videos, nil
}

func (r videoProjectionRepo) Facts(ctx context.Context, ids []models.VideoID) (map[models.VideoID]po.VideoFacts, error) {
	rows, err := r.q.GetVideoFacts(ctx, uuids(distinct(ids)))
	if err != nil {
		return nil, fmt.Errorf("read facts of videos: %w", translate(err))
	}
	facts := make(map[models.VideoID]po.VideoFacts, len(rows))
	for _, row := range rows {
		facts[models.VideoID(row.VideoID)] = po.VideoFacts{
			Availability: models.Availability(row.Availability), DurationMicros: row.DurationMicros, Counted: row.Counted,
		}
	}
	return facts, nil
}

// joinedVideo is the projection's part of a joined row; version is 0 when there was no projection row.
type joinedVideo struct {
	videoID           uuid.UUID
	availability      string
	uploaderID        *uuid.UUID
	title             *string
	description       *string
	durationMicros    *int64
	thumbnailURL      *string
	hlsMasterPlaylist *string
	status            *string
	visibilityStatus  *string
	publishedAt       *time.Time
	version           int64
	updatedAt         time.Time
}

func (j joinedVideo) decode(stats po.VideoStats) po.ListedVideo {
	listed := po.ListedVideo{
		VideoID: models.VideoID(j.videoID), Availability: models.Availability(j.availability), Stats: stats,
	}
	if j.version == 0 {
		return listed
	}
	listed.Video = &po.Video{
		VideoID: listed.VideoID, UploaderID: (*models.UserID)(j.uploaderID), Title: j.title, Description: j.description,
		DurationMicros: j.durationMicros, ThumbnailURL: j.thumbnailURL, HLSMasterPlaylist: j.hlsMasterPlaylist,
		Status: j.status, VisibilityStatus: j.visibilityStatus, PublishedAt: utc(j.publishedAt), Version: j.version,
		UpdatedAt: j.updatedAt.UTC(), Availability: listed.Availability,
	}
	return listed
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

// unlessZero is t, or nil when it stands for "none".
func unlessZero(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	u := t.UTC()
	return &u
}

func orZero[T any](p *T) T {
	var zero T
	return or(p, zero)
}

func or[T any](p *T, absent T) T {
	if p == nil {
		return absent
	}
	return *p
}
