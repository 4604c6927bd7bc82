package outbox

import (
	"context"
	"hash/fnv"
	"strconv"
	"time"

	"cloud.google.com/go/pubsub/v2"

	outboxevents "github.com/lingo-services/profile/internal/models/outbox_events"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
)

// orderingKey is the user, or the bucket the user is in for good.
func (p *pump) orderingKey(d po.Delivery) string {
	if p.opts.Buckets == 0 {
		return d.Key.String()
	}
	h := fnv.New32a()
	_, _ = h.Write(d.Key[:])
	return "bucket-" + strconv.FormatUint(uint64(h.Sum32()%p.opts.Buckets), 10)
}

// send hands a group to the client and has its outcome put into the mailbox.
func (p *pump) send(ctx context.Context, g *group) {
	k := p.keys[g.key]
	if k == nil {
		k = &key{name: g.key}
		p.keys[g.key] = k
	}
	if k.mode == blocked {
		k.mode = closing // by a dead letter of the same read, behind this group
	}
	k.outstanding++
	p.outstanding += len(g.events)
	g.sentAt = time.Now()
	g.results = make([]*pubsub.PublishResult, len(g.events))
	for i, e := range g.events {
		g.results[i] = p.topic.Publish(ctx, &pubsub.Message{
			Data: e.Payload, Attributes: outboxevents.Attributes(e.Delivery), OrderingKey: g.key,
		})
	}
	go func() {
		g.await(ctx)
		p.settled.put(g)
	}()
}

// settle books the outcome of a group.
func (p *pump) settle(ctx context.Context, g *group) {
	k := p.keys[g.key]
	k.outstanding--
	p.outstanding -= len(g.events)
	if g.acknowledged > 0 {
		p.acknowledge(g)
	}
	if g.err != nil {
		p.failed(k, g)
	}
	switch {
	case k.outstanding > 0:
	case k.mode == failing:
		p.judge(ctx, k)
	case k.mode == probing:
		p.probed(ctx, k)
	case k.mode == closing:
		p.topic.ResumePublish(k.name)
		p.restart(k)
	default:
		delete(p.keys, k.name)
	}
}

func (p *pump) acknowledge(g *group) {
	if len(p.acknowledged) == 0 {
		p.forgetAt = time.Now().Add(forgetDelay)
	}
	for _, e := range g.events[:g.acknowledged] {
		e.acknowledged = true
		p.acknowledged = append(p.acknowledged, po.Delivered{Lane: e.Lane, ID: e.ID})
		p.observer.Published(e.EventType, g.took)
	}
	p.answered()
}

// answered ends a pause: the broker works.
func (p *pump) answered() {
	if p.brokerFailures > 0 {
		p.brokerFailures, p.pausedUntil, p.onTrial = 0, time.Time{}, false
		p.hungry = true
	}
}

// failed notes the first real failure of a key.
func (p *pump) failed(k *key, g *group) {
	if k.cause == nil || isPaused(k.cause) {
		k.cause = g.err
	}
	if k.mode == flowing {
		k.mode = failing
	}
	if k.mode == failing || k.mode == closing {
		k.takeBack(g.events[g.acknowledged:])
	}
	switch {
	case isRefusal(g.err):
		p.answered()
	case !isPaused(g.err):
		p.pause(g.err)
	}
}

// pause sends nothing for a while. Failures during a pause are of the same breakdown, that of a trial apart.
func (p *pump) pause(err error) {
	now := time.Now()
	if now.Before(p.pausedUntil) && !p.onTrial {
		return
	}
	p.onTrial = false
	p.brokerFailures++
	p.pausedUntil = now.Add(backoff(p.brokerFailures, p.opts.BackoffMin, p.opts.BackoffMax))
	p.observer.BrokerFailed()
	p.log.Warn("broker failed", "error", err, "count", p.brokerFailures)
}

// judge decides about a failed key when nothing of it is outstanding any more; only now may the client send
// for it again. The fault of a message is looked for one by one, because a call is refused as a whole.
func (p *pump) judge(ctx context.Context, k *key) {
	p.topic.ResumePublish(k.name)
	switch {
	case !isRefusal(k.cause):
		p.restart(k)
	case len(k.returned) == 1:
		k.mode = probing
		p.charge(ctx, k)
	default:
		k.mode = probing
		p.probe(ctx, k)
	}
}

// restart forgets what is known of a key and reads its events again, as far as their lanes are held.
func (p *pump) restart(k *key) {
	delete(p.keys, k.name)
	delete(p.retrying, k.name)
	for _, e := range k.returned {
		p.letGo(e)
		p.rewind(e.Lane)
	}
	for number := range k.missed {
		p.rewind(number)
	}
}

// probe tries the first event of a key alone.
func (p *pump) probe(ctx context.Context, k *key) {
	if p.lanes[k.returned[0].Lane] == nil {
		p.restart(k)
		return
	}
	if time.Now().Before(p.pausedUntil) {
		p.retryKey(k, p.pausedUntil)
		return
	}
	delete(p.retrying, k.name)
	k.cause, k.retryAt = nil, time.Time{}
	p.send(ctx, &group{key: k.name, events: k.returned[:1:1]})
}

func (p *pump) retryKey(k *key, at time.Time) {
	k.retryAt = at
	p.retrying[k.name] = k
}

// probed goes on with a key whose first event was tried alone.
func (p *pump) probed(ctx context.Context, k *key) {
	if k.cause == nil {
		k.returned = k.returned[1:]
		if len(k.returned) == 0 {
			p.restart(k)
			return
		}
		p.probe(ctx, k)
		return
	}
	p.topic.ResumePublish(k.name)
	if !isRefusal(k.cause) {
		p.restart(k)
		return
	}
	p.charge(ctx, k)
}

// charge books a refusal of the first event, and blocks the key with the last one allowed.
func (p *pump) charge(ctx context.Context, k *key) {
	e := k.returned[0]
	l := p.lanes[e.Lane]
	if l == nil || p.stopping {
		p.restart(k)
		return
	}
	p.observer.Refused(e.EventType)
	wait := backoff(int(e.Attempts)+1, p.opts.BackoffMin, p.opts.BackoffMax)
	var dead, found bool
	err := p.inQueue(ctx, func(ctx context.Context, tx *repositories.Tx) (err error) {
		dead, found, err = tx.Deliveries.Refuse(ctx, po.Refusal{
			ID: e.ID, Lane: po.Lane{Number: e.Lane, Epoch: l.epoch}, Error: k.cause.Error(), RetryAfter: wait, MaxAttempts: p.opts.MaxAttempts,
		})
		return err
	})
	switch {
	case err != nil:
		p.databaseFailed(err)
		p.retryKey(k, time.Now().Add(wait))
	case !found:
		p.restart(k)
	case dead:
		p.observer.DeadLettered(e.EventType)
		p.log.Error("event is a dead letter; its key waits for an operator", "event_id", e.EventID.String(), "user_id", e.Key.String(),
			"error", k.cause, "lane", e.Lane)
		p.block(k)
	default:
		e.Attempts++
		p.retryKey(k, time.Now().Add(wait))
	}
}

// block leaves a key to an operator. Its events stay in the queue, and are met again when the lane is.
func (p *pump) block(k *key) {
	k.mode = blocked
	for _, e := range k.returned {
		p.letGo(e)
		k.miss(e.Lane)
	}
	k.returned = nil
}
