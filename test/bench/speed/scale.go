package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
)

// Two users beside the numbered ones, when there are videos enough: one with a thousand pages of likes, one
// whose newest likes are of videos that are not available any more.
const (
	deepPages   = 1000
	deepLikes   = deepPages*pageRows + pageRows
	unavailable = 1000
	shownLikes  = 100
)

func (d dataset) hasDeepUsers() bool { return d.Videos >= deepLikes }

func (d dataset) deepUser() int { return d.Users + 1 }

func (d dataset) staleUser() int { return d.Users + 2 }

// deepUsers is the SQL that makes them. Unavailable videos are numbered after the others.
func (d dataset) deepUsers() []string {
	like := func(user, first, last int, age string) string {
		return fmt.Sprintf(`INSERT INTO profile.engagements (user_id, video_id, engagement_type, engaged_at, state_at, last_event_at)
			SELECT md5('%d')::uuid, md5('v' || v)::uuid, 'like', at, at, at FROM generate_series(%d, %d) v,
			LATERAL (SELECT now() - interval '%s' - v * interval '1 second' AS at) a`, user, first, last, age)
	}
	return []string{
		fmt.Sprintf(`INSERT INTO profile.videos_projection (video_id, title, status, visibility_status, version, created_version)
			SELECT md5('v' || v)::uuid, 'Gone ' || v, 'deleted', 'public', 1, 1 FROM generate_series(%d, %d) v`, d.Videos+1, d.Videos+unavailable),
		like(d.deepUser(), 1, deepLikes, "1 day"),
		like(d.staleUser(), d.Videos+1, d.Videos+unavailable, "1 day"),
		like(d.staleUser(), 1, shownLikes, "100 days"),
		fmt.Sprintf("INSERT INTO profile.user_stats (user_id, like_count) VALUES (md5('%d')::uuid, %d), (md5('%d')::uuid, %d)",
			d.deepUser(), deepLikes, d.staleUser(), unavailable+shownLikes),
	}
}

// scale is bench on a large data set, then what only a large one shows.
func scale(ctx context.Context, t *topology, r *report) error {
	if err := bench(ctx, t, r); err != nil {
		return err
	}
	if t.options.Data.hasDeepUsers() {
		if err := t.pages(ctx, r); err != nil {
			return err
		}
	} else {
		r.Notes = append(r.Notes, fmt.Sprintf("Deep pages were left out: they need %d videos.", deepLikes))
	}
	if t.options.Small == "" {
		return nil
	}
	text, err := os.ReadFile(t.options.Small) //nolint:gosec // G703: told by the caller
	if errors.Is(err, os.ErrNotExist) {
		r.Notes = append(r.Notes, "There is no report of the small data set to compare with.")
		return nil
	}
	if err != nil {
		return err
	}
	var small report
	if err := json.Unmarshal(text, &small); err != nil {
		return fmt.Errorf("read %s: %w", t.options.Small, err)
	}
	compare(r, &small)
	return nil
}

// compare adds how many times slower every rate is than on the small data set.
func compare(large, small *report) {
	e := large.entry("every rate, large against small", "within 1.3 × of the small data set")
	for _, known := range small.Entries {
		i := slices.IndexFunc(large.Entries, func(o *entry) bool { return o.What == known.What })
		if i < 0 {
			continue
		}
		was, is := known.find("service"), large.Entries[i].find("service")
		if was == nil || is == nil || is.median() == 0 {
			continue
		}
		e.add(known.What+": small / large", "", was.median()/is.median(), atMost(1.3))
	}
	large.Notes = append(large.Notes, fmt.Sprintf("The small data set was measured on %s at commit %s.", small.Date.Format("2006-01-02"), small.Commit))
}

// pages compares a first page, the thousandth, and one that has a thousand unavailable videos before it.
func (t *topology) pages(ctx context.Context, r *report) error {
	deep, stale := userID(t.options.Data.deepUser()).String(), userID(t.options.Data.staleUser()).String()
	token, err := t.pageToken(ctx, deep, deepPages)
	if err != nil {
		return err
	}
	lists := []struct{ name, user, token string }{{"page 1", deep, ""}, {"page 1,000", deep, token}, {"1,000 unavailable first", stale, ""}}
	for turn := range t.options.Turns {
		latencies := make([]float64, len(lists))
		for i := range lists {
			n := (i + turn) % len(lists)
			j := t.job(workPage, uniform)
			j.Callers, j.User, j.PageToken, j.PageSize = 1, lists[n].user, lists[n].token, pageRows
			res, err := t.run(ctx, j)
			if err != nil {
				return err
			}
			h, err := res.latency(isAccepted)
			if err != nil {
				return err
			}
			latencies[n] = millis(h, half)
		}
		e := r.entry("list pages of a user with many likes", "within 1.5 × of each other")
		e.add("slowest / fastest p50", "", slices.Max(latencies)/max(slices.Min(latencies), 0.001), atMost(1.5))
		for i, l := range lists {
			e.add(l.name+" p50", "ms", latencies[i], nil)
		}
	}
	return nil
}

// pageToken walks to a page and returns its token.
func (t *topology) pageToken(ctx context.Context, user string, page int) (token string, err error) {
	conn, err := grpc.NewClient(t.service.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	client := profilev1.NewProfileServiceClient(conn)
	for n := 1; n < page; n++ {
		res, err := client.ListFavorites(as(ctx, user), &profilev1.ListFavoritesRequest{
			UserId: user, PageSize: pageRows, PageToken: token, FavoriteType: profilev1.FavoriteType_FAVORITE_TYPE_LIKE,
		})
		if err != nil {
			return "", fmt.Errorf("page %d: %w", n, err)
		}
		if token = res.GetNextPageToken(); token == "" {
			return "", fmt.Errorf("page %d is the last", n)
		}
	}
	return token, nil
}
