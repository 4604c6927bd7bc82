package repositories

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories/profiledb"
)

type engagementRepo struct {
	q  *profiledb.Queries
	tx *Tx
}

func (r engagementRepo) Upsert(ctx context.Context, cmds []po.FavoriteCommand, policy po.FavoritePolicy) ([]po.FavoriteChange, error) {
	n := len(cmds)
	p := profiledb.SetFavoritesParams{
		Ordinals: make([]int32, n), UserIDs: make([]uuid.UUID, n), VideoIDs: make([]uuid.UUID, n), Types: make([]string, n),
		Active: make([]bool, n), Effective: make([]time.Time, n), Live: make([]bool, n), AtLimit: make([]bool, n),
		RefusedOwn: texts(policy.RefusedOwn), Refused: texts(policy.Refused),
	}
	for i, c := range cmds {
		p.Ordinals[i], p.UserIDs[i], p.VideoIDs[i], p.Types[i] = int32(i), uuid.UUID(c.UserID), uuid.UUID(c.VideoID), string(c.Type)
		p.Active[i], p.Effective[i], p.Live[i], p.AtLimit[i] = c.Active, c.At.At, c.At.Live, c.AtLimit
	}
	rows, err := r.q.SetFavorites(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("set favorites: %w", translate(err))
	}
	changes := make([]po.FavoriteChange, n)
	for _, row := range rows {
		changes[row.Ordinal] = po.FavoriteChange{
			Changed: row.Changed, Stored: row.Stored, Stale: row.Stale, Unavailable: row.Unavailable, OverLimit: row.OverLimit,
			At: row.EffectiveAt.UTC(), EventAt: row.EventAt.UTC(), Before: unlessZero(row.EngagedAt), Other: unlessZero(row.OtherAt),
			Counted: row.Counted,
		}
	}
	return changes, nil
}

func texts[T ~string](values []T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}

func (r engagementRepo) BatchGet(ctx context.Context, user models.UserID, ids []models.VideoID) ([]po.FavoriteState, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	marked := map[models.VideoID]po.FavoriteState{}
	var stats map[models.VideoID]po.VideoStats
	err := r.tx.Together(ctx, func(tx *Tx) error {
		rows, err := tx.Engagements.(engagementRepo).q.GetFavorites(ctx, profiledb.GetFavoritesParams{UserID: uuid.UUID(user), VideoIDs: uuids(ids)})
		for _, row := range rows {
			if row.Active {
				state := marked[models.VideoID(row.VideoID)]
				state.Mark(models.FavoriteType(row.EngagementType), row.EngagedAt.UTC())
				marked[models.VideoID(row.VideoID)] = state
			}
		}
		return err
	}, func(tx *Tx) (err error) {
		stats, err = tx.VideoStats.BatchGet(ctx, ids)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read favorites: %w", translate(err))
	}
	states := make([]po.FavoriteState, len(ids))
	for i, id := range ids {
		states[i] = marked[id]
		states[i].VideoID, states[i].Stats = id, stats[id]
	}
	return states, nil
}

// Greater than every key: lists start below it.
var (
	endOfTime  = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	greatestID = uuid.Max
)

// kinds are in the order in which a list has those of one time and video.
var kinds = []models.FavoriteType{models.Like, models.Bookmark}

func (r engagementRepo) ListByUser(ctx context.Context, queries []po.FavoriteQuery) ([][]po.Favorite, error) {
	var p profiledb.ListFavoritesParams
	for i, q := range queries {
		for k, kind := range kinds {
			if q.Type != "" && q.Type != kind {
				continue
			}
			at, video := below(q.Before, kind)
			p.Ordinals = append(p.Ordinals, int32(i*len(kinds)+k))
			p.UserIDs = append(p.UserIDs, uuid.UUID(q.UserID))
			p.Types = append(p.Types, string(kind))
			p.BeforeAts = append(p.BeforeAts, at)
			p.BeforeVideos = append(p.BeforeVideos, video)
			p.MaxRows = append(p.MaxRows, int32(q.Limit))
		}
	}
	rows, err := r.q.ListFavorites(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("list favorites: %w", translate(err))
	}
	lists := make([][]po.Favorite, len(queries))
	for _, row := range rows {
		i, kind := int(row.Ordinal)/len(kinds), kinds[int(row.Ordinal)%len(kinds)]
		lists[i] = appendListed(lists[i], kind, row.Packed)
	}
	for i, list := range lists {
		slices.SortFunc(list, newestFirst)
		lists[i] = list[:min(len(list), queries[i].Limit)]
	}
	return lists, nil
}

func appendListed(list []po.Favorite, kind models.FavoriteType, rows packed) []po.Favorite {
	const width = len(uuid.UUID{}) + 2*wordSize
	list = slices.Grow(list, rows.rows(width))
	for len(rows) > 0 {
		list = append(list, po.Favorite{VideoID: models.VideoID(rows.uuid()), Type: kind, EngagedAt: rows.time(), UpdatedAt: rows.time()})
	}
	return list
}

// below is the time and video that rows of a kind are strictly below who are below a key of any kind.
func below(before *po.FavoriteKey, kind models.FavoriteType) (at time.Time, video uuid.UUID) {
	if before == nil {
		return endOfTime, greatestID
	}
	at, video = before.EngagedAt, uuid.UUID(before.VideoID)
	if kind >= before.Type {
		return at, video
	}
	for n := len(video) - 1; n >= 0; n-- { // the next video: the row of this kind is itself below the key
		if video[n]++; video[n] != 0 {
			return at, video
		}
	}
	return at.Add(time.Microsecond), video
}

// newestFirst is the order of lists (S50).
func newestFirst(a, b po.Favorite) int {
	return -cmp.Or(a.EngagedAt.Compare(b.EngagedAt), bytes.Compare(a.VideoID[:], b.VideoID[:]), strings.Compare(string(a.Type), string(b.Type)))
}

func (r engagementRepo) CountByUser(ctx context.Context, q po.FavoriteQuery) (int64, error) {
	n, err := r.q.CountFavorites(ctx, profiledb.CountFavoritesParams{
		UserID: uuid.UUID(q.UserID), EngagementType: string(q.Type), IncludeUnavailable: q.IncludeUnavailable,
	})
	if err != nil {
		return 0, fmt.Errorf("count favorites: %w", translate(err))
	}
	return n, nil
}
