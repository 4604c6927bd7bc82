package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// connections is how many the generator opens: one would serialise its writes.
const connections = 8

// streams are the calls that a connection bears at a time (trust.md T13): beyond them gRPC waits on the caller's side,
// where the service cannot refuse. A flood comes over as many connections as it needs.
const streams = 100

// generate is the load generator's process: a job on in, its result on out.
func generate(ctx context.Context, in io.Reader, out io.Writer) error {
	var j job
	if err := json.NewDecoder(in).Decode(&j); err != nil {
		return fmt.Errorf("read job: %w", err)
	}
	res, err := j.run(ctx)
	if err != nil {
		return err
	}
	if res.CPU, err = processorTime(); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(res)
}

func (j *job) run(ctx context.Context) (res loadResult, err error) {
	book, err := openJournal(j.Journal)
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, book.close()) }()
	if j.Bare {
		sources, err := j.sources(j.Callers, make([]*grpc.ClientConn, 1), nil, book)
		if err != nil {
			return res, err
		}
		return j.bare(ctx, sources)
	}
	open := j.Rate > 0
	callers := j.Callers
	if open {
		callers = j.Outstanding
	}
	var conns []*grpc.ClientConn
	defer func() {
		for _, c := range conns {
			err = errors.Join(err, c.Close())
		}
	}()
	wanted := min(connections, callers)
	if open {
		wanted = min(max(connections, callers/streams), callers)
	}
	for range wanted {
		c, err := grpc.NewClient(j.Target, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return res, err
		}
		conns = append(conns, c)
	}
	web := &http.Transport{MaxIdleConnsPerHost: callers, DisableCompression: true}
	defer web.CloseIdleConnections()
	sources, err := j.sources(callers, conns, &http.Client{Transport: web}, book)
	if err != nil {
		return res, err
	}
	all := make([]caller, len(sources))
	idle := make(chan caller, len(sources))
	for i, s := range sources {
		all[i] = s
		idle <- s
	}
	if !open {
		return closedLoop(ctx, all, j.Length, j.Deadline)
	}
	return openLoop(ctx, idle, j.Rate, j.Length, j.Deadline, newRand(j.Seed, 0))
}

func (j *job) sources(n int, conns []*grpc.ClientConn, web *http.Client, book *journal) ([]*source, error) {
	sources, shared := make([]*source, n), new(atomic.Int64)
	ids := make([]string, j.Data.Videos+1)
	for v := range ids {
		ids[v] = videoID(v).String()
	}
	for i := range sources {
		conn, r := conns[i%len(conns)], newRand(j.Seed, uint64(i+1))
		video, err := newSpread(j.Spread, j.Data.Videos, r)
		if err != nil {
			return nil, err
		}
		sources[i] = &source{
			job: j, conn: conn, http: web, r: r, video: video, videoIDs: ids, shared: shared, acknowledged: book.note,
		}
	}
	return sources, nil
}

// journal is the record of what was acknowledged. Without a file it records nothing.
type journal struct {
	mu   sync.Mutex
	file *os.File
	out  *bufio.Writer
}

func openJournal(path string) (*journal, error) {
	if path == "" {
		return &journal{out: bufio.NewWriter(io.Discard)}, nil
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // G304: told by our own process
	if err != nil {
		return nil, err
	}
	return &journal{file: file, out: bufio.NewWriter(file)}, nil
}

func (b *journal) note(user, video int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, err := fmt.Fprintf(b.out, "%d %d\n", user, video)
	return err
}

func (b *journal) close() error {
	err := b.out.Flush()
	if b.file != nil {
		err = errors.Join(err, b.file.Close())
	}
	return err
}

// processorTime is what this process has used, in seconds.
func processorTime() (float64, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, err
	}
	return (time.Duration(u.Utime.Nano()) + time.Duration(u.Stime.Nano())).Seconds(), nil
}
