package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
)

// What abusers do (trust.md T13).
const (
	slowConnections  = 500
	oversizedBodies  = 1000
	oversizedBytes   = 4 << 20
	resetConnections = 4
	// limitOfLikes is the shipped limit per second; the greedy user asks for ten times as many.
	limitOfLikes = 10
	// healthyRate is what the others ask for, by each transport.
	healthyRate = 100
)

// abuse measures what healthy callers notice of abusers, by gRPC and by REST.
func abuse(ctx context.Context, t *topology, r *report) error {
	a := &abused{overloaded{topology: t, report: r}}
	if err := a.healthy(ctx, time.Second, nil); err != nil { // warms up
		return err
	}
	r.Entries = nil
	for _, attack := range []struct {
		what string
		run  func(ctx context.Context) (told string, err error)
	}{
		{fmt.Sprintf("%d slow connections", slowConnections), a.slow},
		{fmt.Sprintf("%d bodies of %d MiB", oversizedBodies, oversizedBytes>>20), a.oversized},
		{"HTTP/2 rapid reset", a.rapidReset},
		{"a user at ten times the limit of likes", a.greedy},
	} {
		t.options.say("%s", attack.what)
		e := r.entry(attack.what, "healthy p99 < 2 ×; healthy failures 0; memory + < 64 MiB")
		for range t.options.Turns {
			if err := a.compare(ctx, e, attack.run); err != nil {
				return fmt.Errorf("%s: %w", attack.what, err)
			}
		}
	}
	r.Notes = append(r.Notes, fmt.Sprintf("Healthy callers read profiles, %d a second over gRPC and as many over REST, open loop; each turn compares %s without and %s with the abuser.", healthyRate, t.options.Turn, t.options.Abuse))
	return nil
}

type abused struct{ overloaded }

// compare is one turn: without, then with.
func (a *abused) compare(ctx context.Context, e *entry, attack func(context.Context) (string, error)) error {
	calm := map[string]loadResult{}
	if err := a.healthy(ctx, a.options.Turn, calm); err != nil {
		return err
	}
	before, err := a.vitals(ctx)
	if err != nil {
		return err
	}
	attacking, stop := context.WithCancel(ctx)
	defer stop()
	var told string
	var failure error
	var group sync.WaitGroup
	group.Go(func() { told, failure = attack(attacking) })
	rss, during := a.watchRSS(ctx), map[string]loadResult{}
	err = a.healthy(ctx, a.options.Abuse, during)
	stop()
	group.Wait()
	most := rss()
	if err = errors.Join(err, failure); err != nil {
		return err
	}
	for _, name := range []string{"gRPC", "REST"} {
		quiet, err := calm[name].latency(isAccepted)
		if err != nil {
			return err
		}
		loud, err := during[name].latency(isAccepted)
		if err != nil {
			return err
		}
		e.add(name+" p99, with / without", "", millis(loud, tail)/max(0.01, millis(quiet, tail)), atMost(2))
		e.add(name+" p99 without", "ms", millis(quiet, tail), nil)
		e.add(name+" failed", "%", percent(during[name].failedShare()), atMost(0))
	}
	e.add("memory, growth", "MiB", most-before.rss, atMost(64))
	a.report.Notes = append(a.report.Notes, told)
	return nil
}

// healthy runs the healthy callers.
func (a *abused) healthy(ctx context.Context, length time.Duration, results map[string]loadResult) error {
	var group sync.WaitGroup
	var mu sync.Mutex
	var failure error
	for name, work := range map[string]string{"gRPC": workProfile, "REST": workRESTProfile} {
		j := a.job(work, uniform)
		j.Rate, j.Length = healthyRate, length
		group.Go(func() {
			res, err := a.run(ctx, j)
			mu.Lock()
			defer mu.Unlock()
			failure = errors.Join(failure, err)
			if results != nil {
				results[name] = res
			}
		})
	}
	group.Wait()
	return failure
}

// slow sends the headers of requests a byte at a time, and opens anew what is closed.
func (a *abused) slow(ctx context.Context) (string, error) {
	var opened atomic.Int64
	var group sync.WaitGroup
	for range slowConnections {
		group.Go(func() {
			for waited(ctx, 10*time.Millisecond) {
				conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", a.service.http)
				if err != nil {
					continue
				}
				opened.Add(1)
				_, err = io.WriteString(conn, "GET /api/v1/user/me HTTP/1.1\r\nHost: slow\r\nX-Slow: ")
				for err == nil && waited(ctx, time.Second) {
					_, err = conn.Write([]byte("a"))
				}
				_ = conn.Close()
			}
		})
	}
	group.Wait()
	return fmt.Sprintf("Slow: %d connections kept open, %d opened in all.", slowConnections, opened.Load()), nil
}

// oversized sends bodies that are too long, as fast as they are refused.
func (a *abused) oversized(ctx context.Context) (string, error) {
	var sent, refused atomic.Int64
	body := bytes.Repeat([]byte("a"), oversizedBytes)
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			for ctx.Err() == nil && sent.Add(1) <= oversizedBodies {
				req, err := http.NewRequestWithContext(ctx, http.MethodPatch, "http://"+a.service.http+"/api/v1/user/me", bytes.NewReader(body))
				if err != nil {
					continue
				}
				req.Header.Set("Content-Type", "application/json")
				res, err := http.DefaultClient.Do(req)
				if err != nil {
					continue // the server closes before it has read everything
				}
				if res.StatusCode == http.StatusRequestEntityTooLarge {
					refused.Add(1)
				}
				_ = res.Body.Close()
			}
		})
	}
	group.Wait()
	http.DefaultClient.CloseIdleConnections()
	return fmt.Sprintf("Oversized: %d sent, %d of them answered 413, the others' connections closed.", min(sent.Load(), oversizedBodies), refused.Load()), nil
}

// rapidReset opens streams on the gRPC listener and resets them at once (CVE-2023-44487).
func (a *abused) rapidReset(ctx context.Context) (string, error) {
	var resets, connections atomic.Int64
	var group sync.WaitGroup
	for range resetConnections {
		group.Go(func() {
			for ctx.Err() == nil {
				connections.Add(1)
				_ = a.resetStreams(ctx, &resets)
				waited(ctx, 10*time.Millisecond)
			}
		})
	}
	group.Wait()
	return fmt.Sprintf("Rapid reset: %d streams over %d connections.", resets.Load(), connections.Load()), nil
}

func (a *abused) resetStreams(ctx context.Context, resets *atomic.Int64) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", a.service.grpc)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	go func() { _, _ = io.Copy(io.Discard, conn) }() // ends with the connection
	if _, err = io.WriteString(conn, http2.ClientPreface); err != nil {
		return err
	}
	framer := http2.NewFramer(conn, nil)
	if err = framer.WriteSettings(); err != nil {
		return err
	}
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for id := uint32(1); ctx.Err() == nil && id < 1<<30; id += 2 {
		block.Reset()
		for _, field := range [][2]string{
			{":method", "POST"},
			{":scheme", "http"},
			{":path", profilev1.ProfileService_GetProfile_FullMethodName},
			{":authority", "abuse"},
			{"content-type", "application/grpc"},
			{"te", "trailers"},
		} {
			if err = encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}); err != nil {
				return err
			}
		}
		err = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndHeaders: true})
		if err == nil {
			err = framer.WriteRSTStream(id, http2.ErrCodeCancel)
		}
		if err != nil {
			return err
		}
		resets.Add(1)
	}
	return nil
}

// greedy is one user who likes at ten times the limit.
func (a *abused) greedy(ctx context.Context) (told string, err error) {
	conn, err := grpc.NewClient(a.service.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	client, user := profilev1.NewProfileServiceClient(conn), userID(1).String()
	const times = 10
	var done, refused int
	for waited(ctx, time.Second/(times*limitOfLikes)) {
		_, err := client.MutateFavorite(as(ctx, user), &profilev1.MutateFavoriteRequest{
			VideoId: videoID(1 + done%a.options.Data.Videos).String(), FavoriteType: profilev1.FavoriteType_FAVORITE_TYPE_LIKE,
			Action: profilev1.FavoriteAction_FAVORITE_ACTION_ADD,
		})
		done++
		if status.Code(err) == codes.ResourceExhausted {
			refused++
		}
	}
	return fmt.Sprintf("Greedy: %d likes of one user, %d refused.", done, refused), nil
}
