package main

import (
	"fmt"
	"math"
	"slices"
)

// figure is one thing that was measured, once per turn, and what it must be.
type figure struct {
	Name string `json:"name"`
	Unit string `json:"unit,omitempty"`
	// Values are in the order of the turns.
	Values []float64 `json:"values"`
	// Bound is what the median must keep; nil for what is only told.
	Bound *bound `json:"bound,omitempty"`
}

// bound is inclusive.
type bound struct {
	AtLeast bool    `json:"at_least"`
	Value   float64 `json:"value"`
}

func atLeast(v float64) *bound { return &bound{AtLeast: true, Value: v} }

func atMost(v float64) *bound { return &bound{Value: v} }

func (b *bound) String() string {
	if b.AtLeast {
		return "≥ " + number(b.Value)
	}
	return "≤ " + number(b.Value)
}

// held tells whether a figure keeps its bound. One without values does not.
func (f figure) held() bool {
	if f.Bound == nil {
		return true
	}
	if len(f.Values) == 0 {
		return false
	}
	if f.Bound.AtLeast {
		return f.median() >= f.Bound.Value
	}
	return f.median() <= f.Bound.Value
}

func (f figure) median() float64 { return median(f.Values) }

func (f figure) String() string {
	switch len(f.Values) {
	case 0:
		return "not measured"
	case 1:
		return unit(f.Values[0], f.Unit)
	}
	return fmt.Sprintf("%s (%s–%s)", unit(f.median(), f.Unit), number(slices.Min(f.Values)), number(slices.Max(f.Values)))
}

// median of nothing is NaN; of an even number the mean of the middle two.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	const half = 2
	if n := len(sorted); n%half == 0 {
		return (sorted[n/half-1] + sorted[n/half]) / half
	}
	return sorted[len(sorted)/half]
}

// number keeps three digits or so.
func number(v float64) string {
	const whole, one, small = 100, 1, 0.005
	switch {
	case math.Abs(v) >= whole || v == math.Trunc(v):
		return fmt.Sprintf("%.0f", v)
	case math.Abs(v) >= one:
		return fmt.Sprintf("%.2f", v)
	case math.Abs(v) >= small:
		return fmt.Sprintf("%.3f", v)
	}
	return fmt.Sprintf("%.5f", v)
}

func unit(v float64, name string) string {
	if name == "" {
		return number(v)
	}
	return number(v) + " " + name
}

// entry is a row of the table of what must hold.
type entry struct {
	What string `json:"what"`
	Must string `json:"must"`
	// Figures in the order they were first measured. All bounds must hold.
	Figures []*figure `json:"figures"`
}

// add appends a turn's value; the bound is that of the first time.
func (e *entry) add(name, unit string, value float64, b *bound) {
	i := slices.IndexFunc(e.Figures, func(f *figure) bool { return f.Name == name })
	if i < 0 {
		i = len(e.Figures)
		e.Figures = append(e.Figures, &figure{Name: name, Unit: unit, Bound: b})
	}
	e.Figures[i].Values = append(e.Figures[i].Values, value)
}

// unjudged forgets what must hold.
func (e *entry) unjudged() {
	for _, f := range e.Figures {
		f.Bound = nil
	}
}

// find is nil when there is no such figure.
func (e *entry) find(name string) *figure {
	for _, f := range e.Figures {
		if f.Name == name {
			return f
		}
	}
	return nil
}

func (e *entry) verdict() string {
	judged := false
	for _, f := range e.Figures {
		if !f.held() {
			return "missed"
		}
		judged = judged || f.Bound != nil
	}
	if !judged {
		return "not judged"
	}
	return "held"
}
