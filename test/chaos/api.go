package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
)

// server is the API as callers know it: addresses that stay, and a process that may not.
type server struct {
	process     *process
	grpc, admin string
	conns       []*grpc.ClientConn
}

// connections are more than one, because each carries a hundred calls at a time.
const connections = 4

// openServer starts the API and connects to it.
func (w *world) openServer(ctx context.Context) error {
	s := &server{}
	for _, addr := range []*string{&s.grpc, &s.admin} {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		*addr = l.Addr().String()
		defer func() { _ = l.Close() }()
	}
	for range connections {
		conn, err := grpc.NewClient(s.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, MaxDelay: 200 * time.Millisecond},
			MinConnectTimeout: time.Second,
		}))
		if err != nil {
			return err
		}
		w.cleanup(func() { _ = conn.Close() })
		s.conns = append(s.conns, conn)
	}
	w.server = s
	return nil
}

// startServer starts the API on its addresses and waits until it wants calls.
func (w *world) startServer(ctx context.Context) error {
	w.started++
	// The crowd's users call faster than people may.
	env := append(w.env(w.api), "PROFILE_GRPC_ADDR="+w.server.grpc, "PROFILE_HTTP_ADDR=127.0.0.1:0", "PROFILE_ADMIN_ADDR="+w.server.admin, "PROFILE_AUTH_INSECURE_DEV=true",
		"PROFILE_SERVICE_ENVIRONMENT=dev", "PROFILE_SERVICE_LOG_LEVEL=warn", "PROFILE_DATA_POSTGRES_MIN_CONNS=4", "PROFILE_LIMITS_BACKEND=off")
	p, err := startProcess(ctx, "grpc", w.grpc, filepath.Join(w.logs, fmt.Sprintf("grpc-%d.log", w.started)), append(env, w.serverEnv...))
	if err != nil {
		return err
	}
	w.server.process = p
	waiting, over := context.WithCancelCause(ctx)
	defer over(nil)
	go func() {
		select {
		case <-p.done:
			over(errEnded)
		case <-waiting.Done():
		}
	}()
	if err := eventually(waiting, patience, w.ready); err != nil {
		return fmt.Errorf("await the API: %w\n%s", err, p.tail(8))
	}
	return nil
}

var (
	errNotReady = errors.New("not ready")
	errEnded    = errors.New("it ended")
)

func (w *world) ready(ctx context.Context) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.server.admin+"/readyz", http.NoBody)
	if err != nil {
		return false, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		return false, fmt.Errorf("%w: %s", errNotReady, text)
	}
	return true, nil
}

// client spreads callers over the connections.
func (s *server) client(number int) profilev1.ProfileServiceClient {
	return profilev1.NewProfileServiceClient(s.conns[number%len(s.conns)])
}
