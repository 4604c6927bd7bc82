package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/infrastructure/devstack"
	"github.com/lingo-services/profile/internal/models"
)

// habits say how callers behave, in percent.
type habits struct {
	// users call at the same time, each about a few of videos, with a pause of up to gap after each call.
	users, videos int
	gap           time.Duration
	// watchers also report progress, at the same time as they like.
	watchers int
	// readers read what the users write, all the time; look is how often a user reads after a write.
	readers, look int
	// impatient calls end within a few milliseconds, and are made again.
	impatient int
	// poisoned users like, now and then, a video that has no room for another like.
	poisoned int
}

// crowd is a running set of callers of the API, and what they were told.
type crowd struct {
	habits
	world  *world
	stop   context.CancelFunc
	group  sync.WaitGroup
	videos []uuid.UUID
	poison uuid.UUID
	users  []uuid.UUID
	// calling is how many calls are on their way now.
	calling atomic.Int64
	// acknowledged and refused count calls.
	acknowledged, refused atomic.Int64
	// poisonings counts likes of the poisoned video that were refused as such.
	poisonings atomic.Int64

	mu      sync.Mutex
	answers answers
	// again counts calls that were made again, by what was answered first.
	again map[string]int
}

// startCrowd calls until stopped.
func startCrowd(ctx context.Context, w *world, h habits, seed uint64) *crowd {
	running, stop := context.WithCancel(ctx)
	c := &crowd{habits: h, world: w, stop: stop, answers: answers{accounts: map[register]account{}}, again: map[string]int{}}
	rng := newRand(seed, 500)
	for range h.videos {
		c.videos = append(c.videos, randomUUID(rng))
	}
	c.poison = randomUUID(rng)
	for range h.users {
		c.users = append(c.users, randomUUID(rng))
	}
	for i, u := range c.users {
		one := &caller{crowd: c, number: i, user: u, rng: newRand(seed, 1000+2*uint64(i)), poisoned: i < h.poisoned}
		c.group.Go(func() { one.run(ctx, running, one.favorite) })
		if i%100 < h.watchers {
			other := &caller{crowd: c, number: i + 1, user: u, rng: newRand(seed, 1001+2*uint64(i))}
			c.group.Go(func() { other.run(ctx, running, other.watch) })
		}
	}
	for i := range h.readers {
		one := &caller{crowd: c, number: i, rng: newRand(seed, 1_000_000+uint64(i))}
		c.group.Go(func() { one.run(ctx, running, one.stare) })
	}
	return c
}

// wait stops the crowd: every call in hand is answered first.
func (c *crowd) wait() {
	c.stop()
	c.group.Wait()
}

// complain notes what nobody should see.
func (c *crowd) complain(invariant, format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers.seen = append(c.answers.seen, complaint{invariant, fmt.Sprintf(format, args...)})
}

func (c *crowd) repeats(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.again[status.Code(err).String()]++
}

func (c *crowd) account(r register) account {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.answers.accounts[r]
}

func (c *crowd) enter(r register, a account) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers.accounts[r] = a
}

// caller is one user's app, or a reader.
type caller struct {
	*crowd
	number   int
	user     uuid.UUID
	rng      *rand.Rand
	poisoned bool
	calls    int
	seconds  int64
}

func (c *caller) run(ctx, running context.Context, act func(ctx context.Context)) {
	for running.Err() == nil {
		act(ctx)
		waited(running, between(c.rng, 0, c.gap))
	}
}

// as is the context of a call by user.
func as(ctx context.Context, user uuid.UUID) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "x-apigateway-api-userinfo", devstack.UserInfo(user.String()))
}

func (c *caller) key() string {
	c.calls++
	return fmt.Sprintf("%s-%d-%d", c.user, c.number, c.calls)
}

// favorite makes a random like or bookmark be there or not, and may look at what came of it.
func (c *caller) favorite(ctx context.Context) {
	r := register{c.user, c.videos[c.rng.IntN(len(c.videos))], liked}
	kind, action, want := profilev1.FavoriteType_FAVORITE_TYPE_LIKE, profilev1.FavoriteAction_FAVORITE_ACTION_ADD, int64(1)
	poison := c.poisoned && c.rng.IntN(3) == 0
	switch {
	case poison:
		r.video = c.poison
	case c.rng.IntN(4) == 0:
		kind, r.kind = profilev1.FavoriteType_FAVORITE_TYPE_BOOKMARK, bookmarked
	}
	if !poison && c.rng.IntN(5) < 2 {
		action, want = profilev1.FavoriteAction_FAVORITE_ACTION_REMOVE, 0
	}
	req := &profilev1.MutateFavoriteRequest{VideoId: r.video.String(), FavoriteType: kind, Action: action, IdempotencyKey: c.key()}
	var resp *profilev1.MutateFavoriteResponse
	told, err := c.ask(ctx, func(ctx context.Context) (err error) {
		resp, err = c.world.server.client(c.number).MutateFavorite(as(ctx, c.user), req)
		return err
	})
	a := c.account(r)
	switch told {
	case acknowledged:
		if poison {
			c.complain("A3", "a like of the poisoned video was acknowledged")
		}
		state := resp.GetState()
		if have := int64(btoi(state.GetHasLiked())); r.kind == liked && have != want {
			c.complain("A5", "the answer to %s says that the like is %d", action, have)
		}
		if have := int64(btoi(state.GetHasBookmarked())); r.kind == bookmarked && have != want {
			c.complain("A5", "the answer to %s says that the bookmark is %d", action, have)
		}
		if resp.GetChanged() != (a.value != want) {
			c.complain("A1", "the %s of user %s was %d when it was to be %d, but the answer says changed: %t", r.kind, c.user, a.value, want, resp.GetChanged())
		}
		a.changes += btoi(resp.GetChanged())
		a.value, a.refused = want, nil
	case refused:
		a.refused = append(a.refused, want)
		switch reason := reasonOf(err); {
		case poison && reason == models.ReasonCounterOverflow:
			c.poisonings.Add(1)
		case reason != models.ReasonOverloaded:
			c.complain("A3", "%s of a video (poisoned: %t): %v", action, poison, err)
		}
	case inDoubt:
		a.open = true
	}
	c.enter(r, a)
	if told == acknowledged && c.rng.IntN(100) < c.look {
		c.check(ctx)
	}
}

// watch reports progress.
func (c *caller) watch(ctx context.Context) {
	r := register{c.user, c.videos[c.rng.IntN(len(c.videos))], watching}
	c.seconds++
	ratio := 0.05 + 0.9*c.rng.Float64()
	req := &profilev1.UpsertWatchProgressRequest{
		VideoId: r.video.String(), IdempotencyKey: c.key(),
		Progress: &profilev1.WatchProgress{PositionSeconds: c.seconds, ProgressRatio: &ratio, TotalWatchSeconds: c.seconds, SessionId: "chaos"},
	}
	told, err := c.ask(ctx, func(ctx context.Context) error {
		_, err := c.world.server.client(c.number).UpsertWatchProgress(as(ctx, c.user), req)
		return err
	})
	a := c.account(r)
	switch told {
	case acknowledged:
		a.value, a.refused = c.seconds, nil
	case refused:
		a.refused = append(a.refused, c.seconds)
		if reasonOf(err) != models.ReasonOverloaded {
			c.complain("A3", "progress: %v", err)
		}
	case inDoubt:
		a.open = true
	}
	c.enter(r, a)
}

// stare reads what a random user may be writing.
func (c *caller) stare(ctx context.Context) {
	_, _ = c.read(ctx, c.users[c.rng.IntN(len(c.users))])
}

// check holds what a user reads, from a cache if there is one, against what the user was told.
func (c *caller) check(ctx context.Context) {
	resp, err := c.read(ctx, c.user)
	if err != nil {
		if reason := reasonOf(err); transient(err) == definite && reason != models.ReasonOverloaded {
			c.complain("A3", "a read: %v", err)
		}
		return
	}
	for i, s := range resp.GetSummaries() {
		for kind, have := range map[string]bool{liked: s.GetState().GetHasLiked(), bookmarked: s.GetState().GetHasBookmarked()} {
			want := c.account(register{c.user, c.videos[i], kind})
			if !want.open && int64(btoi(have)) != want.value {
				c.complain("A5", "user %s reads that the %s of %s is %t, acknowledged was %d", c.user, kind, c.videos[i], have, want.value)
			}
		}
	}
}

const callTimeout = 2 * time.Second

func (c *caller) read(ctx context.Context, user uuid.UUID) (*profilev1.BatchQueryFavoriteResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	ids := make([]string, len(c.videos))
	for i, v := range c.videos {
		ids[i] = v.String()
	}
	return c.world.server.client(c.number).BatchQueryFavorite(as(ctx, user), &profilev1.BatchQueryFavoriteRequest{VideoIds: ids})
}

// told is what became of a call in the end.
type told uint8

const (
	// inDoubt calls may have been applied or not.
	inDoubt told = iota
	acknowledged
	// refused: it was not applied.
	refused
)

// ask makes a call until its answer says for certain what became of it, with the same idempotency key each time.
func (c *caller) ask(ctx context.Context, call func(ctx context.Context) error) (told, error) {
	until := time.Now().Add(patience)
	doubt := false
	for try := 0; ; try++ {
		err := c.once(ctx, try, call)
		if err == nil {
			c.acknowledged.Add(1)
			return acknowledged, nil
		}
		overloaded := reasonOf(err) == models.ReasonOverloaded
		if overloaded {
			c.judgeRefusal(err)
			waited(ctx, advice(err))
		}
		switch transient(err) {
		case definite:
			if !overloaded || !doubt {
				c.refused.Add(1)
				return refused, err
			}
		case doubtful:
			doubt = true
		case collided:
		}
		c.repeats(err)
		if time.Now().After(until) || !waited(ctx, between(c.rng, 5*time.Millisecond, 50*time.Millisecond)) {
			return inDoubt, err
		}
	}
}

// once makes a call, which an impatient caller leaves early.
func (c *caller) once(ctx context.Context, try int, call func(ctx context.Context) error) error {
	limit := callTimeout
	early := try < 3 && c.rng.IntN(100) < c.impatient
	if early {
		limit = between(c.rng, 0, 8*time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if early && c.rng.IntN(2) == 0 {
		// Leaves without having said when.
		var leave context.CancelFunc
		ctx, leave = context.WithCancel(context.WithoutCancel(ctx))
		defer time.AfterFunc(limit, leave).Stop()
	}
	c.calling.Add(1)
	defer c.calling.Add(-1)
	return call(ctx)
}

// judgeRefusal: who is turned away learns why, and when to come back (A7).
func (c *caller) judgeRefusal(err error) {
	if code := status.Code(err); code != codes.ResourceExhausted || advice(err) <= 0 {
		c.complain("A7", "an overloaded server refused with %s and advised to wait for %s", code, advice(err))
	}
}

// advice is how long the server wants a call to wait before it is made again; zero when it does not say.
func advice(err error) time.Duration {
	for _, d := range status.Convert(err).Details() {
		if info, is := d.(*errdetails.RetryInfo); is {
			return info.GetRetryDelay().AsDuration()
		}
	}
	return 0
}

// certainty is what an error says about its call.
type certainty uint8

const (
	// definite: it was not applied, and will not be.
	definite certainty = iota
	// doubtful: it may have been applied.
	doubtful
	// collided: it was not applied, and may be next time; of an earlier one with its key this says nothing.
	collided
)

func transient(err error) certainty {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return doubtful
	case codes.Aborted:
		return collided
	default:
		return definite
	}
}

// reasonOf is what the service calls an error; empty when it did not come from the service.
func reasonOf(err error) models.Reason {
	for _, d := range status.Convert(err).Details() {
		if info, is := d.(*errdetails.ErrorInfo); is {
			return models.Reason(info.GetReason())
		}
	}
	return ""
}
