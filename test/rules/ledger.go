package main

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// state of a ledger row. It is written for readers, and must be the one that the row's evidence gives.
type state string

const (
	done   state = "done"   // what is cited is there
	partly state = "partly" // some of it is there, some is missing
	later  state = "later"  // all of it is missing
	look   state = "look"   // somebody must look; what is cited is checked all the same
	open   state = ""       // the row has no evidence
)

var (
	ledgerRow = regexp.MustCompile(`^\|\s*([A-Z])(\d+)(?:-[A-Z](\d+))?\s*\|`)
	quoted    = regexp.MustCompile("`([^`]+)`")
	marker    = regexp.MustCompile(`\b(gone|missing|look):`)
)

// evidence is the last cell of a row: citations, each with whether it has to be there, and who must look.
type evidence struct {
	proofs, gone, missing []string // gone proves a removal; missing is still to be built
	look                  string
}

// parse reads "`proof`, words; gone: `x`; missing: `y`, `z`; look: who and for what". All parts are optional.
func parse(cell string) (e evidence, problem string) {
	bounds := append(marker.FindAllStringSubmatchIndex(cell, -1), []int{len(cell)})
	e.proofs = citations(cell[:bounds[0][0]])
	for i, at := range bounds[:len(bounds)-1] {
		name, text := cell[at[2]:at[3]], cell[at[1]:bounds[i+1][0]]
		cited := citations(text)
		switch {
		case name == "look" && strings.TrimSpace(text) == "", name != "look" && len(cited) == 0:
			return e, "has an empty " + name
		case name == "look":
			e.look = strings.TrimSpace(text)
		case name == "gone":
			e.gone = append(e.gone, cited...)
		default:
			e.missing = append(e.missing, cited...)
		}
	}
	return e, ""
}

func citations(text string) (cited []string) {
	for _, match := range quoted.FindAllStringSubmatch(text, -1) {
		cited = append(cited, match[1])
	}
	return cited
}

func (e evidence) state() state {
	stands := len(e.proofs)+len(e.gone) > 0
	switch {
	case e.look != "":
		return look
	case stands && len(e.missing) == 0:
		return done
	case stands:
		return partly
	case len(e.missing) > 0:
		return later
	}
	return open
}

// problems are the citations that do not say what the repository holds.
func (e evidence) problems(repo repository) (problems []string) {
	expect := func(cited []string, stands bool, format string) {
		for _, c := range cited {
			switch found, known := repo.has(c); {
			case !known:
				problems = append(problems, fmt.Sprintf("names `%s`, which cannot be looked up", c))
			case found != stands:
				problems = append(problems, fmt.Sprintf(format, c))
			}
		}
	}
	expect(e.proofs, true, "names `%s`, which is not there")
	expect(e.gone, false, "says that `%s` is gone, and it is there")
	expect(e.missing, false, "says that `%s` is missing, and it is there")
	return problems
}

// checkLedger returns what is wrong with the rows `| id | what | state | evidence |`, where id may be a range
// (A44-A53), and prints how many items are in each state.
func checkLedger(out io.Writer, items []string, ledger string, repo repository) (problems []string) {
	seen, counts := map[string]bool{}, map[state]int{}
	for line := range strings.Lines(ledger) {
		match := ledgerRow.FindStringSubmatch(line)
		if match == nil {
			continue
		}
		ids := idsOf(match)
		complain := func(format string, args ...any) {
			problems = append(problems, ledgerFile+": "+match[1]+match[2]+" "+fmt.Sprintf(format, args...))
		}
		for _, id := range ids {
			if seen[id] {
				complain("gives %s a second row", id)
			}
			seen[id] = true
			if !slices.Contains(items, id) {
				complain("gives a row to %s, which is not an item of the requirements", id)
			}
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 4 {
			complain("has %d cells, not 4", len(cells))
			continue
		}
		e, problem := parse(cells[3])
		if problem != "" {
			complain("%s", problem)
			continue
		}
		for _, p := range e.problems(repo) {
			complain("%s", p)
		}
		switch written, given := state(strings.TrimSpace(cells[2])), e.state(); {
		case given == open:
			complain("cites nothing, and says of nobody that they must look")
		case written != given:
			complain("is called %q, and its evidence says %q", written, given)
		default:
			counts[given] += len(ids)
		}
	}
	for _, id := range items {
		if !seen[id] {
			problems = append(problems, ledgerFile+": "+id+" has no row")
		}
	}
	_, _ = fmt.Fprintf(out, "ledger: %d done, %d partly, %d later, %d to look at\n", counts[done], counts[partly], counts[later], counts[look])
	return problems
}

// idsOf lists the items of a row from the letter, the first and the last number (empty: only one).
func idsOf(match []string) []string {
	first, _ := strconv.Atoi(match[2])
	last := first
	if match[3] != "" {
		last, _ = strconv.Atoi(match[3])
	}
	return expand([]ids{{match[1], [][2]int{{first, last}}}})
}
