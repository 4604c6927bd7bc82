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

type videoProjectionRepo struct {
	q  *profiledb.Queries
	tx *Tx
}

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
		videos[models.VideoID(row.VideoID)] = po.Video{
			VideoID: models.VideoID(row.VideoID), UploaderID: (*models.UserID)(row.UploaderID), Title: row.Title, Description: row.Description,
			DurationMicros: row.DurationMicros, ThumbnailURL: row.ThumbnailURL, HLSMasterPlaylist: row.HLSMasterPlaylist,
			Status: row.Status, VisibilityStatus: row.VisibilityStatus, PublishedAt: utc(row.PublishedAt), Version: row.Version,
			UpdatedAt: row.UpdatedAt.UTC(), Availability: models.Availability(row.Availability),
		}
	}
	return videos, nil
}

func (r videoProjectionRepo) Listed(ctx context.Context, ids []models.VideoID) (map[models.VideoID]po.ListedVideo, error) {
	var videos map[models.VideoID]po.Video
	var stats map[models.VideoID]po.VideoStats
	err := r.tx.Together(ctx, func(tx *Tx) (err error) {
		videos, err = tx.Videos.ListByIDs(ctx, ids)
		return err
	}, func(tx *Tx) (err error) {
		stats, err = tx.VideoStats.BatchGet(ctx, ids)
		return err
	})
	if err != nil {
		return nil, err
	}
	listed := make(map[models.VideoID]po.ListedVideo, len(ids))
	for _, id := range ids {
		l := po.ListedVideo{Availability: models.Unknown, Stats: stats[id]}
		if video, known := videos[id]; known {
			l.Availability, l.Video = video.Availability, &video
		}
		listed[id] = l
	}
	return listed, nil
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
