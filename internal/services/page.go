package services

import (
	"context"
	"fmt"
	"strings"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/vo"
)

// cut keeps the first size of size+1 rows read; when there was one more, token continues below the last
// row kept.
func cut[T any](rows []T, size int, token func(last T) string) (kept []T, next string) {
	if len(rows) <= size {
		return rows, ""
	}
	rows = rows[:size]
	return rows, token(rows[size-1])
}

const (
	// spareShare: one row in so many more than a page needs is read, for those that are hidden.
	spareShare = 8
	// maxScan is the greatest number of rows that is read at a time.
	maxScan = 2000
)

// listing is one user's list: rows, of which those show whose videos the user may see (S51).
type listing[Q, R, E any] struct {
	lists  *sharedReads[Q, []R]
	videos *ListedVideos
	call   models.Call
	// everything: nothing is hidden.
	everything bool
	// below asks for up to limit rows below last, which is nil for the first ones.
	below func(last *R, limit int) Q
	video func(row R) models.VideoID
	entry func(row R, video *vo.ListedVideo) E
}

// first reads rows until size of them show, or there are no more.
func (l listing[Q, R, E]) first(ctx context.Context, size int) (entries []E, err error) {
	var last *R
	entries = make([]E, 0, size+size/spareShare)
	for limit, read := cap(entries), 0; ; limit = rowsFor(size-len(entries), len(entries), read) {
		rows, err := l.next(ctx, last, limit)
		if err != nil {
			return nil, err
		}
		if entries, err = l.show(ctx, rows, entries); err != nil {
			return nil, err
		}
		if len(entries) >= size || len(rows) < limit {
			return entries[:min(size, len(entries))], nil
		}
		last, read = &rows[len(rows)-1], read+len(rows)
	}
}

// rowsFor is how many rows to read for missing more entries, when of read rows some showed: some times what that share lets
// expect, since another statement costs more than rows too many.
func rowsFor(missing, showed, read int) int {
	const margin = 3
	return min(margin*missing*read/(showed+1)+1, maxScan)
}

// next shares a statement for the first rows. Later ones are asked for where many are hidden, which is nobody else's business.
func (l listing[Q, R, E]) next(ctx context.Context, last *R, limit int) ([]R, error) {
	q := l.below(last, limit)
	if last == nil {
		return l.lists.get(ctx, l.call, q)
	}
	return l.lists.alone(ctx, question[Q]{l.call, q})
}

func (l listing[Q, R, E]) show(ctx context.Context, rows []R, entries []E) ([]E, error) {
	ids := make([]models.VideoID, len(rows))
	for i, row := range rows {
		ids[i] = l.video(row)
	}
	videos, err := l.videos.get(ctx, l.call, ids)
	for i, video := range videos {
		if l.everything || video.ShownTo(l.call.Subject) {
			entries = append(entries, l.entry(rows[i], video))
		}
	}
	return entries, err
}

// filterText spells filter values one way, for the scope of a page token.
func filterText(values ...any) string {
	var b strings.Builder
	for _, v := range values {
		fmt.Fprintf(&b, "%v\n", v)
	}
	return b.String()
}
