package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

const reportFile = "test/chaos/REPORT.md"

// table has one line per fault.
func table(tallies []*tally) string {
	var b strings.Builder
	b.WriteString("| fault | rounds | committed | delivered | lost | phantom | inversions | duplicates | recovery | verdict |\n")
	b.WriteString("|---|---:|---:|---:|---:|---:|---:|---:|---:|---|\n")
	for _, t := range tallies {
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %d | %d | %d | %s | %s |\n", t.fault, t.rounds, t.committed, t.delivered, t.lost, t.phantoms,
			t.inversions, t.duplicate, t.recovery.Round(10*time.Millisecond), verdictWord(t))
	}
	return b.String()
}

func summary(tallies []*tally) string {
	var sum tally
	red := 0
	for _, t := range tallies {
		sum.rounds += t.rounds
		sum.committed += t.committed
		sum.lost += t.lost
		sum.phantoms += t.phantoms
		sum.inversions += t.inversions
		sum.duplicate += t.duplicate
		red += btoi(len(t.problems) > 0)
	}
	return fmt.Sprintf("%d rounds, %d events: %d lost, %d phantoms, %d inversions, %d duplicates; %d faults red",
		sum.rounds, sum.committed, sum.lost, sum.phantoms, sum.inversions, sum.duplicate, red)
}

func writeReport(o options, c *campaign, took time.Duration) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Chaos report\n\nWritten by `make chaos REPORT=1 SEED=%d` on %s in %s.\n\n", o.seed, time.Now().UTC().Format(time.DateOnly), took.Round(time.Second))
	fmt.Fprintf(&b, "%s.\n\n", summary(c.tallies))
	fmt.Fprintf(&b, "%s\n", machine())
	b.WriteString("Of inbox faults, committed are the catalog's events, delivered those with an effect, inversions videos that are\n" +
		"not the fold of their events or versions that fell, duplicates effects too many. Recovery is the longest time from\n" +
		"the end of a fault until no event waited for more than a second. Round n of a fault has seed " + fmt.Sprint(o.seed) + "+n-1.\n\n")
	b.WriteString(table(c.tallies))
	for _, t := range c.tallies {
		if len(t.notes) > 0 {
			fmt.Fprintf(&b, "\n- %s: %s", t.fault, t.notes[len(t.notes)-1])
		}
	}
	for _, t := range c.tallies {
		for _, p := range t.problems {
			fmt.Fprintf(&b, "\n- %s: %s", t.fault, firstLineOf(p))
		}
	}
	b.WriteString("\n")
	return os.WriteFile(reportFile, []byte(b.String()), 0o644) //nolint:gosec // G306: a document
}

// machine says what it ran on, without names.
func machine() string {
	postgres, _ := exec.Command("postgres", "--version").Output() //nolint:noctx // a moment
	return fmt.Sprintf("Machine: %d cores, %s, shared with other work; Linux %s; %s; %s.\n", runtime.NumCPU(),
		strings.Join(strings.Fields(firstLine("/proc/meminfo")), " "), firstLine("/proc/sys/kernel/osrelease"),
		runtime.Version(), strings.TrimSpace(string(postgres)))
}

func firstLineOf(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

func firstLine(file string) string {
	text, _ := os.ReadFile(file) //nolint:gosec // G304: of the kernel
	return firstLineOf(string(text))
}
