package main

import (
	"fmt"
	"strings"
	"time"
)

// markdown is the report as a page; plots are file names beside it.
func (r *report) markdown(plots []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\nMeasured on %s at commit %s.\n\n%s.\n\n", r.Title, r.Date.Format(time.DateOnly+" 15:04 MST"), r.Commit, r.conditions())
	if len(r.Env) > 0 {
		fmt.Fprintf(&b, "The service ran with `%s`.\n\n", strings.Join(r.Env, " "))
	}
	b.WriteString("Median (least–greatest) of the turns; ratios are taken turn by turn.\n\n| what | must | measured | verdict |\n|---|---|---|---|\n")
	for _, e := range r.Entries {
		lines := make([]string, len(e.Figures))
		for i, f := range e.Figures {
			lines[i] = f.Name + ": " + f.String()
			if f.Bound != nil {
				lines[i] = fmt.Sprintf("**%s** (%s)", lines[i], f.Bound)
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", e.What, e.Must, strings.Join(lines, "<br>"), e.verdict())
	}
	for _, c := range r.Curves {
		fmt.Fprintf(&b, "\n## Throughput against callers: %s\n\n| callers | calls/s | failed | reasons |\n|---|---|---|---|\n", c.Work)
		for _, p := range c.Points {
			fmt.Fprintf(&b, "| %d | %s | %s | %s |\n", p.Callers, p.Rate, p.Failed, counts(p.Reasons))
		}
	}
	if len(r.Latencies) > 0 {
		b.WriteString("\n## Latency, open loop\n\nFrom the moment a call was due (corrected for coordinated omission), milliseconds, accepted calls of all turns.\n\n" +
			"| work | calls/s | p50 | p90 | p99 | p99.9 | max |\n|---|---|---|---|---|---|---|\n")
		for _, l := range r.Latencies {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", l.Work, number(l.Rate), strings.Join(l.cells(), " | "))
		}
	}
	if len(r.Offered) > 0 {
		b.WriteString("\n## Goodput against offered load\n\n| offered/s | goodput/s | accepted p99 ms | failures |\n|---|---|---|---|\n")
		for _, o := range r.Offered {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", number(o.Offered), number(o.Goodput), number(o.P99), counts(o.Failures))
		}
	}
	for _, p := range plots {
		fmt.Fprintf(&b, "\n![%s](%s)\n", strings.TrimSuffix(p, ".svg"), p)
	}
	if len(r.Notes) > 0 {
		b.WriteString("\n## Notes\n\n")
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "- %s\n", n)
	}
	return b.String()
}
