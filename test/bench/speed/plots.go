package main

import (
	"errors"
	"fmt"
	"image/color"
	"os"
	"path/filepath"

	"github.com/HdrHistogram/hdrhistogram-go"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

const (
	plotWidth   = 8 * vg.Inch
	plotHeight  = 5 * vg.Inch
	legendWidth = 4.5 * vg.Inch
)

// plot draws what there is to draw and returns the files' names.
func (r *report) plot(dir, name string) (files []string, err error) {
	for _, p := range []struct {
		suffix string
		draw   func() (*plot.Plot, error)
		wanted bool
	}{
		{"throughput", r.plotThroughput, len(r.Curves) > 0},
		{"latency", r.plotLatency, len(r.Latencies) > 0},
		{"offered", r.plotOffered, len(r.Offered) > 0},
	} {
		if !p.wanted {
			continue
		}
		drawing, err := p.draw()
		if err != nil {
			return nil, fmt.Errorf("plot %s: %w", p.suffix, err)
		}
		file := name + "-" + p.suffix + ".svg"
		if err := save(drawing, filepath.Join(dir, file)); err != nil {
			return nil, fmt.Errorf("plot %s: %w", p.suffix, err)
		}
		files = append(files, file)
	}
	return files, nil
}

// save draws a plot with its legend beside it, where it covers no curve.
func save(p *plot.Plot, file string) (err error) {
	legend := p.Legend
	p.Legend = plot.NewLegend()
	canvas := vgsvg.New(plotWidth+legendWidth, plotHeight)
	whole := draw.New(canvas)
	whole.FillPolygon(p.BackgroundColor, []vg.Point{whole.Min, {X: whole.Max.X, Y: whole.Min.Y}, whole.Max, {X: whole.Min.X, Y: whole.Max.Y}})
	p.Draw(draw.Crop(whole, 0, -legendWidth, 0, 0))
	const margin = vg.Inch / 4
	legend.Draw(draw.Crop(whole, plotWidth, 0, 0, -margin))
	out, err := os.Create(file) //nolint:gosec // G304: told by the caller
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = canvas.WriteTo(out)
	return err
}

func newPlot(title, x, y string) *plot.Plot {
	const pale = 0xdd
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.BackgroundColor = color.White
	p.Legend.Top, p.Legend.Left = true, true
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = color.Gray{pale}, color.Gray{pale}
	p.Add(grid)
	return p
}

func (r *report) plotThroughput() (*plot.Plot, error) {
	p := newPlot("Throughput against callers, closed loop", "callers", "accepted calls/s")
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, callerTicks{}
	p.Y.Min = 0
	var lines []any
	for _, c := range r.Curves {
		xy := make(plotter.XYs, len(c.Points))
		for i, point := range c.Points {
			xy[i] = plotter.XY{X: float64(point.Callers), Y: point.Rate.median()}
		}
		lines = append(lines, c.Work, xy)
	}
	return p, plotutil.AddLinePoints(p, lines...)
}

// callerTicks are the numbers of callers that are measured.
type callerTicks struct{}

// Ticks implements plot.Ticker.
func (callerTicks) Ticks(least, greatest float64) (ticks []plot.Tick) {
	for n := 1.0; n <= greatest; n *= 2 {
		if n >= least {
			ticks = append(ticks, plot.Tick{Value: n, Label: number(n)})
		}
	}
	return ticks
}

func (r *report) plotLatency() (*plot.Plot, error) {
	p := newPlot("Latency by percentile, open loop", "percentile", "ms")
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, percentileTicks{}
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	var lines []any
	for _, l := range r.Latencies {
		h, err := l.merged()
		if err != nil {
			return nil, err
		}
		var xy plotter.XYs
		for _, t := range (percentileTicks{}).Ticks(1, tailMost) {
			xy = append(xy, plotter.XY{X: t.Value, Y: max(millis(h, 1-1/t.Value), 0.001)})
		}
		lines = append(lines, fmt.Sprintf("%s at %s/s", l.Work, number(l.Rate)), xy)
	}
	return p, plotutil.AddLinePoints(p, lines...)
}

// tailMost is where the percentile axis ends: one in so many calls is slower.
const tailMost = 1000

// percentileTicks label "one in n is slower", which is a straight axis on a log scale.
type percentileTicks struct{}

// Ticks implements plot.Ticker.
func (percentileTicks) Ticks(least, greatest float64) (ticks []plot.Tick) {
	for _, t := range []plot.Tick{
		{Value: 1.25, Label: "20"},
		{Value: 2, Label: "50"},
		{Value: 4, Label: "75"},
		{Value: 10, Label: "90"},
		{Value: 20, Label: "95"},
		{Value: 100, Label: "99"},
		{Value: 200, Label: "99.5"},
		{Value: tailMost, Label: "99.9"},
	} {
		if t.Value >= least && t.Value <= greatest {
			ticks = append(ticks, t)
		}
	}
	return ticks
}

func (r *report) plotOffered() (*plot.Plot, error) {
	p := newPlot("Goodput against offered load, likes, open loop", "offered calls/s", "accepted calls/s")
	p.X.Min, p.Y.Min = 0, 0
	var goodput, ideal plotter.XYs
	most := 0.0
	for _, o := range r.Offered {
		goodput = append(goodput, plotter.XY{X: o.Offered, Y: o.Goodput})
		most = max(most, o.Goodput)
	}
	ideal = plotter.XYs{{X: 0, Y: 0}, {X: most, Y: most}}
	if err := plotutil.AddLines(p, "all of it", ideal); err != nil {
		return nil, err
	}
	return p, plotutil.AddLinePoints(p, "goodput", goodput)
}

// merged is one histogram of all turns.
func (l *percentiles) merged() (*hdrhistogram.Histogram, error) {
	sum := newHistogram()
	for _, encoded := range l.encoded {
		h, err := hdrhistogram.Decode(encoded)
		if err != nil {
			return nil, err
		}
		sum.Merge(h)
	}
	return sum, nil
}

// add takes in a turn.
func (l *percentiles) add(res loadResult) error {
	if a := res.Answers[accepted]; len(a.Latency) > 0 {
		l.encoded = append(l.encoded, a.Latency)
	}
	h, err := l.merged()
	if err != nil {
		return err
	}
	l.Quantiles = map[string]float64{}
	for _, q := range shownQuantiles {
		l.Quantiles[q.name] = millis(h, q.q)
	}
	return nil
}
