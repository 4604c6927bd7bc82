package controllers

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/lingo-services/profile/internal/controllers/dto"
	"github.com/lingo-services/profile/internal/controllers/identity"
	"github.com/lingo-services/profile/internal/models"
)

// CallLines bounds how many lines a second tell of calls about which there is nothing to say but that they were
// answered, or refused because there were too many: the more calls come, the less one of them tells. 0: no bound.
type CallLines int64

// lineBudget keeps to CallLines. Safe for concurrent use; where seconds meet it may be wrong by a few lines.
type lineBudget struct {
	most                     int64
	second, written, skipped atomic.Int64
}

// take reports whether a line may be written, and how many have not been since the last one that was.
func (b *lineBudget) take(now time.Time) (skipped int64, write bool) {
	if b.most == 0 {
		return 0, true
	}
	if second, last := now.Unix(), b.second.Load(); second != last && b.second.CompareAndSwap(last, second) {
		b.written.Store(0)
	}
	if b.written.Load() >= b.most || b.written.Add(1) > b.most {
		b.skipped.Add(1)
		return 0, false
	}
	if b.skipped.Load() == 0 {
		return 0, true
	}
	return b.skipped.Swap(0), true
}

// served is a call that has ended. failure is nil when it was answered.
type served struct {
	method  string
	req     any
	caller  identity.Caller
	subject identity.Subject
	failure *models.Error
	code    codes.Code
	took    time.Duration
}

// report counts a call, and writes a line about it unless there are too many to tell about.
func (b *BaseHandler) report(ctx context.Context, s served) {
	b.observer.RequestServed(s.method, s.code.String(), s.took)
	audit := staffRead(b.policies[s.method], s.subject)
	var skipped int64
	if !audit && s.usual() && !b.log.Enabled(ctx, slog.LevelDebug) {
		var write bool
		if skipped, write = b.lines.take(time.Now()); !write {
			return
		}
	}
	attrs := s.attrs(ctx)
	if audit {
		attrs = append(attrs, slog.Bool("audit", true))
	}
	if skipped > 0 {
		attrs = append(attrs, slog.Int64("calls_left_out", skipped))
	}
	level, reasons := s.judge()
	b.log.LogAttrs(ctx, level, "call", append(append(attrs, reasons...), slog.String("code", s.code.String()))...)
}

// usual: the call was answered, or refused because there were too many.
func (s served) usual() bool {
	return s.failure == nil || s.failure.Reason.Entry().Kind == models.KindExhausted
}

// attrs say which call it was. Only ids of the request are logged (S92).
func (s served) attrs(ctx context.Context) []slog.Attr {
	attrs := []slog.Attr{
		slog.String("method", s.method),
		slog.Float64("duration_ms", float64(s.took.Microseconds())/1000),
		slog.String("caller", s.caller.Name()),
		slog.String("user_id", s.subject.User.String()),
	}
	if id := requestID(ctx); id != "" {
		attrs = append(attrs, slog.String("request_id", id))
	}
	if r, ok := s.req.(interface{ GetVideoId() string }); ok {
		if id, err := models.ParseVideoID(r.GetVideoId()); err == nil {
			attrs = append(attrs, slog.String("video_id", id.String()))
		}
	}
	return attrs
}

// judge says how grave a failure is, and why it came to it.
func (s served) judge() (slog.Level, []slog.Attr) {
	if s.failure == nil {
		return slog.LevelInfo, nil
	}
	reasons := []slog.Attr{slog.String("reason", string(s.failure.Reason))}
	switch s.failure.Reason.Entry().Kind {
	case models.KindInternal:
		return slog.LevelError, append(reasons, slog.String("error", s.failure.Error()))
	case models.KindUnavailable, models.KindDeadline:
		return slog.LevelWarn, append(reasons, slog.String("error", s.failure.Error()))
	case models.KindUnauthenticated, models.KindDenied:
		if cause := s.failure.Unwrap(); cause != nil {
			reasons = append(reasons, slog.String("error", cause.Error()))
		}
	default:
	}
	return slog.LevelInfo, reasons
}

// staffRead reports whether a service looked at a user's data, or tried to and was allowed. It is the one hook of the audit
// trail: until there is a table, the call's log line says so.
func staffRead(p policy, subject identity.Subject) bool {
	return p.budget == Query && subject.Service != "" && subject.User != models.UserID{}
}

// requestID is the caller's own id of a call, 1-128 visible ASCII characters; empty without a good one.
func requestID(ctx context.Context) string {
	ids := metadata.ValueFromIncomingContext(ctx, keyRequestID)
	if len(ids) != 1 || !dto.IsKey(ids[0]) {
		return ""
	}
	return ids[0]
}
