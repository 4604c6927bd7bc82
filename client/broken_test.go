package client_test

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/client"
	"github.com/lingo-services/profile/test/testkit"
)

// wire carries connections to the service.
type wire struct {
	net.Listener
	mu    sync.Mutex
	lines []*line
	group sync.WaitGroup
}

// line is one connection. A muted one swallows what the service says.
type line struct {
	near, far net.Conn
	muted     atomic.Bool
}

func (l *line) Write(p []byte) (int, error) {
	if l.muted.Load() {
		return len(p), nil
	}
	return l.near.Write(p)
}

func newWire(t testing.TB, target string) *wire {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w := &wire{Listener: listener}
	w.group.Go(func() { w.accept(target) })
	t.Cleanup(func() {
		require.NoError(t, w.Close())
		w.cut()
		w.group.Wait()
	})
	return w
}

func (w *wire) accept(target string) {
	for {
		near, err := w.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", target)
		if err != nil {
			_ = near.Close()
			continue
		}
		l := &line{near: near, far: far}
		w.mu.Lock()
		w.lines = append(w.lines, l)
		w.mu.Unlock()
		w.group.Go(func() { _, _ = io.Copy(far, near) })
		w.group.Go(func() { _, _ = io.Copy(l, far) })
	}
}

// mute is for the connections there are now.
func (w *wire) mute() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.lines {
		l.muted.Store(true)
	}
}

// cut ends the connections there are now.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.lines {
		_, _ = l.near.Close(), l.far.Close()
	}
	w.lines = nil
}

func TestI2_AConnectionThatBreaksAfterTheCommitCostsNothing(t *testing.T) {
	t.Parallel()
	service := testkit.New(t)
	user := testkit.NewUser()
	ctx := client.AsUser(t.Context(), user.String())
	network := newWire(t, service.App.Listeners.GRPC.Addr().String())
	c := connect(t, network.Addr().String())
	_, err := c.ListFavorites(ctx, &profilev1.ListFavoritesRequest{})
	require.NoError(t, err)
	network.mute()
	var header metadata.MD
	var resp *profilev1.MutateFavoriteResponse
	done := make(chan error, 1)
	go func() {
		var err error
		resp, err = c.MutateFavorite(ctx, like(), grpc.Header(&header))
		done <- err
	}()
	require.Eventually(t, func() bool { return len(service.Events(t, user)) == 1 }, time.Minute, 10*time.Millisecond)
	network.cut()

	require.NoError(t, <-done)
	require.True(t, resp.GetChanged(), "the answer that was lost")
	require.Equal(t, []string{"true"}, header.Get("idempotency-replayed"))
	require.Len(t, service.Events(t, user), 1)
}
