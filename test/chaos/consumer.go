package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	videov1 "github.com/lingo-services/profile/internal/clients/catalog/video/v1"
	"github.com/lingo-services/profile/internal/services"
)

var consuming = setup{consumers: 1}

// consumerFaults are the faults between catalog and projection.
func consumerFaults() []*fault {
	strike := func(f func(context.Context, *round) error) func(context.Context, *round) error {
		return func(ctx context.Context, r *round) error { return consume(ctx, r, false, f) }
	}
	return []*fault{
		{name: "inbox-none", setup: consuming, play: strike(nothing)},
		{name: "inbox-killed", setup: consuming, play: strike(inboxKilled), full: 100},
		{name: "inbox-killed-around-commit", setup: consuming, play: strike(inboxKilledInCommit)},
		{name: "inbox-killed-around-ack", setup: consuming, play: strike(inboxKilledAtAck)},
		{name: "inbox-two-and-terminated", setup: setup{consumers: 2}, play: strike(inboxTerminated)},
		{name: "inbox-commit-unanswered", setup: consuming, play: strike(inboxCommits)},
		{name: "inbox-backends-terminated", setup: consuming, play: strike(backendsTerminated)},
		{name: "inbox-postgres-stopped", setup: consuming, play: strike(postgresCrashed(syscall.SIGQUIT))},
		{name: "inbox-broker-cut", setup: consuming, play: strike(brokerCut)},
		{
			name: "inbox-poison", setup: consuming,
			play: func(ctx context.Context, r *round) error { return consume(ctx, r, true, inboxKilled) },
		},
	}
}

func inboxKilled(ctx context.Context, r *round) error {
	if err := r.pause(ctx, 0, 500*time.Millisecond); err != nil {
		return err
	}
	r.consumers[0].kill()
	return r.replenish(ctx)
}

func inboxKilledInCommit(ctx context.Context, r *round) error {
	nth := 1 + r.rng.IntN(6)
	after := []fate{pass, dropped}[r.rng.IntN(2)]
	victim := r.consumers[0]
	struck := make(chan struct{})
	var mu sync.Mutex
	r.sub.set(rules{onCommit: func() fate {
		mu.Lock()
		defer mu.Unlock()
		if nth--; nth != 0 {
			return pass
		}
		victim.kill()
		close(struck)
		return after
	}})
	defer r.sub.set(rules{})
	if err := within(ctx, struck); err != nil {
		return err
	}
	return r.replenish(ctx)
}

func inboxKilledAtAck(ctx context.Context, r *round) error {
	nth := 1 + r.rng.IntN(4)
	after := []ackFate{taken, lost}[r.rng.IntN(2)]
	victim := r.consumers[0]
	struck := make(chan struct{})
	var mu sync.Mutex
	r.broker.mishandleAcks(func() ackFate {
		mu.Lock()
		defer mu.Unlock()
		if nth--; nth != 0 {
			return taken
		}
		victim.kill()
		close(struck)
		return after
	})
	defer r.broker.mishandleAcks(nil)
	if err := within(ctx, struck); err != nil {
		return err
	}
	return r.replenish(ctx)
}

func inboxTerminated(ctx context.Context, r *round) error {
	if err := r.pause(ctx, 200*time.Millisecond, 500*time.Millisecond); err != nil {
		return err
	}
	code, err := r.consumers[r.rng.IntN(len(r.consumers))].terminate(grace)
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("SIGTERM: exit code %d\n%s", code, r.tails())
	}
	return r.replenish(ctx)
}

func inboxCommits(ctx context.Context, r *round) error {
	n := 0
	var mu sync.Mutex
	every := 2 + r.rng.IntN(3)
	r.sub.set(rules{onCommit: func() fate {
		mu.Lock()
		defer mu.Unlock()
		n++
		switch n % (2 * every) {
		case 0:
			return dropped
		case every:
			return unanswered
		}
		return pass
	}})
	defer r.sub.set(rules{})
	return r.steady(ctx, 500*time.Millisecond)
}

func brokerCut(ctx context.Context, r *round) error {
	if err := r.pause(ctx, 100*time.Millisecond, 400*time.Millisecond); err != nil {
		return err
	}
	r.wire.cut()
	return nil
}

// consume sends a catalog's events in any order and more than once, strikes meanwhile, and compares the
// projection with a fold of its own.
func consume(ctx context.Context, r *round, poison bool, strike func(context.Context, *round) error) error {
	batch := newCatalog(newRand(r.seed, 99), poison)
	var group sync.WaitGroup
	var sent error
	group.Go(func() { sent = r.sendAll(ctx, batch) })
	err := strike(ctx, r)
	group.Wait()
	if err := errors.Join(err, sent); err != nil {
		return fmt.Errorf("strike: %w\n%s", err, r.tails())
	}
	r.expected = append(r.expected, batch.expected...)
	r.folds = append(r.folds, batch.videos...)
	return r.judgeInbox(ctx)
}

// expectation is an event that must have exactly one effect.
type expectation struct {
	id    uuid.UUID
	state string
}

// catalog is a set of events and what they must come to.
type catalog struct {
	rng      *rand.Rand
	messages []*catalogMessage
	expected []expectation
	videos   []*video
}

type catalogMessage struct {
	message *pubsubpb.PubsubMessage
	// anonymous messages are known by the id that the broker gives them.
	anonymous bool
}

// video is our own idea of a projected video: the newest word on each field.
type video struct {
	id     uuid.UUID
	fields map[string]word
	// version, created and deleted are the greatest seen.
	version, created, deleted int64
}

type word struct {
	version int64
	value   string
}

func (v *video) say(field string, version int64, value string) {
	if version > v.fields[field].version {
		v.fields[field] = word{version, value}
	}
}

func newCatalog(rng *rand.Rand, poison bool) *catalog {
	c := &catalog{rng: rng}
	for range 6 {
		v := &video{id: randomUUID(rng), fields: map[string]word{}}
		c.videos = append(c.videos, v)
		for version := int64(1); version <= 12; version++ {
			c.add(v, version)
		}
	}
	if poison {
		c.addPoison()
	}
	// Repetitions, and any order.
	for i := range len(c.messages) {
		if m := c.messages[i]; !m.anonymous && rng.IntN(4) == 0 {
			c.messages = append(c.messages, m)
		}
	}
	rng.Shuffle(len(c.messages), func(i, j int) { c.messages[i], c.messages[j] = c.messages[j], c.messages[i] })
	return c
}

func (c *catalog) add(v *video, version int64) {
	id := randomUUID(c.rng)
	e := &videov1.Event{EventId: id.String(), AggregateId: v.id.String(), AggregateType: "video", Version: version}
	v.version = max(v.version, version)
	switch {
	case version == 1:
		created := &videov1.VideoCreated{VideoId: v.id.String(), Version: version, Title: c.text(), Status: "published"}
		e.EventType, e.Payload = videov1.EventType_EVENT_TYPE_VIDEO_CREATED, &videov1.Event_Created{Created: created}
		v.say("title", version, created.GetTitle())
		v.say("status", version, created.GetStatus())
		v.created = version
	case version == 12 && c.rng.IntN(3) == 0:
		e.EventType, e.Payload = videov1.EventType_EVENT_TYPE_VIDEO_DELETED,
			&videov1.Event_Deleted{Deleted: &videov1.VideoDeleted{VideoId: v.id.String(), Version: version}}
		v.deleted = version
	default:
		e.EventType, e.Payload = videov1.EventType_EVENT_TYPE_VIDEO_UPDATED, &videov1.Event_Updated{Updated: c.update(v, version)}
	}
	c.send(e, "processed")
}

func (c *catalog) text() string { return fmt.Sprintf("text %d", c.rng.IntN(1_000_000)) }

// update changes some fields, and clears some.
func (c *catalog) update(v *video, version int64) *videov1.VideoUpdated {
	u := &videov1.VideoUpdated{VideoId: v.id.String(), Version: version}
	for name, field := range map[string]**string{
		"title": &u.Title, "description": &u.Description, "thumbnail_url": &u.ThumbnailUrl,
		"hls_master_playlist": &u.HlsMasterPlaylist, "status": &u.Status, "visibility_status": &u.VisibilityStatus,
	} {
		switch c.rng.IntN(5) {
		case 0, 1:
			*field = proto.String(c.text())
		case 2:
			*field = proto.String("")
		default:
			continue
		}
		v.say(name, version, **field)
	}
	if c.rng.IntN(2) == 0 {
		u.DurationMicros = proto.Int64(c.rng.Int64N(1_000_000))
		v.say("duration_micros", version, fmt.Sprint(u.GetDurationMicros()))
	}
	return u
}

func (c *catalog) send(e *videov1.Event, state string) {
	data, err := proto.Marshal(e)
	if err != nil {
		return // a message of ours always encodes
	}
	id, _ := uuid.Parse(e.GetEventId())
	c.expected = append(c.expected, expectation{id, state})
	c.messages = append(c.messages, &catalogMessage{message: &pubsubpb.PubsubMessage{
		Data: data, Attributes: map[string]string{"event_id": e.GetEventId(), "aggregate_id": e.GetAggregateId(), "event_type": "catalog.video.other"},
	}})
}

// addPoison adds what cannot be decoded, what is wrong, what is unknown and what the database refuses.
func (c *catalog) addPoison() {
	for range 2 {
		c.messages = append(c.messages, &catalogMessage{anonymous: true, message: &pubsubpb.PubsubMessage{
			Data: []byte("\xff\xff poison"), Attributes: map[string]string{"event_type": "catalog.video.updated"},
		}})
		video := randomUUID(c.rng).String()
		event := func() *videov1.Event {
			return &videov1.Event{EventId: randomUUID(c.rng).String(), AggregateId: video, AggregateType: "video"}
		}
		wrong := event()
		wrong.Payload = &videov1.Event_Updated{Updated: &videov1.VideoUpdated{VideoId: video, Version: -1, Title: proto.String("x")}}
		c.send(wrong, "dead")
		c.send(event(), "parked")
		refused := event()
		refused.Payload = &videov1.Event_Updated{Updated: &videov1.VideoUpdated{VideoId: video, Version: 1, Title: proto.String("refuse me")}}
		c.send(refused, "dead")
	}
}

// sendAll publishes in small calls over about half a second.
func (r *round) sendAll(ctx context.Context, c *catalog) error {
	for chunk := range slices.Chunk(c.messages, 8) {
		var messages []*pubsubpb.PubsubMessage
		for _, m := range chunk {
			messages = append(messages, proto.Clone(m.message).(*pubsubpb.PubsubMessage))
		}
		ids, err := r.broker.send(ctx, messages...)
		if err != nil {
			return err
		}
		for i, m := range chunk {
			if m.anonymous {
				c.expected = append(c.expected, expectation{services.MessageEventID(ids[i]), "dead"})
			}
		}
		if !waited(ctx, between(c.rng, 10*time.Millisecond, 60*time.Millisecond)) {
			return ctx.Err()
		}
	}
	return nil
}

// judgeInbox waits until everything had an effect and nothing is in hand, and judges the whole world.
func (r *round) judgeInbox(ctx context.Context) error {
	quiet := eventually(ctx, r.patience, func(ctx context.Context) (bool, error) {
		n, err := one[int](ctx, r.world, "SELECT count(*)::int FROM profile.inbox_events")
		return n >= len(r.expected) && r.broker.unsettled() == 0, err
	})
	if quiet != nil {
		quiet = fmt.Errorf("the inbox does not come to rest, %d in hand: %w\n%s", r.broker.unsettled(), quiet, r.tails())
	}
	v, err := r.inboxVerdict(ctx)
	if err != nil {
		return errors.Join(quiet, err)
	}
	r.count(v)
	if len(v.problems) > 0 {
		return errors.Join(quiet, errors.New(strings.Join(v.problems, "\n")))
	}
	return quiet
}

func (r *round) inboxVerdict(ctx context.Context) (v verdict, err error) {
	rows, err := r.look.Query(ctx, "SELECT event_id, count(*)::int, min(state) FROM chaos.effects GROUP BY 1")
	if err != nil {
		return v, err
	}
	effects, states := map[uuid.UUID]int{}, map[uuid.UUID]string{}
	var id uuid.UUID
	var n int
	var state string
	if _, err = pgx.ForEachRow(rows, []any{&id, &n, &state}, func() error {
		effects[id], states[id] = n, state
		return nil
	}); err != nil {
		return v, err
	}
	wrong := 0
	for _, e := range r.expected {
		v.lost += btoi(effects[e.id] == 0)
		wrong += btoi(effects[e.id] > 0 && states[e.id] != e.state)
		v.duplicate += max(0, effects[e.id]-1)
	}
	v.committed, v.delivered = len(r.expected), len(effects)
	v.phantoms = max(0, len(effects)-len(r.expected)+v.lost)
	falls, err := one[int](ctx, r.world, "SELECT count(*)::int FROM chaos.falls")
	if err != nil {
		return v, err
	}
	differing, err := r.differing(ctx)
	if err != nil {
		return v, err
	}
	v.inversions = falls + len(differing)
	r.broker.mu.Lock()
	unseen := len(r.broker.unseen)
	r.broker.mu.Unlock()
	v.blame(v.lost > 0, "I7", "%d of %d events had no effect", v.lost, v.committed)
	v.blame(v.duplicate > 0, "I7", "%d effects too many", v.duplicate)
	v.blame(v.phantoms > 0, "I7", "%d effects of nothing", v.phantoms)
	v.blame(wrong > 0, "I7", "%d events ended in another state", wrong)
	v.blame(len(differing) > 0, "I8", "%d videos are not the fold of their events: %s", len(differing), strings.Join(differing, "; "))
	v.blame(falls > 0, "I9", "%d versions fell", falls)
	v.blame(unseen > 0, "I10", "%d messages were acknowledged before their commit", unseen)
	return v, nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// differing compares the projection with our own folds.
func (r *round) differing(ctx context.Context) (lines []string, err error) {
	for _, v := range r.folds {
		row, err := one[map[string]string](ctx, r.world, `
			SELECT coalesce((SELECT jsonb_build_object('title', coalesce(title, ''), 'description', coalesce(description, ''),
				'thumbnail_url', coalesce(thumbnail_url, ''), 'hls_master_playlist', coalesce(hls_master_playlist, ''), 'status', coalesce(status, ''),
				'visibility_status', coalesce(visibility_status, ''), 'duration_micros', coalesce(duration_micros::text, ''),
				'versions', version || ' ' || created_version || ' ' || deleted_version)
			FROM profile.videos_projection WHERE video_id = $1), '{}')`, v.id)
		if err != nil {
			return nil, err
		}
		want := map[string]string{"versions": fmt.Sprintf("%d %d %d", v.version, v.created, v.deleted)}
		for name, w := range v.fields {
			want[name] = w.value
		}
		for name, value := range want {
			if row[name] != value {
				lines = append(lines, fmt.Sprintf("%s %s is %q, not %q", v.id, name, row[name], value))
				break
			}
		}
	}
	return lines[:min(len(lines), 5)], nil
}
