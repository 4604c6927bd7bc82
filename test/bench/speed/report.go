package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"
)

// report is everything a run found out. It is what the JSON file holds.
type report struct {
	Title    string            `json:"title"`
	Date     time.Time         `json:"date"`
	Commit   string            `json:"commit"`
	Machine  machine           `json:"machine"`
	Postgres map[string]string `json:"postgres"`
	Data     dataset           `json:"data"`
	Turns    int               `json:"turns"`
	Turn     string            `json:"turn"`
	// Env is what -env added to the service's environment.
	Env     []string `json:"env,omitempty"`
	Entries []*entry `json:"entries"`
	// Curves are throughput against callers, by work.
	Curves []*curve `json:"curves,omitempty"`
	// Latencies of the open loops, by work.
	Latencies []*percentiles `json:"latencies,omitempty"`
	// Offered is goodput against offered load.
	Offered []offered `json:"offered,omitempty"`
	Notes   []string  `json:"notes,omitempty"`
}

type machine struct {
	CPU      string `json:"cpu"`
	CPUs     int    `json:"cpus"`
	MemoryMB int    `json:"memory_mb"`
	Kernel   string `json:"kernel"`
	Go       string `json:"go"`
}

// curve is the throughput of one work at several numbers of callers; Failed is the share of failed calls.
type curve struct {
	Work   string   `json:"work"`
	Points []*point `json:"points"`
}

type point struct {
	Callers int    `json:"callers"`
	Rate    figure `json:"rate"`
	Failed  figure `json:"failed"`
	// Reasons count failures over all turns.
	Reasons map[string]int64 `json:"reasons,omitempty"`
}

// percentiles of an open loop at Rate calls a second, in milliseconds, all turns together.
type percentiles struct {
	Work      string             `json:"work"`
	Rate      float64            `json:"rate"`
	Quantiles map[string]float64 `json:"quantiles_ms"`
	encoded   [][]byte
}

// offered is one step of a sweep of open loops.
type offered struct {
	Offered  float64          `json:"offered"`
	Goodput  float64          `json:"goodput"`
	P99      float64          `json:"accepted_p99_ms"`
	Failures map[string]int64 `json:"failures,omitempty"`
}

func (r *report) entry(what, must string) *entry {
	for _, e := range r.Entries {
		if e.What == what {
			return e
		}
	}
	e := &entry{What: what, Must: must}
	r.Entries = append(r.Entries, e)
	return e
}

func (r *report) curve(work string) *curve {
	for _, c := range r.Curves {
		if c.Work == work {
			return c
		}
	}
	c := &curve{Work: work}
	r.Curves = append(r.Curves, c)
	return c
}

func (c *curve) add(callers int, res loadResult) {
	var p *point
	for _, q := range c.Points {
		if q.Callers == callers {
			p = q
		}
	}
	if p == nil {
		p = &point{Callers: callers, Rate: figure{Name: "rate", Unit: "/s"}, Failed: figure{Name: "failed", Unit: "%"}, Reasons: map[string]int64{}}
		c.Points = append(c.Points, p)
		slices.SortFunc(c.Points, func(a, b *point) int { return a.Callers - b.Callers })
	}
	p.Rate.Values = append(p.Rate.Values, res.rate())
	p.Failed.Values = append(p.Failed.Values, percent(res.failedShare()))
	for reason, n := range failuresOf(res) {
		p.Reasons[reason] += n
	}
}

func failuresOf(res loadResult) map[string]int64 {
	counts := map[string]int64{}
	for reason, a := range res.Answers {
		if reason != accepted {
			counts[reason] = a.Count
		}
	}
	return counts
}

func percent(share float64) float64 {
	const all = 100
	return share * all
}

// describe fills in where and what was measured.
func (r *report) describe(ctx context.Context, t *topology) (err error) {
	r.Date, r.Data, r.Turns, r.Turn, r.Env = time.Now().UTC().Truncate(time.Second), t.options.Data, t.options.Turns, t.options.Turn.String(), t.options.Env
	r.Machine = thisMachine()
	if r.Commit, err = commit(ctx); err != nil {
		return err
	}
	rows, err := t.look.Query(ctx, `SELECT name, current_setting(name) FROM pg_settings WHERE name IN ('server_version', 'fsync', 'synchronous_commit',
		'full_page_writes', 'shared_buffers', 'max_connections', 'wal_sync_method', 'max_wal_size', 'jit', 'random_page_cost')`)
	if err != nil {
		return err
	}
	r.Postgres = map[string]string{}
	var name, value string
	_, err = pgx.ForEachRow(rows, []any{&name, &value}, func() error { r.Postgres[name] = value; return nil })
	return err
}

// commit is HEAD, marked when the tree differs from it.
func commit(ctx context.Context) (string, error) {
	head, err := exec.CommandContext(ctx, "git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return "", fmt.Errorf("git rev-parse: %w", err)
	}
	changes, err := exec.CommandContext(ctx, "git", "status", "--porcelain", "--untracked-files=no").Output()
	if err != nil {
		return "", fmt.Errorf("git status: %w", err)
	}
	id := strings.TrimSpace(string(head))
	if len(bytes.TrimSpace(changes)) > 0 {
		id += " with changes"
	}
	return id, nil
}

func thisMachine() machine {
	const kiloPerMega = 1024
	m := machine{CPU: runtime.GOARCH, CPUs: runtime.NumCPU(), Kernel: runtime.GOOS, Go: runtime.Version()}
	if model := fieldOf("/proc/cpuinfo", "model name"); model != "" {
		m.CPU = model
	}
	var kb int
	if _, err := fmt.Sscanf(fieldOf("/proc/meminfo", "MemTotal"), "%d kB", &kb); err == nil {
		m.MemoryMB = kb / kiloPerMega
	}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel += " " + strings.TrimSpace(string(release))
	}
	return m
}

// fieldOf is the first "name: value" of a file, empty when there is none.
func fieldOf(path, name string) string {
	text, err := os.ReadFile(path) //nolint:gosec // G304: files of /proc
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if key, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// print writes the tables for a terminal.
func (r *report) print(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(table, "%s, %s, commit %s\n%s\n\n", r.Title, r.Date.Format(time.DateTime), r.Commit, r.conditions())
	for _, e := range r.Entries {
		_, _ = fmt.Fprintf(table, "%s\t%s\n", e.What, e.verdict())
		for _, f := range e.Figures {
			must := ""
			if f.Bound != nil {
				must = "must be " + f.Bound.String()
			}
			_, _ = fmt.Fprintf(table, "  %s\t%s\t%s\n", f.Name, f, must)
		}
	}
	for _, c := range r.Curves {
		_, _ = fmt.Fprintf(table, "\n%s: callers\tcalls/s\tfailed\treasons\n", c.Work)
		for _, p := range c.Points {
			_, _ = fmt.Fprintf(table, "  %d\t%s\t%s\t%s\n", p.Callers, p.Rate, p.Failed, counts(p.Reasons))
		}
	}
	if len(r.Latencies) > 0 {
		_, _ = fmt.Fprint(table, "\nopen loop\trate/s\tp50 ms\tp90\tp99\tp99.9\tmax\n")
	}
	for _, l := range r.Latencies {
		_, _ = fmt.Fprintf(table, "  %s\t%s\t%s\n", l.Work, number(l.Rate), strings.Join(l.cells(), "\t"))
	}
	if len(r.Offered) > 0 {
		_, _ = fmt.Fprint(table, "\noffered/s\tgoodput/s\taccepted p99 ms\tfailures\n")
	}
	for _, o := range r.Offered {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", number(o.Offered), number(o.Goodput), number(o.P99), counts(o.Failures))
	}
	for _, n := range r.Notes {
		_, _ = fmt.Fprintf(table, "\n%s\n", n)
	}
	return table.Flush()
}

func (r *report) conditions() string {
	return fmt.Sprintf("%d × %s, %d MiB, %s, %s, Postgres %s (fsync %s, synchronous_commit %s, shared_buffers %s); %d users, %d videos, %d likes and %d watch rows; %d turns of %s",
		r.Machine.CPUs, r.Machine.CPU, r.Machine.MemoryMB, r.Machine.Kernel, r.Machine.Go, r.Postgres["server_version"], r.Postgres["fsync"],
		r.Postgres["synchronous_commit"], r.Postgres["shared_buffers"], r.Data.Users, r.Data.Videos, r.Data.Users*r.Data.Warm, r.Data.Users*r.Data.Warm, r.Turns, r.Turn)
}

// counts lists reasons, the most frequent first.
func counts(reasons map[string]int64) string {
	names := slices.SortedFunc(maps.Keys(reasons), func(a, b string) int {
		if reasons[a] != reasons[b] {
			return int(reasons[b] - reasons[a])
		}
		return strings.Compare(a, b)
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %d", name, reasons[name])
	}
	return strings.Join(names, ", ")
}

// shownQuantiles of latencies.
var shownQuantiles = []struct {
	name string
	q    float64
}{{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}, {"max", 1}}

func (l *percentiles) cells() []string {
	cells := make([]string, len(shownQuantiles))
	for i, q := range shownQuantiles {
		cells[i] = number(l.Quantiles[q.name])
	}
	return cells
}

// write makes name.json, name.md and the plots in dir.
func (r *report) write(dir, name string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // G301: documentation
		return err
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	plots, err := r.plot(dir, name)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, name+".json"), append(text, '\n'), 0o644),      //nolint:gosec // G306: documentation
		os.WriteFile(filepath.Join(dir, name+".md"), []byte(r.markdown(plots)), 0o644)) //nolint:gosec // G306: documentation
}
