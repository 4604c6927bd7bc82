// Package observability makes the logger and the metrics.
package observability

import (
	"fmt"
	"io"
	"log/slog"

	kratoslog "github.com/go-kratos/kratos/v2/log"
)

// allowed are the only attributes a log line may carry (S92): nothing a learner wrote is among them.
var allowed = setOf(
	slog.TimeKey, slog.LevelKey, slog.MessageKey,
	"service", "method", "code", "request_id", "reason", "duration_ms", "calls_left_out", "caller", "user_id", "video_id", "action", "trace_id", "source",
	"error", "stack", "addr", "signal", "candidate", "verdict", "config", "topic", "count", "migration", "event_id", "lane", "audit",
)

func setOf(names ...string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return set
}

const dropped = "[not in the log allow-list]"

// NewLogger writes one JSON object per line to w. Attributes outside the allow-list keep their name and
// lose their value.
func NewLogger(w io.Writer, level string) (*slog.Logger, error) {
	handler, _, err := newHandler(w, level)
	return slog.New(handler), err
}

// NewBufferedLogger is NewLogger whose lines leave together, warnings and errors at once; with level debug all of them
// do. The caller calls flush at the end.
func NewBufferedLogger(w io.Writer, level string) (log *slog.Logger, flush func(), err error) {
	buffer := NewBuffer(w)
	handler, threshold, err := newHandler(buffer, level)
	if err != nil {
		return nil, nil, err
	}
	if threshold <= slog.LevelDebug {
		log, err = NewLogger(w, level)
		return log, func() {}, err
	}
	return slog.New(prompt{handler, buffer}), buffer.Flush, nil
}

func newHandler(w io.Writer, level string) (slog.Handler, slog.Level, error) {
	var threshold slog.Level
	if err := threshold.UnmarshalText([]byte(level)); err != nil {
		return slog.DiscardHandler, 0, fmt.Errorf("log level: %w", err)
	}
	return slog.NewJSONHandler(w, &slog.HandlerOptions{
		Level: threshold,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Value.Kind() != slog.KindGroup && !allowed[a.Key] {
				a.Value = slog.StringValue(dropped)
			}
			return a
		},
	}), threshold, nil
}

// KratosLogger lets the framework log through l.
func KratosLogger(l *slog.Logger) kratoslog.Logger { return kratosLogger{l} }

type kratosLogger struct{ log *slog.Logger }

// Log implements kratoslog.Logger; the framework only ever sends a message.
func (k kratosLogger) Log(level kratoslog.Level, keyvals ...any) error {
	message := ""
	for i := 0; i+1 < len(keyvals); i += 2 {
		if keyvals[i] == kratoslog.DefaultMessageKey {
			message = fmt.Sprint(keyvals[i+1])
		}
	}
	switch level {
	case kratoslog.LevelDebug:
		k.log.Debug(message, "source", "kratos")
	case kratoslog.LevelInfo:
		k.log.Info(message, "source", "kratos")
	case kratoslog.LevelWarn:
		k.log.Warn(message, "source", "kratos")
	case kratoslog.LevelError, kratoslog.LevelFatal:
		k.log.Error(message, "source", "kratos")
	}
	return nil
}
