package outbox

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
)

// lane is a lane this publisher holds.
type lane struct {
	epoch int64
	// after is the id up to which it was read; 0 reads it from the start.
	after int64
	// more: the last read did not reach the end. readAt is when it was its turn among those.
	more   bool
	readAt time.Time
	// inHand counts its events in the publisher's hands.
	inHand int
	// leaving: nothing more is read, and it is released once nothing is in hand.
	leaving bool
}

// shareLanes renews the leases and takes or offers lanes until every publisher has its share.
func (p *pump) shareLanes(ctx context.Context, now time.Time) {
	p.renewAt = now.Add(p.opts.Renew)
	var held []po.Lane
	share := 0
	err := p.onLeases(ctx, func(ctx context.Context, tx *repositories.Tx) (err error) {
		if held, err = tx.Lanes.Renew(ctx, p.opts.Instance, p.opts.Lease); err != nil || p.stopping {
			return err
		}
		publishers, err := tx.Lanes.Meet(ctx, p.opts.Instance, p.opts.Lease)
		if err != nil {
			return err
		}
		share = (po.Lanes + publishers - 1) / publishers
		if len(held) >= share {
			return nil
		}
		acquired, err := tx.Lanes.Acquire(ctx, p.opts.Instance, p.opts.Lease, share-len(held))
		held = append(held, acquired...)
		return err
	})
	if err != nil {
		p.databaseFailed(err)
		return
	}
	p.databaseFailures = 0
	p.hold(held)
	p.offer(share)
}

// hold makes held the lanes of this publisher.
func (p *pump) hold(held []po.Lane) {
	if len(held) != len(p.lanes) {
		p.log.Info("lanes are shared out anew", "count", len(held))
	}
	current := make(map[int32]int64, len(held))
	for _, h := range held {
		current[h.Number] = h.Epoch
	}
	for number, l := range p.lanes {
		if current[number] != l.epoch {
			p.lose(number)
		}
	}
	for _, h := range held {
		if p.lanes[h.Number] != nil {
			continue
		}
		l := &lane{epoch: h.Epoch, leaving: p.stopping}
		for _, e := range p.inHand {
			if e.Lane == h.Number {
				l.inHand++
			}
		}
		p.lanes[h.Number] = l
		p.hungry = true
	}
}

// offer leaves the lanes above the share to others.
func (p *pump) offer(share int) {
	staying := p.reading()
	for _, c := range staying[min(share, len(staying)):] {
		p.leaveLane(c.Number)
	}
}

func (p *pump) leaveLane(number int32) {
	p.lanes[number].leaving = true
	p.abandonTrouble(number)
}

// lose forgets a lane that somebody else took, or that an operator wants to be read again. What is
// outstanding stays in hand: its acknowledgements still count.
func (p *pump) lose(number int32) {
	delete(p.lanes, number)
	p.abandonTrouble(number)
}

// abandonTrouble gives up keys that wait for something in that lane: whoever reads it next meets them again.
func (p *pump) abandonTrouble(number int32) {
	for _, k := range p.keys {
		if _, missed := k.missed[number]; k.outstanding > 0 || k.mode == flowing ||
			!missed && !slices.ContainsFunc(k.returned, func(e *event) bool { return e.Lane == number }) {
			continue
		}
		p.restart(k)
	}
}

// rewind reads a lane from its start again; what is in hand is recognised.
func (p *pump) rewind(number int32) {
	l := p.lanes[number]
	if l == nil {
		return
	}
	l.after = 0
	p.hungry = true
}

// releaseEmptied gives away the leaving lanes that have nothing in hand.
func (p *pump) releaseEmptied(ctx context.Context) {
	var emptied []int32
	for number, l := range p.lanes {
		if l.leaving && l.inHand == 0 {
			emptied = append(emptied, number)
		}
	}
	if len(emptied) == 0 || p.stopping || time.Now().Before(p.restUntil) {
		return
	}
	err := p.onLeases(ctx, func(ctx context.Context, tx *repositories.Tx) error {
		return tx.Lanes.Release(ctx, p.opts.Instance, emptied)
	})
	if err != nil {
		p.databaseFailed(err)
		return
	}
	for _, number := range emptied {
		p.lose(number)
	}
}

// cursors are all held lanes, by number.
func (p *pump) cursors() []po.Cursor { return p.cursorsIf(func(*lane) bool { return true }) }

// reading are the lanes that are read, by number.
func (p *pump) reading() []po.Cursor { return p.cursorsIf(func(l *lane) bool { return !l.leaving }) }

func (p *pump) cursorsIf(want func(*lane) bool) []po.Cursor {
	cursors := make([]po.Cursor, 0, len(p.lanes))
	for number, l := range p.lanes {
		if want(l) {
			cursors = append(cursors, po.Cursor{Lane: po.Lane{Number: number, Epoch: l.epoch}, After: l.after})
		}
	}
	slices.SortFunc(cursors, func(a, b po.Cursor) int { return cmp.Compare(a.Number, b.Number) })
	return cursors
}

// laneGlance is what a lane without a known backlog may give at once.
const laneGlance = 64

// share divides room among lanes. Those with a backlog are read alone, one after another: a lane read deep has
// many events per key, and one call to the broker carries one key only.
func (p *pump) share(lanes []po.Cursor, room int) []po.Cursor {
	turn := -1
	for i := range lanes {
		if l := p.lanes[lanes[i].Number]; !l.more {
			lanes[i].Limit = min(laneGlance, room)
		} else if turn < 0 || l.readAt.Before(p.lanes[lanes[turn].Number].readAt) {
			turn = i
		}
	}
	if turn >= 0 {
		lanes[turn].Limit = room
		p.lanes[lanes[turn].Number].readAt = time.Now()
	}
	return lanes
}

// beginStop reads nothing more and gives trouble back to the queue.
func (p *pump) beginStop() {
	p.stopping = true
	p.graceEnds = time.Now().Add(p.opts.Grace)
	for number := range p.lanes {
		p.leaveLane(number)
	}
}

// leave releases every lane and stops the topic, without waiting for what the grace did not settle.
func (p *pump) leave(ctx context.Context) {
	err := p.onLeases(ctx, func(ctx context.Context, tx *repositories.Tx) error {
		var numbers []int32
		for _, c := range p.cursors() {
			numbers = append(numbers, c.Number)
		}
		if err := tx.Lanes.Release(ctx, p.opts.Instance, numbers); err != nil {
			return err
		}
		return tx.Lanes.Leave(ctx, p.opts.Instance)
	})
	if err != nil {
		p.log.Warn("lanes are left to expire", "error", err)
	}
	if p.outstanding > 0 {
		p.log.Warn("stopped before the broker answered; the events will be sent again", "count", p.outstanding)
		go p.stopTopic()
		return
	}
	p.stopTopic()
}

func (p *pump) stopTopic() {
	p.flushing.Wait()
	p.topic.Stop()
}
