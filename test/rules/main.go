// Command rules checks two promises of the repository: every rule in scope has a test that is named after
// it, and every row of the ledger profile_refactor_plan.md has a state and a proof that exists.
//
// It runs from the root of the repository, prints one line per rule, and exits 1 with everything that does
// not hold.
package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	ledgerFile = "profile_refactor_plan.md"
	makeFile   = "Makefile"
)

// The rules in scope, by the numbers of the requirements.
var (
	inScope = []ids{
		{"S", [][2]int{{1, 25}, {30, 30}, {32, 42}, {47, 48}, {50, 55}, {60, 68}, {70, 78}, {85, 85}, {87, 87}, {89, 94}}},
		{"P", [][2]int{{1, 9}, {11, 23}, {25, 25}}},
	}
	inLedger = []ids{
		{"M", [][2]int{{1, 170}}},
		{"A", [][2]int{{1, 104}}},
	}
)

// ids are numbered items: a letter and inclusive ranges.
type ids struct {
	letter string
	ranges [][2]int
}

func expand(sets []ids) (list []string) {
	for _, set := range sets {
		for _, r := range set.ranges {
			for n := r[0]; n <= r[1]; n++ {
				list = append(list, set.letter+strconv.Itoa(n))
			}
		}
	}
	return list
}

func main() {
	problems, err := check(os.DirFS("."), os.Stdout)
	if err != nil {
		problems = append(problems, err.Error())
	}
	for _, p := range problems {
		fmt.Fprintln(os.Stderr, "rules:", p)
	}
	if len(problems) > 0 {
		os.Exit(1)
	}
}

// check reports on the repository in root. Problems are what does not hold; err is a file that cannot be
// read.
func check(root fs.FS, out io.Writer) (problems []string, err error) {
	tests, err := findTests(root)
	if err != nil {
		return nil, err
	}
	ledger, err := fs.ReadFile(root, ledgerFile)
	if err != nil {
		return nil, err
	}
	makefile, err := fs.ReadFile(root, makeFile)
	if err != nil {
		return nil, err
	}
	known := proofs{root, tests, targets(string(makefile))}
	return append(listRules(out, expand(inScope), tests), checkLedger(out, expand(inLedger), string(ledger), known)...), nil
}

// findTests returns the files of every top-level test, fuzz and benchmark function, by its name.
func findTests(root fs.FS) (map[string][]string, error) {
	tests := map[string][]string{}
	err := fs.WalkDir(root, ".", func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && file != "." && skipped(entry.Name()):
			return fs.SkipDir
		case entry.IsDir() || !strings.HasSuffix(file, "_test.go"):
			return nil
		}
		source, err := fs.ReadFile(root, file)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, source, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, declared := range parsed.Decls {
			if f, ok := declared.(*ast.FuncDecl); ok && f.Recv == nil && testName.MatchString(f.Name.Name) {
				tests[f.Name.Name] = append(tests[f.Name.Name], file)
			}
		}
		return nil
	})
	return tests, err
}

var testName = regexp.MustCompile(`^(Test|Fuzz|Benchmark)[A-Z]\w*$`)

// skipped directories hold nothing of ours.
func skipped(dir string) bool {
	return strings.HasPrefix(dir, ".") || slices.Contains([]string{"third_party", "node_modules", "testdata"}, dir)
}

// listRules prints every rule with its tests and returns those that have none.
func listRules(out io.Writer, rules []string, tests map[string][]string) (problems []string) {
	for _, rule := range rules {
		var found []string
		for name, files := range tests {
			if strings.HasPrefix(name, "Test"+rule+"_") {
				found = append(found, name+" ("+strings.Join(files, ", ")+")")
			}
		}
		if len(found) == 0 {
			problems = append(problems, rule+" has no test named Test"+rule+"_…")
			found = []string{"MISSING"}
		}
		slices.Sort(found)
		_, _ = fmt.Fprintf(out, "%-4s %s\n", rule, strings.Join(found, ", "))
	}
	return problems
}

// States of a ledger row. Those that claim work need a proof.
const (
	done    = "done"
	partly  = "partly"
	later   = "later"
	notOurs = "not ours"
)

var (
	ledgerRow = regexp.MustCompile(`^\|\s*([MA]\d+)\s*\|`)
	quoted    = regexp.MustCompile("`([^`]+)`")
)

// checkLedger returns what is wrong with the rows `| id | what | state | proof |`, and prints how many rows
// are in each state.
func checkLedger(out io.Writer, items []string, ledger string, p proofs) (problems []string) {
	seen, counts := map[string]bool{}, map[string]int{}
	for line := range strings.Lines(ledger) {
		match := ledgerRow.FindStringSubmatch(line)
		if match == nil {
			continue
		}
		id := match[1]
		complain := func(format string, args ...any) {
			problems = append(problems, ledgerFile+": "+id+" "+fmt.Sprintf(format, args...))
		}
		if seen[id] {
			complain("has more than one row")
		}
		seen[id] = true
		if !slices.Contains(items, id) {
			complain("is not an item of the requirements")
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 4 {
			complain("has %d cells, not 4", len(cells))
			continue
		}
		state, proof := strings.TrimSpace(cells[2]), strings.TrimSpace(cells[3])
		counts[state]++
		switch state {
		case done, partly:
			if !quoted.MatchString(proof) {
				complain("is %s without a proof", state)
			}
			for _, q := range quoted.FindAllStringSubmatch(proof, -1) {
				if problem := p.problem(q[1]); problem != "" {
					complain("names `%s`: %s", q[1], problem)
				}
			}
		case later, notOurs:
			if proof == "" {
				complain("is %s and does not say why", state)
			}
		default:
			complain("has the unknown state %q", state)
		}
	}
	for _, id := range items {
		if !seen[id] {
			problems = append(problems, ledgerFile+": "+id+" has no row")
		}
	}
	_, _ = fmt.Fprintf(out, "ledger: %d done, %d partly, %d later, %d not ours\n", counts[done], counts[partly], counts[later], counts[notOurs])
	return problems
}

// proofs knows what a ledger row may cite.
type proofs struct {
	root    fs.FS
	tests   map[string][]string
	targets []string
}

// problem says why a citation does not hold; empty when it does.
func (p proofs) problem(cited string) string {
	arguments, isMake := strings.CutPrefix(cited, "make ")
	target, _, _ := strings.Cut(arguments, " ")
	switch {
	case isMake && !slices.Contains(p.targets, target):
		return "no such target"
	case isMake:
		return ""
	case testName.MatchString(cited) && p.tests[cited] == nil:
		return "no such test"
	case testName.MatchString(cited):
		return ""
	}
	if _, err := fs.Stat(p.root, path.Clean(cited)); err != nil {
		return "no such test, target or path"
	}
	return ""
}

var makeTarget = regexp.MustCompile(`(?m)^([a-z][a-z0-9-]*):`)

func targets(makefile string) (names []string) {
	for _, match := range makeTarget.FindAllStringSubmatch(makefile, -1) {
		names = append(names, match[1])
	}
	return names
}
