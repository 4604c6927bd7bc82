// Command rules checks two promises of the repository: every rule in scope has a test that is named after
// it, and the state of every row of the ledger profile_refactor_plan.md follows from what the repository holds.
//
// It runs from the root of the repository, prints one line per rule, and exits 1 with everything that does
// not hold.
package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
)

const ledgerFile = "profile_refactor_plan.md"

// The rules in scope, by the numbers of the requirements.
var (
	inScope = []ids{
		{"S", [][2]int{{1, 25}, {30, 42}, {47, 48}, {50, 55}, {60, 68}, {70, 78}, {85, 85}, {87, 94}}},
		{"P", [][2]int{{1, 9}, {11, 23}, {25, 25}}},
	}
	inLedger = []ids{
		{"M", [][2]int{{1, 170}}},
		{"A", [][2]int{{1, 104}}},
		{"C", [][2]int{{1, 15}}},
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
	ledger, err := fs.ReadFile(root, ledgerFile)
	if err != nil {
		return nil, err
	}
	repo, err := read(root)
	if err != nil {
		return nil, err
	}
	return append(listRules(out, expand(inScope), repo.tests), checkLedger(out, expand(inLedger), string(ledger), repo)...), nil
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
