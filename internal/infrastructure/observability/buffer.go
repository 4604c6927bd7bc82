package observability

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"sync"
	"time"
)

const (
	bufferBytes = 64 << 10
	// flushAfter is the longest a line waits in the buffer.
	flushAfter = 100 * time.Millisecond
)

// Buffer gathers lines, so that a call does not pay a system call for its own. Safe for concurrent use.
type Buffer struct {
	mu      sync.Mutex
	out     *bufio.Writer
	pending bool
}

// NewBuffer writes to out, flushAfter a line came at the latest. The caller flushes it at the end.
func NewBuffer(out io.Writer) *Buffer { return &Buffer{out: bufio.NewWriterSize(out, bufferBytes)} }

// Write implements io.Writer.
func (b *Buffer) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.pending {
		b.pending = true
		time.AfterFunc(flushAfter, b.Flush)
	}
	return b.out.Write(line)
}

// Flush writes what there is. There is nobody to tell that it failed.
func (b *Buffer) Flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pending = false
	_ = b.out.Flush()
}

// prompt lets warnings and errors out at once.
type prompt struct {
	slog.Handler
	buffer *Buffer
}

// Handle implements slog.Handler.
func (p prompt) Handle(ctx context.Context, r slog.Record) error {
	err := p.Handler.Handle(ctx, r)
	if r.Level >= slog.LevelWarn {
		p.buffer.Flush()
	}
	return err
}

// WithAttrs implements slog.Handler.
func (p prompt) WithAttrs(attrs []slog.Attr) slog.Handler {
	return prompt{p.Handler.WithAttrs(attrs), p.buffer}
}

// WithGroup implements slog.Handler.
func (p prompt) WithGroup(name string) slog.Handler {
	return prompt{p.Handler.WithGroup(name), p.buffer}
}
