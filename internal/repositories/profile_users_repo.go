package repositories

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories/profiledb"
)

type profileRepo struct{ q *profiledb.Queries }

func (r profileRepo) BatchGet(ctx context.Context, ids []models.UserID) (map[models.UserID]po.User, error) {
	rows, err := r.q.BatchGetProfiles(ctx, uuids(ids))
	if err != nil {
		return nil, fmt.Errorf("read profiles: %w", translate(err))
	}
	users := make(map[models.UserID]po.User, len(rows))
	for _, row := range rows {
		if users[models.UserID(row.UserID)], err = decodeUser(row); err != nil {
			return nil, err
		}
	}
	return users, nil
}

func (r profileRepo) Lock(ctx context.Context, id models.UserID) (po.User, error) {
	row, err := r.q.LockProfile(ctx, uuid.UUID(id))
	if errors.Is(err, pgx.ErrNoRows) {
		return po.User{}, models.ErrProfileNotFound
	}
	if err != nil {
		return po.User{}, fmt.Errorf("lock profile: %w", translate(err))
	}
	return decodeUser(row)
}

func (r profileRepo) Upsert(ctx context.Context, id models.UserID, c po.Content) (po.User, bool, error) {
	extra, err := json.Marshal(c.Extra)
	if err != nil {
		return po.User{}, false, fmt.Errorf("encode extra: %w", err)
	}
	row, err := r.q.CreateProfile(ctx, profiledb.CreateProfileParams{
		UserID: uuid.UUID(id), DisplayName: c.DisplayName, AvatarURL: c.AvatarURL, LearningGoal: c.LearningGoal,
		DailyQuotaMinutes: c.DailyQuotaMinutes, Extra: string(extra),
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return po.User{}, false, nil
	}
	if err != nil {
		return po.User{}, false, fmt.Errorf("create profile: %w", translate(err))
	}
	user, err := decodeUser(row)
	return user, true, err
}

func (r profileRepo) IncrementVersion(ctx context.Context, id models.UserID, expected int64, c po.Content) (po.User, error) {
	extra, err := json.Marshal(c.Extra)
	if err != nil {
		return po.User{}, fmt.Errorf("encode extra: %w", err)
	}
	row, err := r.q.UpdateProfile(ctx, profiledb.UpdateProfileParams{
		UserID: uuid.UUID(id), DisplayName: c.DisplayName, AvatarURL: c.AvatarURL, LearningGoal: c.LearningGoal,
		DailyQuotaMinutes: c.DailyQuotaMinutes, Extra: string(extra), ExpectedVersion: expected,
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return po.User{}, models.ErrVersionConflict
	}
	if err != nil {
		return po.User{}, fmt.Errorf("update profile: %w", translate(err))
	}
	return decodeUser(row)
}

func decodeUser(row profiledb.ProfileUser) (po.User, error) {
	user := po.User{
		UserID: models.UserID(row.UserID),
		Content: po.Content{
			DisplayName: row.DisplayName,
			AvatarURL:   row.AvatarURL,
			Preferences: po.Preferences{LearningGoal: row.LearningGoal, DailyQuotaMinutes: row.DailyQuotaMinutes},
		},
		Version:   row.ProfileVersion,
		CreatedAt: row.CreatedAt.UTC(), UpdatedAt: row.UpdatedAt.UTC(),
	}
	if err := json.Unmarshal([]byte(row.Extra), &user.Extra); err != nil {
		return po.User{}, fmt.Errorf("decode extra of profile: %w", err)
	}
	return user, nil
}
