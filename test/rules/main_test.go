package main

import (
	"bytes"
	"os"
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
	repo, err := read(os.DirFS(tree(t, map[string]string{
		"Makefile": "", "configs/config.yaml": "",
		"a/a_test.go": "package a\nfunc TestS1_One(t *testing.T) {}\nfunc TestS1_Two(t *testing.T) {}\n" +
			"// func TestS2_Commented(t *testing.T) {}\nvar text = `\nfunc TestS2_Quoted(t *testing.T) {}\n`\n",
		"b/b_test.go":           "package b\nfunc TestS1_One(t *testing.T) {}\nfunc TestS10_Ten(t *testing.T) {}\n",
		"b/b.go":                "package b\nfunc TestS2_NotInATestFile() {}\n",
		"b/c_test.go":           "package b\ntype suite struct{}\nfunc (suite) TestS2_Method() {}\n",
		".bin/d_test.go":        "package d\nfunc TestS2_Hidden(t *testing.T) {}\n",
		"third_party/e_test.go": "not even Go",
	})))
	require.NoError(t, err)
	var out bytes.Buffer

	problems := listRules(&out, expand([]ids{{"S", [][2]int{{1, 2}, {10, 10}}}}), repo.tests)

	require.Equal(t, []string{"S2 has no test named TestS2_…"}, problems)
	require.Equal(t, "S1   TestS1_One (a/a_test.go, b/b_test.go), TestS1_Two (a/a_test.go)\n"+
		"S2   MISSING\n"+
		"S10  TestS10_Ten (b/b_test.go)\n", out.String())
}

func TestCheckReadsTheRepository(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{
		"profile_refactor_plan.md": "", "Makefile": "check:\n", "configs/config.yaml": "",
		"a_test.go": "package a\nfunc TestP23_Codes(t *testing.T) {}\n",
	})
	var out bytes.Buffer
	problems, err := check(os.DirFS(dir), &out)
	require.NoError(t, err)
	require.Len(t, problems, len(expand(inScope))-1+len(expand(inLedger)))
	require.Contains(t, out.String(), "P23  TestP23_Codes (a_test.go)\n")

	for _, file := range []string{"configs/config.yaml", "Makefile", "profile_refactor_plan.md"} {
		require.NoError(t, os.Remove(dir+"/"+file))
		_, err = check(os.DirFS(dir), &out)
		require.ErrorIs(t, err, os.ErrNotExist, file)
	}
}
