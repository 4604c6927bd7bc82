package main

import (
	"context"
	"errors"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
)

// overtakenWriter lets a transaction with a greater xid allocate smaller event ids than one that commits first,
// in the same lane, while nobody else completes a transaction: the younger one is then in no snapshot's list
// of running transactions. The publisher has to poll, because every notification completes a transaction; it can
// neither renew its leases nor forget what was acknowledged meanwhile.
func overtakenWriter(ctx context.Context, r *round) error {
	r.pub.set(rules{deaf: true})
	defer r.pub.set(rules{})
	r.pub.cutListeners()
	older, younger, err := sameLane(r.load.users)
	if err != nil {
		return err
	}
	return r.overtake(ctx, older, younger)
}

// sameLane finds two users whose events share a lane.
func sameLane(users []models.UserID) (a, b models.UserID, err error) {
	byLane := map[int32]models.UserID{}
	for _, u := range users {
		lane := po.Event{UserID: u}.Lane()
		if other, found := byLane[lane]; found {
			return other, u, nil
		}
		byLane[lane] = u
	}
	return a, b, errors.New("no two users share a lane")
}

// overtake commits the older transaction's greater ids first and waits until the broker has them.
func (r *round) overtake(ctx context.Context, older, younger models.UserID) error {
	// The users exist already, so that nothing else takes an xid in between.
	if err := r.exec(ctx, "INSERT INTO profile.user_stats (user_id) VALUES ($1), ($2) ON CONFLICT DO NOTHING", uuid.UUID(older), uuid.UUID(younger)); err != nil {
		return err
	}
	leases, err := r.pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = leases.Rollback(context.WithoutCancel(ctx)) }()
	if _, err := leases.Exec(ctx, "SELECT FROM profile.outbox_lanes FOR SHARE"); err != nil {
		return err
	}
	first, err := r.pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = first.Rollback(context.WithoutCancel(ctx)) }()
	second, err := r.pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = second.Rollback(context.WithoutCancel(ctx)) }()
	if err := lockUser(ctx, first, older); err != nil {
		return err
	}
	kept, err := r.appendRaw(ctx, second, transaction{users: []models.UserID{younger}, each: 1})
	if err != nil {
		return err
	}
	early, err := r.appendRaw(ctx, first, transaction{users: []models.UserID{older}, each: 1})
	if err != nil {
		return err
	}
	from, overtaken := r.broker.takenCount(), make(chan struct{})
	r.broker.misbehave(func(*pubsubpb.PublishRequest) conduct { return conduct{after: func() { <-overtaken }} })
	defer r.broker.misbehave(nil)
	defer close(overtaken)
	if err := r.commit(ctx, first, early); err != nil {
		return err
	}
	if err := eventually(ctx, r.patience, func(context.Context) (bool, error) { return r.broker.takenCount() > from, nil }); err != nil {
		return err
	}
	return r.commit(ctx, second, kept)
}

func (r *round) commit(ctx context.Context, tx pgx.Tx, events []uuid.UUID) error {
	err := tx.Commit(ctx)
	r.ledger.note(events, outcomeOf(err))
	return err
}
