package outbox_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/test/testkit"
)

func TestS75_EventsOfAKeyArriveInVersionOrder(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	users := make([]models.UserID, 20)
	for i := range users {
		users[i] = testkit.NewUser()
		s.write(t, users[i], 5)
	}
	p := s.publisher(t)
	for range 3 {
		for _, err := range testkit.Together(len(users), func(i int) error { s.write(t, users[i], 3); return nil }) {
			require.NoError(t, err)
		}
	}
	for _, user := range users {
		s.awaitVersions(t, user, 14)
	}
	s.awaitQueue(t, 0)
	p.stop()
	require.Len(t, s.inbox.all(), 20*14, "without failures nothing is sent twice")
	require.Equal(t, 20*14, p.counted()["published"])
}
