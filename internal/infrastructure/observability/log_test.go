package observability_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	kratoslog "github.com/go-kratos/kratos/v2/log"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/infrastructure/observability"
)

func logger(t *testing.T, level string) (*slog.Logger, *bytes.Buffer) {
	t.Helper()
	out := &bytes.Buffer{}
	log, err := observability.NewLogger(out, level)
	require.NoError(t, err)
	return log, out
}

// lines decodes everything written, one object per line.
func lines(t *testing.T, out *bytes.Buffer) (decoded []map[string]any) {
	t.Helper()
	for line := range strings.Lines(out.String()) {
		var object map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &object), line)
		decoded = append(decoded, object)
	}
	return decoded
}

func TestS92_OnlyAllowedAttributesKeepTheirValue(t *testing.T) {
	t.Parallel()
	log, out := logger(t, "debug")
	log.Info("call", "user_id", "u-1", "method", "GetProfile", "display_name", "canary", "extra", map[string]any{"k": "canary"}, "token", "canary")
	got := lines(t, out)
	require.Len(t, got, 1)
	require.Equal(t, "u-1", got[0]["user_id"])
	require.Equal(t, "GetProfile", got[0]["method"])
	require.Contains(t, got[0], "display_name", "the name says that something was left out")
	require.NotContains(t, out.String(), "canary")
}

type secretive struct{}

func (secretive) LogValue() slog.Value {
	return slog.GroupValue(slog.String("display_name", "canary"), slog.String("code", "OK"))
}

func TestS92_GroupsAndBoundAttributesAreFilteredToo(t *testing.T) {
	t.Parallel()
	log, out := logger(t, "debug")
	log.With("avatar_url", "canary").WithGroup("request").Info("call",
		slog.Group("profile", slog.String("learning_goal", "canary"), slog.String("code", "OK")), "person", secretive{})
	require.NotContains(t, out.String(), "canary")
	require.Len(t, lines(t, out), 1)
	require.Contains(t, out.String(), `"code":"OK"`)
}

func TestS92_ControlCharactersStayOnOneLine(t *testing.T) {
	t.Parallel()
	log, out := logger(t, "debug")
	forged := "x\r\n{\"level\":\"ERROR\",\"msg\":\"forged\"}\n\x1b[31mred\u2028"
	log.Info(forged, "error", forged, "user_id", forged)
	got := lines(t, out)
	require.Len(t, got, 1)
	require.Equal(t, forged, got[0]["error"])
	require.Equal(t, 1, strings.Count(out.String(), "\n"))
	require.NotContains(t, out.String(), "\x1b")
}

func TestLevelsAreAThreshold(t *testing.T) {
	t.Parallel()
	for level, want := range map[string]int{"debug": 4, "info": 3, "warn": 2, "error": 1} {
		log, out := logger(t, level)
		log.Debug("m")
		log.Info("m")
		log.Warn("m")
		log.Error("m")
		require.Len(t, lines(t, out), want, level)
	}
	_, err := observability.NewLogger(&bytes.Buffer{}, "loud")
	require.Error(t, err)
}

func TestS92_FrameworkLogsOnlyItsMessage(t *testing.T) {
	t.Parallel()
	log, out := logger(t, "debug")
	framework := observability.KratosLogger(log)
	for _, level := range []kratoslog.Level{kratoslog.LevelDebug, kratoslog.LevelInfo, kratoslog.LevelWarn, kratoslog.LevelError, kratoslog.LevelFatal} {
		require.NoError(t, framework.Log(level, kratoslog.DefaultMessageKey, "listening", "request", "canary", "odd"))
	}
	got := lines(t, out)
	var levels []any
	for _, line := range got {
		require.Equal(t, "listening", line["msg"])
		require.Equal(t, "kratos", line["source"])
		levels = append(levels, line["level"])
	}
	require.Equal(t, []any{"DEBUG", "INFO", "WARN", "ERROR", "ERROR"}, levels)
	require.NotContains(t, out.String(), "canary")
}

func TestErrorsDoNotWaitInTheBuffer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out safe
		log, flush, err := observability.NewBufferedLogger(&out, "info")
		require.NoError(t, err)
		log.Info("first")
		require.Empty(t, out.String())
		log.With("code", "OK").Warn("second")
		require.Equal(t, 2, strings.Count(out.String(), "\n"), "in order")
		log.Info("third")
		require.Equal(t, 2, strings.Count(out.String(), "\n"))
		time.Sleep(time.Second) //nolint:forbidigo // a bubble's time
		synctest.Wait()
		require.Contains(t, out.String(), "third")
		log.Info("fourth")
		flush()
		require.Contains(t, out.String(), "fourth")
		time.Sleep(time.Second) //nolint:forbidigo // a bubble's time
	})
}

func TestDebugLinesDoNotWait(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, flush, err := observability.NewBufferedLogger(&out, "debug")
	require.NoError(t, err)
	defer flush()
	log.Debug("first")
	require.Contains(t, out.String(), "first")
	_, _, err = observability.NewBufferedLogger(&out, "loud")
	require.Error(t, err)
}

// safe is a buffer that a timer may write.
type safe struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *safe) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *safe) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}
