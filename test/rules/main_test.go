package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// tree lays files out in a temporary directory.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	memory := fstest.MapFS{}
	for name, text := range files {
		memory[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o600}
	}
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, memory))
	return dir
}

func TestListRules(t *testing.T) {
	t.Parallel()
	root := os.DirFS(tree(t, map[string]string{
		"a/a_test.go": "package a\nfunc TestS1_One(t *testing.T) {}\nfunc TestS1_Two(t *testing.T) {}\n" +
			"// func TestS2_Commented(t *testing.T) {}\nvar text = `\nfunc TestS2_Quoted(t *testing.T) {}\n`\n",
		"b/b_test.go":           "package b\nfunc TestS1_One(t *testing.T) {}\nfunc TestS10_Ten(t *testing.T) {}\n",
		"b/b.go":                "package b\nfunc TestS2_NotInATestFile() {}\n",
		"b/c_test.go":           "package b\ntype suite struct{}\nfunc (suite) TestS2_Method() {}\n",
		".bin/d_test.go":        "package d\nfunc TestS2_Hidden(t *testing.T) {}\n",
		"third_party/e_test.go": "not even Go",
	}))
	tests, err := findTests(root)
	require.NoError(t, err)
	var out bytes.Buffer

	problems := listRules(&out, expand([]ids{{"S", [][2]int{{1, 2}, {10, 10}}}}), tests)

	require.Equal(t, []string{"S2 has no test named TestS2_…"}, problems)
	require.Equal(t, "S1   TestS1_One (a/a_test.go, b/b_test.go), TestS1_Two (a/a_test.go)\n"+
		"S2   MISSING\n"+
		"S10  TestS10_Ten (b/b_test.go)\n", out.String())
}

func TestCheckLedger(t *testing.T) {
	t.Parallel()
	const good = "| M1 | one | done | `TestS1_One`, `make check`, `docs/api.md` and words |"
	cases := []struct {
		name   string
		ledger []string
		want   []string
	}{
		{"EveryKindOfProof", []string{good, "| A1 | two | later | what is missing |"}, nil},
		{"DirectoryIsAPath", []string{good, "| A1 | two | partly | `docs/` |"}, nil},
		{"TargetWithVariable", []string{good, "| A1 | two | partly | `make check FAST=1` |"}, nil},
		{"OtherLinesAreText", []string{"# Title", "| id | what | state | proof |", "|---|---|---|---|", good, "| A1 | two | not ours | the gateway |"}, nil},
		{"MissingRow", []string{good}, []string{"A1 has no row"}},
		{"TwoRows", []string{good, good, "| A1 | two | later | x |"}, []string{"M1 has more than one row"}},
		{"UnknownItem", []string{good, "| A1 | two | later | x |", "| M999 | three | later | x |"}, []string{"M999 is not an item of the requirements"}},
		{"UnknownState", []string{good, "| A1 | two | soon | x |"}, []string{`A1 has the unknown state "soon"`}},
		{"NoProof", []string{good, "| A1 | two | done | trust me |"}, []string{"A1 is done without a proof"}},
		{"NoReason", []string{good, "| A1 | two | later | |"}, []string{"A1 is later and does not say why"}},
		{"Cells", []string{good, "| A1 | two | later |"}, []string{"A1 has 3 cells, not 4"}},
		{"NoSuchTest", []string{good, "| A1 | two | done | `TestS2_Two` |"}, []string{"A1 names `TestS2_Two`: no such test"}},
		{"NoSuchTarget", []string{good, "| A1 | two | partly | `make tea` |"}, []string{"A1 names `make tea`: no such target"}},
		{"NoSuchPath", []string{good, "| A1 | two | partly | `docs/none.md` |"}, []string{"A1 names `docs/none.md`: no such test, target or path"}},
		{"PathOutside", []string{good, "| A1 | two | partly | `../docs` |"}, []string{"A1 names `../docs`: no such test, target or path"}},
	}
	root := os.DirFS(tree(t, map[string]string{"docs/api.md": "x"}))
	p := proofs{root, map[string][]string{"TestS1_One": {"a_test.go"}}, targets("BIN := x\n.PHONY: check\ncheck: lint\n\ttrue\ne2e: $(BIN)/x\n")}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			problems := checkLedger(&bytes.Buffer{}, []string{"M1", "A1"}, strings.Join(c.ledger, "\n"), p)
			for i := range problems {
				problems[i] = strings.TrimPrefix(problems[i], "profile_refactor_plan.md: ")
			}
			require.Equal(t, c.want, problems)
		})
	}
}

func TestCheckReadsTheRepository(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"profile_refactor_plan.md": "", "Makefile": "check:\n", "a_test.go": "package a\nfunc TestP23_Codes(t *testing.T) {}\n"})
	var out bytes.Buffer
	problems, err := check(os.DirFS(dir), &out)
	require.NoError(t, err)
	require.Len(t, problems, len(expand(inScope))-1+len(expand(inLedger)))
	require.Contains(t, out.String(), "P23  TestP23_Codes (a_test.go)\n")

	require.NoError(t, os.Remove(dir+"/Makefile"))
	_, err = check(os.DirFS(dir), &out)
	require.ErrorIs(t, err, os.ErrNotExist)
}
