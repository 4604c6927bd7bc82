package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net"
	"slices"
	"sync"
	"time"
)

// proxy stands between two parts of the chain, on loopback, and can hurt what passes.
type proxy struct {
	listener net.Listener
	// target is asked for every connection, because servers come back elsewhere.
	target func() string
	group  sync.WaitGroup

	mu    sync.Mutex
	conns map[*link]struct{}
	rules rules
	// changed is closed when the rules change.
	changed chan struct{}
	closed  bool
}

// rules are what a proxy does to its connections.
type rules struct {
	// refuse ends new connections at once.
	refuse bool
	// stall lets nothing through, in either direction, without ending anything.
	stall bool
	delay time.Duration
	// deaf ends connections that say LISTEN.
	deaf bool
	// onCommit decides the fate of a COMMIT of a Postgres client; nil lets all through.
	onCommit func() fate
}

// fate of a COMMIT.
type fate uint8

const (
	// pass lets it through.
	pass fate = iota
	// dropped ends the connection before the server hears of it.
	dropped
	// unanswered ends the connection when the server has answered, before the client hears of it.
	unanswered
)

// What says COMMIT: a simple query; an unnamed statement that is parsed to be run; and the one that pgx has prepared,
// under the name it gives to all statements of that text, when it is bound.
var (
	commitMessages = [][]byte{
		[]byte("Q\x00\x00\x00\x0bcommit\x00"),
		[]byte("P\x00\x00\x00\x0e\x00commit\x00\x00\x00"),
		[]byte("\x00" + preparedCommit() + "\x00"),
	}
	listenMessage = []byte("LISTEN ")
)

func preparedCommit() string {
	const kept = 24
	sum := sha256.Sum256([]byte("commit"))
	return "stmtcache_" + hex.EncodeToString(sum[:kept])
}

func commits(b []byte) bool {
	return slices.ContainsFunc(commitMessages, func(m []byte) bool { return bytes.Contains(b, m) })
}

func newProxy(ctx context.Context, target func() string) (*proxy, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, target: target, conns: map[*link]struct{}{}, changed: make(chan struct{})}
	p.group.Go(p.accept)
	return p, nil
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.group.Go(func() { p.serve(conn) })
	}
}

func (p *proxy) serve(client net.Conn) {
	if p.current().refuse {
		_ = client.Close()
		return
	}
	server, err := (&net.Dialer{Timeout: time.Second}).Dial("tcp", p.target())
	if err != nil {
		_ = client.Close()
		return
	}
	l := &link{proxy: p, client: client, server: server, over: make(chan struct{})}
	if !p.add(l) {
		l.close()
		return
	}
	var both sync.WaitGroup
	both.Go(func() { l.pump(client, server, l.fromClient) })
	both.Go(func() { l.pump(server, client, l.fromServer) })
	both.Wait()
	p.mu.Lock()
	delete(p.conns, l)
	p.mu.Unlock()
}

func (p *proxy) add(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.rules.refuse {
		return false
	}
	p.conns[l] = struct{}{}
	return true
}

func (p *proxy) current() rules {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rules
}

// set replaces the rules; the zero value heals.
func (p *proxy) set(r rules) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = r
	close(p.changed)
	p.changed = make(chan struct{})
}

// cut ends the connections there are now.
func (p *proxy) cut() { p.cutIf(func(*link) bool { return true }) }

// cutListeners ends the connections that listen.
func (p *proxy) cutListeners() { p.cutIf(func(l *link) bool { return l.listens }) }

func (p *proxy) cutIf(want func(*link) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.conns {
		if want(l) {
			l.close()
		}
	}
}

func (p *proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.listener.Close()
	p.cut()
	p.group.Wait()
}

// link is one proxied connection.
type link struct {
	proxy          *proxy
	client, server net.Conn
	once           sync.Once
	over           chan struct{}
	// listens is under the proxy's lock.
	listens bool

	mu sync.Mutex
	// secret: the next thing the server says is its answer to a COMMIT, which nobody shall hear.
	secret bool
}

func (l *link) close() {
	l.once.Do(func() {
		close(l.over)
		_ = errors.Join(l.client.Close(), l.server.Close())
	})
}

// pump moves bytes until either side ends; inspect may refuse them.
func (l *link) pump(from, to net.Conn, inspect func([]byte) bool) {
	defer l.close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if !l.wait() || !inspect(buffer[:n]) {
				return
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// wait holds bytes back while the proxy says so; false when the connection is over.
func (l *link) wait() bool {
	for {
		l.proxy.mu.Lock()
		r, changed := l.proxy.rules, l.proxy.changed
		l.proxy.mu.Unlock()
		var delay <-chan time.Time
		if !r.stall {
			if r.delay == 0 {
				return true
			}
			delay = time.After(r.delay)
		}
		select {
		case <-delay:
			return true
		case <-changed:
		case <-l.over:
			return false
		}
	}
}

func (l *link) fromClient(b []byte) bool {
	r := l.proxy.current()
	if bytes.Contains(b, listenMessage) {
		l.proxy.mu.Lock()
		l.listens = true
		l.proxy.mu.Unlock()
		if r.deaf {
			return false
		}
	}
	if r.onCommit == nil || !commits(b) {
		return true
	}
	switch r.onCommit() {
	case dropped:
		return false
	case unanswered:
		l.mu.Lock()
		l.secret = true
		l.mu.Unlock()
	case pass:
	}
	return true
}

func (l *link) fromServer([]byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.secret
}
