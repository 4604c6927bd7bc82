package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"
)

// report collects figures in the order they were first seen.
type report struct{ rows []*figure }

// figure is one line: what was measured, of whom, in what unit, once per turn.
type figure struct {
	row, who, unit string
	values         []float64
}

func (r *report) add(row, who, unit string, value float64) {
	i := slices.IndexFunc(r.rows, func(f *figure) bool { return f.row == row && f.who == who })
	if i < 0 {
		i = len(r.rows)
		r.rows = append(r.rows, &figure{row: row, who: who, unit: unit})
	}
	r.rows[i].values = append(r.rows[i].values, value)
}

func (r *report) cost(who string, c cost) {
	r.add("WAL per event", who, "bytes", c.walBytes)
	r.add("round trips per event", who, "", c.roundTrips)
	r.add("statements per event", who, "", c.statements)
	r.add("dead tuples per event", who, "", c.deadTuples)
}

// print writes medians with the least and the greatest value.
func (r *report) print(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(table, "%d CPUs, %s; median (min-max)\n\n", runtime.NumCPU(), runtime.Version())
	slices.SortStableFunc(r.rows, func(a, b *figure) int {
		return slices.IndexFunc(r.rows, sameRow(a)) - slices.IndexFunc(r.rows, sameRow(b))
	})
	last := ""
	for _, f := range r.rows {
		label := f.row
		if label == last {
			label = ""
		}
		last = f.row
		slices.Sort(f.values)
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s %s\t(%s-%s)\tn=%d\n", label, f.who,
			number(f.values[len(f.values)/2]), f.unit, number(f.values[0]), number(f.values[len(f.values)-1]), len(f.values))
	}
	return table.Flush()
}

func sameRow(f *figure) func(*figure) bool { return func(g *figure) bool { return g.row == f.row } }

// number keeps three digits or so.
func number(v float64) string {
	const whole, tenths = 100, 1
	switch {
	case v >= whole:
		return fmt.Sprintf("%.0f", v)
	case v >= tenths:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.4f", v)
}

// quantile of durations in milliseconds.
func quantile(list []time.Duration, q float64) float64 {
	slices.Sort(list)
	return float64(list[int(q*float64(len(list)-1))]) / float64(time.Millisecond)
}
