package devstack

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/csv"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/google/uuid"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/services"
)

// videosCSV is a few dozen rows of the public-domain "Trending YouTube Video Statistics" data set.
//
//go:embed seed/videos.csv
var videosCSV []byte

// SeedUsers are the users every development database has.
var SeedUsers = []struct{ ID, Name string }{
	{"11111111-1111-4111-8111-111111111111", "Ada"},
	{"22222222-2222-4222-8222-222222222222", "Björn"},
	{"33333333-3333-4333-8333-333333333333", "Chị Hoa"},
}

// Seed fills an empty database through the services: videos, then likes and progress, then profiles. The
// last profile marks it done; every earlier step can be repeated, so an interrupted seed is finished by the
// next one. Returns false when there was nothing to do.
func Seed(ctx context.Context, s *Service) (seeded bool, err error) {
	users := make([]models.UserID, len(SeedUsers))
	for i, u := range SeedUsers {
		if users[i], err = models.ParseUserID(u.ID); err != nil {
			return false, fmt.Errorf("seed user %s: %w", u.Name, err)
		}
	}
	last := models.Call{Actor: models.UserActor(users[len(users)-1]), Subject: users[len(users)-1]}
	if _, err := s.Profiles.Get(ctx, last); !errors.Is(err, models.ErrProfileNotFound) {
		return false, err
	}
	videos, err := seedVideos()
	if err != nil {
		return false, err
	}
	if _, err := s.Videos.Upsert(ctx, videos); err != nil {
		return false, fmt.Errorf("seed videos: %w", err)
	}
	for i, user := range users {
		if err := seedUser(ctx, s, i, user, videos); err != nil {
			return false, fmt.Errorf("seed user %s: %w", SeedUsers[i].Name, err)
		}
	}
	return true, nil
}

func seedUser(ctx context.Context, s *Service, n int, user models.UserID, videos []services.VideoChange) error {
	actor := models.UserActor(user)
	var favorites []services.FavoriteCommand
	var reports []services.ProgressReport
	for i, v := range videos {
		if (i+n)%4 == 0 {
			favorites = append(favorites, services.FavoriteCommand{UserID: user, VideoID: v.VideoID, Type: models.Like, Active: true})
		}
		if (i+n)%7 == 0 {
			favorites = append(favorites, services.FavoriteCommand{UserID: user, VideoID: v.VideoID, Type: models.Bookmark, Active: true})
		}
		if (i+n)%5 == 0 {
			length := *v.DurationMicros / int64(time.Second/time.Microsecond)
			watched := length * int64(10+(i*13+n*29)%90) / 100
			reports = append(reports, services.ProgressReport{UserID: user, VideoID: v.VideoID, PositionSeconds: watched, TotalSeconds: watched})
		}
	}
	if _, err := s.Engagements.Apply(ctx, actor, favorites); err != nil {
		return err
	}
	if _, err := s.Watch.Apply(ctx, actor, reports); err != nil {
		return err
	}
	goal := "Twenty minutes of listening every day"
	_, err := s.Profiles.Update(ctx, models.Call{Actor: actor, Subject: user}, services.UpdateProfile{Patch: po.ProfilePatch{
		DisplayName: po.Set(SeedUsers[n].Name), LearningGoal: po.Set(&goal),
	}})
	return err
}

// VideoUUID maps an 11-character video id of the data set to the id we use (UUIDv5).
func VideoUUID(id string) models.VideoID {
	return models.VideoID(uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://www.youtube.com/watch?v="+id)))
}

// VideoDuration makes up the length of a video of the data set, which has none: 1-20 minutes, by its id.
func VideoDuration(id string) time.Duration {
	const minute, minutes = 60, 20
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	return time.Duration(minute+h.Sum32()%(minute*(minutes-1))) * time.Second
}

// seedVideos reads videosCSV: video_id, title, publish_time, thumbnail_link, description. Lengths are
// VideoDuration.
func seedVideos() ([]services.VideoChange, error) {
	rows, err := csv.NewReader(bytes.NewReader(videosCSV)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read seed videos: %w", err)
	}
	status, visibility := "published", "public"
	changes := make([]services.VideoChange, 0, len(rows))
	for _, row := range rows[1:] {
		published, err := time.Parse(time.RFC3339, row[2])
		if err != nil {
			return nil, fmt.Errorf("read publish time of %s: %w", row[0], err)
		}
		duration := VideoDuration(row[0]).Microseconds()
		changes = append(changes, services.VideoChange{
			VideoID: VideoUUID(row[0]), Kind: po.VideoCreated, Version: 1, Title: &row[1], Description: &row[4], ThumbnailURL: &row[3],
			DurationMicros: &duration, Status: &status, VisibilityStatus: &visibility, PublishedAt: &published,
		})
	}
	return changes, nil
}
