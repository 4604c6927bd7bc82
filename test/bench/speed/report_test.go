package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sample is a report with one of everything.
func sample(t *testing.T) *report {
	t.Helper()
	r := &report{
		Title: "Speed", Commit: "abc", Date: time.Date(2030, time.January, 2, 3, 4, 5, 0, time.UTC), Machine: machine{CPU: "Z80", CPUs: 2},
		Postgres: map[string]string{"fsync": "on"}, Data: dataset{Users: 10, Videos: 5, Warm: 2}, Turns: 3, Turn: "5s", Env: []string{"A=b"},
		Notes: []string{"A note."},
	}
	for _, v := range []float64{0.5, 2, 1.5} {
		r.entry("like, uniform", "≥ 1.0 × Y1").add("service / Y1", "", v, atLeast(1))
		r.entry("like, uniform", "").add("service", "/s", 1000*v, nil)
	}
	rec := newRecorder(r.Date, time.Second)
	for i := range 100 {
		rec.answered(i, r.Date, r.Date, r.Date.Add(time.Duration(i)*time.Millisecond), answer{reason: accepted})
	}
	rec.answered(0, r.Date, r.Date, r.Date, answer{reason: "Unavailable/UNAVAILABLE"})
	res, err := rec.result(time.Second)
	require.NoError(t, err)
	r.curve("like, uniform").add(8, res)
	r.curve("like, uniform").add(1, res)
	r.curve("like, uniform").add(8, res)
	l := &percentiles{Work: "like, uniform", Rate: 500}
	require.NoError(t, l.add(res))
	require.NoError(t, l.add(res))
	r.Latencies = append(r.Latencies, l)
	o, err := newOffered(job{Rate: 100}, res)
	require.NoError(t, err)
	r.Offered = append(r.Offered, o)
	return r
}

func TestReportFiles(t *testing.T) {
	t.Parallel()
	r, dir := sample(t), t.TempDir()
	require.NoError(t, r.write(dir, "speed"))
	page, err := os.ReadFile(filepath.Join(dir, "speed.md"))
	require.NoError(t, err)
	for _, text := range []string{
		"# Speed\n", "at commit abc", "fsync on", "`A=b`",
		"| like, uniform | ≥ 1.0 × Y1 | **service / Y1: 1.50 (0.500–2)** (≥ 1)<br>service: 1500 /s (500–2000) | held |",
		"| 8 | 100 /s (100–100) | 0.990 % (0.990–0.990) | Unavailable/UNAVAILABLE 2 |", "| like, uniform | 500 | 49.02 |", "![speed-latency](speed-latency.svg)", "- A note.",
	} {
		assert.Contains(t, string(page), text)
	}
	for _, name := range []string{"speed-throughput.svg", "speed-latency.svg", "speed-offered.svg"} {
		drawing, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		assert.True(t, bytes.Contains(drawing, []byte("</svg>")), name)
	}
	text, err := os.ReadFile(filepath.Join(dir, "speed.json"))
	require.NoError(t, err)
	var again report
	require.NoError(t, json.Unmarshal(text, &again))
	assert.Equal(t, r.Entries, again.Entries)
}

func TestReportForTerminals(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	r := sample(t)
	require.NoError(t, r.print(&out))
	assert.Contains(t, out.String(), "must be ≥ 1")
	out.Reset()
	r.unjudged()
	require.NoError(t, r.print(&out))
	assert.NotContains(t, out.String(), "must be")
	assert.Contains(t, out.String(), "not judged")
}

func TestCompare(t *testing.T) {
	t.Parallel()
	small, large := sample(t), sample(t)
	for i := range large.Entries[0].Figures[1].Values {
		large.Entries[0].Figures[1].Values[i] /= 2
	}
	compare(large, small)
	e := large.entry("every rate, large against small", "")
	assert.InDelta(t, 2, e.Figures[0].median(), 0)
	assert.Equal(t, "missed", e.verdict())
}

func TestOptions(t *testing.T) {
	t.Parallel()
	o, err := parseOptions(commandBench, []string{"-env", "A=b", "-env", "C=d", "-turn", "2s"})
	require.NoError(t, err)
	assert.Equal(t, list{"A=b", "C=d"}, o.Env)
	assert.Equal(t, 100_000, o.Data.Users)
	assert.Empty(t, o.DataDir)
	o, err = parseOptions(commandScale, nil)
	require.NoError(t, err)
	assert.Equal(t, 20_000_000, o.Data.Users*o.Data.Warm)
	assert.NotEmpty(t, o.DataDir)
	assert.True(t, o.Data.hasDeepUsers())
	for _, wrong := range [][]string{{"-turn", "500ms"}, {"-turns", "0"}, {"-videos", "5"}, {"rest"}} {
		_, err := parseOptions(commandBench, wrong)
		require.Error(t, err, "%v", wrong)
	}
}
