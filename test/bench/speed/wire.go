package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// wireBuffer is what a connection collects for one system call.
const wireBuffer = 64 << 10

// wire is a gRPC connection down to its frames. grpc-go's client takes as much of the machine as the service does, and what
// it waits for by itself would count as the service's latency. It knows what unary calls need, and no more: it reads the
// status of an answer and, as pgbench does, throws its rows away.
type wire struct {
	conn     net.Conn
	patience string
	done     func(call wireCall, a answer)

	// mu guards what is sent and who waits.
	mu     sync.Mutex
	out    *bufio.Writer
	framer *http2.Framer
	block  bytes.Buffer
	fields *hpack.Encoder
	stream uint32
	// window is how many bytes of requests the server takes, unread how many of its answers' it may not know are read.
	window, unread int
	calls          map[uint32]wireCall
	// full: no more calls may be sent, because the server or the connection ends.
	full bool
}

// greatestWindow is how much a server may send unread, which is all the protocol can express: nobody waits for us.
const greatestWindow = 1<<31 - 1

// wireCall is a call that waits for its answer.
type wireCall struct {
	number         int
	by             *source
	intended, sent time.Time
}

// connectionLost is what becomes of calls that no server answered.
const connectionLost = "ConnectionLost"

// dialWire connects; done is called once for every call that was sent, by one goroutine at a time.
func dialWire(ctx context.Context, target string, patience time.Duration, done func(wireCall, answer)) (*wire, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", target)
	if err != nil {
		return nil, err
	}
	const initialWindow = 65_535
	w := &wire{
		conn: conn, patience: strconv.FormatInt(patience.Milliseconds(), 10) + "m", done: done,
		out: bufio.NewWriterSize(conn, wireBuffer), stream: 1, window: initialWindow, calls: map[uint32]wireCall{},
	}
	w.framer = http2.NewFramer(w.out, bufio.NewReaderSize(conn, wireBuffer))
	w.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	w.fields = hpack.NewEncoder(&w.block)
	_, err = io.WriteString(w.out, http2.ClientPreface)
	if err = errors.Join(err,
		w.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: greatestWindow}),
		w.framer.WriteWindowUpdate(0, greatestWindow-initialWindow), w.out.Flush()); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return w, nil
}

// send begins a call and reports whether there is room for it; it leaves at the next flush.
func (w *wire) send(call wireCall, r request) (sent bool, err error) {
	const prefix = 5 // a byte for compression, four for the length
	body, err := proto.MarshalOptions{}.MarshalAppend(make([]byte, prefix, 128), r.message)
	if err != nil {
		return false, err
	}
	binary.BigEndian.PutUint32(body[1:], uint32(len(body)-prefix))
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.full || len(w.calls) >= streams || w.window < len(body) {
		return false, nil
	}
	w.block.Reset()
	fields := []hpack.HeaderField{
		{Name: ":method", Value: "POST"},
		{Name: ":scheme", Value: "http"},
		{Name: ":path", Value: r.method},
		{Name: ":authority", Value: "flood"},
		{Name: "content-type", Value: "application/grpc"},
		{Name: "te", Value: "trailers"},
		{Name: "grpc-timeout", Value: w.patience},
		{Name: identityHeader, Value: userInfo(r.user), Sensitive: true}, // not worth a place in the table
	}
	if r.consistency != "" {
		fields = append(fields, hpack.HeaderField{Name: consistencyHeader, Value: r.consistency})
	}
	for _, f := range fields {
		if err := w.fields.WriteField(f); err != nil {
			return false, err
		}
	}
	err = w.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: w.stream, BlockFragment: w.block.Bytes(), EndHeaders: true})
	if err = errors.Join(err, w.framer.WriteData(w.stream, true, body)); err != nil {
		w.full = true // the reader sees the end of the connection, and answers
		return false, nil
	}
	w.calls[w.stream] = call
	w.window -= len(body)
	w.stream += 2
	return true, nil
}

// flush sends what is collected. A connection that is broken is the reader's business.
func (w *wire) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.out.Flush(); err != nil {
		w.full = true
	}
}

// read takes answers until the connection ends, and then answers those who still wait.
func (w *wire) read() {
	for {
		frame, err := w.framer.ReadFrame()
		if err != nil {
			break
		}
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			if f.StreamEnded() {
				w.answer(f.StreamID, trailers(f))
			}
		case *http2.RSTStreamFrame:
			w.answer(f.StreamID, answer{reason: "Reset/" + f.ErrCode.String()})
		default:
			w.control(frame)
		}
	}
	w.mu.Lock()
	w.full = true
	left := w.calls
	w.calls = nil
	w.mu.Unlock()
	for _, call := range left {
		w.done(call, answer{reason: connectionLost})
	}
}

func (w *wire) answer(stream uint32, a answer) {
	w.mu.Lock()
	call, waits := w.calls[stream]
	delete(w.calls, stream)
	w.mu.Unlock()
	if waits {
		w.done(call, a)
	}
}

// control answers what the protocol asks of every client.
func (w *wire) control(frame http2.Frame) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var err error
	switch f := frame.(type) {
	case *http2.SettingsFrame:
		if !f.IsAck() {
			err = errors.Join(w.framer.WriteSettingsAck(), w.out.Flush())
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			err = errors.Join(w.framer.WritePing(true, f.Data), w.out.Flush())
		}
	case *http2.WindowUpdateFrame:
		if f.StreamID == 0 {
			w.window += int(f.Increment)
		}
	case *http2.DataFrame:
		if w.unread += len(f.Data()); w.unread > greatestWindow/2 {
			err = errors.Join(w.framer.WriteWindowUpdate(0, uint32(w.unread)), w.out.Flush())
			w.unread = 0
		}
	case *http2.GoAwayFrame:
		w.full = true
	}
	if err != nil {
		w.full = true
	}
}

// waiting is how many calls have no answer; open: more may be sent.
func (w *wire) waiting() (calls int, open bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.calls), !w.full
}

// trailers reads the status of a call.
func trailers(f *http2.MetaHeadersFrame) answer {
	s := &spb.Status{Code: int32(codes.Unknown)}
	for _, field := range f.Fields {
		switch field.Name {
		case "grpc-status":
			if field.Value == "0" {
				return answer{reason: accepted}
			}
			if code, err := strconv.ParseInt(field.Value, 10, 32); err == nil {
				s.Code = int32(code)
			}
		case "grpc-status-details-bin":
			detailed := new(spb.Status)
			text, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(field.Value, "="))
			if err == nil && proto.Unmarshal(text, detailed) == nil {
				s = detailed
			}
		}
	}
	return judge(status.ErrorProto(s))
}

// wires are connections that are opened as they are needed.
type wires struct {
	job   *job
	done  func(wireCall, answer)
	open  []*wire
	group sync.WaitGroup
}

// send finds room for a call, on the first connection that has some, so that system calls are shared.
func (p *wires) send(ctx context.Context, call wireCall, r request) (sent bool, err error) {
	for _, w := range p.open {
		if sent, err = w.send(call, r); sent || err != nil {
			return sent, err
		}
	}
	if len(p.open) >= max(1, p.job.Outstanding/streams) {
		p.clean()
		return false, nil
	}
	w, err := dialWire(ctx, p.job.Target, p.job.Deadline, p.done)
	if err != nil {
		return false, fmt.Errorf("connect: %w", err)
	}
	p.open = append(p.open, w)
	p.group.Go(w.read)
	return w.send(call, r)
}

// clean forgets connections that take no more calls. Those that still wait are answered by their reader.
func (p *wires) clean() {
	var open []*wire
	for _, w := range p.open {
		if calls, more := w.waiting(); more || calls > 0 {
			open = append(open, w)
			continue
		}
		_ = w.conn.Close()
	}
	p.open = open
}

func (p *wires) flush() {
	for _, w := range p.open {
		w.flush()
	}
}

// close waits for the answers that are due, then gives up.
func (p *wires) close(ctx context.Context, patience time.Duration) {
	_ = eventually(ctx, patience, time.Millisecond, func(context.Context) error {
		for _, w := range p.open {
			if calls, _ := w.waiting(); calls > 0 {
				return errUnanswered
			}
		}
		return nil
	}) // who is not answered by then is told when the connection is closed
	for _, w := range p.open {
		_ = w.conn.Close()
	}
	p.group.Wait()
}

var errUnanswered = errors.New("calls are not answered")
