package repositories_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/test/testkit"
)

// Calls that share a transaction each have a trace of their own, or none.
func TestS74_HeadersHoldTheTraceOfTheEventsCall(t *testing.T) {
	t.Parallel()
	s := open(t)
	const parent = "00-01000000000000000000000000000000-0200000000000000-01"
	traced := event(user(1), 1)
	traced.TraceParent = parent
	do(t, s, func(ctx context.Context, tx *repositories.Tx) error {
		return tx.Outbox.Append(ctx, []po.Event{traced, event(user(2), 1)})
	})
	headers := func(u string) string {
		return testkit.One[string](t, s.DB, "SELECT headers::text FROM profile.outbox_events WHERE ordering_key = $1", u)
	}
	require.JSONEq(t, `{"traceparent": "`+parent+`"}`, headers(user(1).String()))
	require.JSONEq(t, `{}`, headers(user(2).String()))
}
