package main

import (
	"bytes"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// small holds one of everything that a row may cite.
var small = map[string]string{
	"Makefile":            "BIN := x\n.PHONY: check\ncheck: lint\n\ttrue\ne2e: $(BIN)/x\n",
	"configs/config.yaml": "watch: {retention: 15552000s}\nfeatures:\n  publish: true\n",
	"docs/api.md":         "x",
	"go.mod":              "module x\n\nrequire (\n\tgopkg.in/yaml.v3 v3.0.1\n\texample.org/theirs v1.0.0 // indirect\n)\n",
	"api/profile/v1/profile.proto": "service S {\n  // rpc Promised(X) is to come.\n  rpc GetProfile(GetProfileRequest) returns (X) {\n" +
		"    option (google.api.http) = {get: \"/api/v1/user/me\"};\n  }\n}\n" +
		"message GetProfileRequest {\n  repeated string user_id = 1 [x = 2];\n}\nenum E {\n  E_LIKE = 1;\n}\n",
	"cmd/profilectl/stats.go":                    "var _ = cobra.Command{Use: \"stats\"}\n",
	"internal/controllers/routes.go":             "mux.Handle(\"DELETE /api/v1/video/{video_id}/like\", h)\n",
	"internal/models/outbox_events/events.go":    "const A = \"profile.engagement.added\"\n",
	"internal/infrastructure/observability/m.go": "const A = \"profile_lag_seconds\" // \"profile_commented\" is not one\n",
	"internal/repositories/interfaces.go":        "type WatchLogRepository interface {\n\t// Prune is {not} here.\n\tGet(x int)\n}\ntype Other interface {\n\tPut()\n}\n",
	"migrations/101_x.sql": "CREATE TABLE IF NOT EXISTS profile.users (\n    user_id uuid,\n    -- Not yet; a comment is no column: tenant_id\n    name text\n);\n" +
		"CREATE OR REPLACE VIEW profile.status AS SELECT 1 AS id;\nALTER TABLE profile.users ADD COLUMN age int;\nCREATE TABLE profile.videos (title text);\n",
	"a_test.go": "package a\nfunc TestS1_One(t *testing.T) {}\nfunc FuzzDTO(f *testing.F) { _ = \"profile_in_a_test\" }\n",
}

func readTree(t *testing.T, files map[string]string) repository {
	t.Helper()
	repo, err := read(os.DirFS(tree(t, files)))
	require.NoError(t, err)
	return repo
}

func TestWhatARowMayCite(t *testing.T) {
	t.Parallel()
	repo := readTree(t, small)
	for _, cited := range []string{
		"TestS1_One", "TestS1_*", "Test*One", "FuzzDTO", "make check", "make check FAST=1", "docs/api.md", "docs/", "docs/*.md", "go.mod",
		"key watch", "key watch.retention", "key watch.retention=15552000s", "key features.publish=true", "rpc GetProfile", "message GetProfileRequest",
		"field user_id", "field E_LIKE", "route GET /api/v1/user/me", "route DELETE /api/v1/video/{id}/like", "event profile.engagement.added",
		"metric profile_lag_seconds", "method WatchLogRepository.Get", "method Other.Put", "table users", "table use*", "table status",
		"column users.name", "column users.age", "column status.id", "module gopkg.in/yaml.v3", "profilectl stats",
	} {
		found, known := repo.has(cited)
		require.True(t, known, cited)
		require.True(t, found, cited)
	}
	for _, cited := range []string{
		"TestS1_", "TestS2_*", "FuzzDT", "make tea", "make BIN", "docs/none.md", "docs/*.txt", "key watch.retention=1s", "key watch.none",
		"key none.retention", "key watch.retention.more", "rpc GetProfil", "rpc Promised", "message E", "field user", "field E", "route POST /api/v1/user/me",
		"route GET /api/v1/user", "event profile.engagement", "metric profile_lag", "metric profile_in_a_test", "method WatchLogRepository.Put",
		"method WatchLogRepository.Prune", "method Log.Get", "table user", "table title", "column users.tenant_id", "column users.title",
		"column videos.name", "module example.org/theirs", "module gopkg.in/yaml", "profilectl stat",
	} {
		found, known := repo.has(cited)
		require.True(t, known, cited)
		require.False(t, found, cited)
	}
	for _, cited := range []string{
		"", "trust", "trust me", "migrations", "../docs", "/etc/passwd", "rpcs GetProfile", "rpc GetProfile now", "column users", "method Get",
		"route GET", "profilectl stats verify",
	} {
		found, known := repo.has(cited)
		require.False(t, known, cited)
		require.False(t, found, cited)
	}
}

func TestCheckLedger(t *testing.T) {
	t.Parallel()
	const good = "| M1 | one | done | `TestS1_One`, `make check`, `docs/api.md` and words |"
	cases := []struct {
		name   string
		ledger []string
		want   []string
	}{
		{"EveryState", []string{good, "| A1 | two | later | missing: `rpc Purge` |"}, nil},
		{"Partly", []string{good, "| A1 | two | partly | `docs/`; words, missing: `rpc Purge`, `TestS80_*` |"}, nil},
		{"Removal", []string{good, "| A1 | two | done | gone: `api/video` |"}, nil},
		{"SomebodyLooks", []string{good, "| A1 | two | look | look: the gateway |"}, nil},
		{"SomebodyLooksAtTheRest", []string{good, "| A1 | two | look | `docs/`; missing: `rpc Purge`; look: the gateway |"}, nil},
		{"OtherLinesAreText", []string{"# Title", "| id | what | state | evidence |", "|---|---|---|---|", good, "| A1 | two | look | look: x |"}, nil},
		{"Range", []string{"| M1-M1 | one | done | `docs/` |", "| A1 | two | look | look: x |"}, nil},

		{"StaleLaterRow", []string{good, "| A1 | two | later | missing: `rpc GetProfile` |"}, []string{"A1 says that `rpc GetProfile` is missing, and it is there"}},
		{"StalePartOfARow", []string{good, "| A1 | two | partly | `docs/`; missing: `rpc Purge`, `TestS1_*` |"}, []string{"A1 says that `TestS1_*` is missing, and it is there"}},
		{"StaleInALookRow", []string{good, "| A1 | two | look | missing: `table users`; look: x |"}, []string{"A1 says that `table users` is missing, and it is there"}},
		{"ProofIsGone", []string{good, "| A1 | two | done | `TestS2_Two`, `docs/none.md` |"}, []string{"A1 names `TestS2_Two`, which is not there", "A1 names `docs/none.md`, which is not there"}},
		{"ProofOfALookRowIsGone", []string{good, "| A1 | two | look | `make tea`; look: x |"}, []string{"A1 names `make tea`, which is not there"}},
		{"RemovedIsBack", []string{good, "| A1 | two | done | gone: `docs/` |"}, []string{"A1 says that `docs/` is gone, and it is there"}},
		{"NothingCited", []string{good, "| A1 | two | done | trust me |"}, []string{"A1 cites nothing, and says of nobody that they must look"}},
		{"NothingCitedLater", []string{good, "| A1 | two | later | no REST |"}, []string{"A1 cites nothing, and says of nobody that they must look"}},
		{"NothingAtAll", []string{good, "| A1 | two | later | |"}, []string{"A1 cites nothing, and says of nobody that they must look"}},
		{"NobodyLooks", []string{good, "| A1 | two | look | `docs/`; look: |"}, []string{"A1 has an empty look"}},
		{"NothingIsMissing", []string{good, "| A1 | two | partly | `docs/`; missing: REST |"}, []string{"A1 has an empty missing"}},
		{"NothingIsGone", []string{good, "| A1 | two | done | `docs/`; gone: all of it |"}, []string{"A1 has an empty gone"}},
		{"CannotBeLookedUp", []string{good, "| A1 | two | later | missing: `REST` |"}, []string{"A1 names `REST`, which cannot be looked up"}},
		{"PathOutside", []string{good, "| A1 | two | later | missing: `../docs` |"}, []string{"A1 names `../docs`, which cannot be looked up"}},
		{"DoneButSomeIsMissing", []string{good, "| A1 | two | done | `docs/`; missing: `rpc Purge` |"}, []string{`A1 is called "done", and its evidence says "partly"`}},
		{"LaterButSomeStands", []string{good, "| A1 | two | later | `docs/`; missing: `rpc Purge` |"}, []string{`A1 is called "later", and its evidence says "partly"`}},
		{"PartlyButNothingIsMissing", []string{good, "| A1 | two | partly | `docs/` |"}, []string{`A1 is called "partly", and its evidence says "done"`}},
		{"DoneButSomebodyMustLook", []string{good, "| A1 | two | done | `docs/`; look: x |"}, []string{`A1 is called "done", and its evidence says "look"`}},
		{"UnknownState", []string{good, "| A1 | two | soon | `docs/` |"}, []string{`A1 is called "soon", and its evidence says "done"`}},
		{"MissingRow", []string{good}, []string{"A1 has no row"}},
		{"TwoRows", []string{good, good, "| A1 | two | look | look: x |"}, []string{"M1 gives M1 a second row"}},
		{"UnknownItem", []string{good, "| A1-A2 | two | look | look: x |"}, []string{"A1 gives a row to A2, which is not an item of the requirements"}},
		{"BackwardRange", []string{good, "| A2-A1 | two | look | look: x |"}, []string{"A1 has no row"}},
		{"Cells", []string{good, "| A1 | two | later |"}, []string{"A1 has 3 cells, not 4"}},
	}
	repo := readTree(t, small)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			problems := checkLedger(&bytes.Buffer{}, []string{"M1", "A1"}, strings.Join(c.ledger, "\n"), repo)
			for i := range problems {
				problems[i] = strings.TrimPrefix(problems[i], "profile_refactor_plan.md: ")
			}
			require.Equal(t, c.want, problems)
		})
	}
}

func TestCheckLedgerCountsItems(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	items := expand([]ids{{"A", [][2]int{{1, 5}}}})
	problems := checkLedger(&out, items, "| A1-A3 | x | done | `docs/` |\n| A4 | x | later | missing: `rpc Purge` |\n| A5 | x | look | look: y |", readTree(t, small))
	require.Empty(t, problems)
	require.Equal(t, "ledger: 3 done, 0 partly, 1 later, 1 to look at\n", out.String())
}

// A row turns red the moment that what it waits for arrives.
func TestALedgerGoesStaleWithItsRepository(t *testing.T) {
	t.Parallel()
	arrivals := map[string]struct{ cited, file, text string }{
		"Test":   {"TestS80_*", "b_test.go", "package b\nfunc TestS80_Purge(t *testing.T) {}\n"},
		"Path":   {"deploy/*.json", "deploy/a.json", "{}"},
		"Target": {"make tea", "Makefile", "tea:\n"},
		"RPC":    {"rpc Purge", "api/profile/v1/purge.proto", "  rpc Purge(X) returns (Y);\n"},
		"Column": {"column users.tenant_id", "migrations/109_y.sql", "ALTER TABLE profile.users\n    ADD COLUMN IF NOT EXISTS tenant_id uuid;\n"},
		"Metric": {"metric profile_new_total", "internal/infrastructure/observability/n.go", "var n = counter(\"profile_new_total\")\n"},
		"Module": {"module example.org/theirs", "go.mod", "require example.org/theirs v1.0.0\n"},
		"Key":    {"key limits.likes", "configs/config.yaml", "limits: {likes: 10}\n"},
	}
	for name, arrival := range arrivals {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			row := "| A1 | x | later | missing: `" + arrival.cited + "` |"
			require.Empty(t, checkLedger(&bytes.Buffer{}, []string{"A1"}, row, readTree(t, small)))
			files := maps.Clone(small)
			files[arrival.file] = arrival.text
			require.Equal(t, []string{"profile_refactor_plan.md: A1 says that `" + arrival.cited + "` is missing, and it is there"},
				checkLedger(&bytes.Buffer{}, []string{"A1"}, row, readTree(t, files)))
		})
	}
}
