package repositories_test

import (
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/migrations"
)

var (
	sqlComment = regexp.MustCompile(`--[^\n]*`)
	// What follows these words is a relation; LATERAL, a bracket or SET is not.
	relation = regexp.MustCompile(`(?i)\b(?:from|join|into|update|references|table(?: if not exists)?|index(?: concurrently)?(?: if not exists)? \w+ on|partition of|view|trigger \w+ before (?:insert or )?update on|policy \w+ on) ([a-z_]\w*(?:\.[a-z_%]\w*)?)`)
	cte      = regexp.MustCompile(`(?i)\b([a-z_]\w*) as (?:not )?(?:materialized )?\(`)
	routine  = regexp.MustCompile(`(?i)\b([a-z_]\w*)\.[a-z_]\w*\s*\(`)
	created  = regexp.MustCompile(`(?i)create table(?: if not exists)? ([a-z_.0-9]+)`)
	alters   = regexp.MustCompile(`(?i)alter table ([a-z_.0-9]+)`)
	indexed  = regexp.MustCompile(`(?is)create(?: unique)? index(?: if not exists)? \w+ on ([a-z_.0-9]+)`)
)

var (
	// notRelations follow the same words in other places of the grammar, or come with the server.
	notRelations = map[string]bool{"set": true, "lateral": true, "profile": true, "generate_series": true, "skip": true, "if": true}
	// neverWritten had no writer before the migration that changes them: there is nobody to lock out.
	neverWritten = map[string]bool{"profile.inbox_events": true}
	// ourSchemas may qualify a function; sqlc's are gone when it has generated.
	ourSchemas = map[string]bool{"profile": true, "sqlc": true}
)

func sqlFiles(t *testing.T, files fs.FS) map[string]string {
	t.Helper()
	names, err := fs.Glob(files, "*.sql")
	require.NoError(t, err)
	require.NotEmpty(t, names)
	texts := map[string]string{}
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		require.NoError(t, err)
		texts[name] = regexp.MustCompile(`\s+`).ReplaceAllString(sqlComment.ReplaceAllString(string(text), " "), " ")
	}
	return texts
}

// foreignNames are the relations and functions a text uses that are neither of schema profile, nor of
// the system catalogue, nor defined by the text itself.
func foreignNames(text string) (foreign []string) {
	own := map[string]bool{}
	for _, m := range cte.FindAllStringSubmatch(text, -1) {
		own[strings.ToLower(m[1])] = true
	}
	for _, m := range relation.FindAllStringSubmatch(text, -1) {
		name := strings.ToLower(m[1])
		schema, _, qualified := strings.Cut(name, ".")
		if notRelations[name] || own[name] || schema == "profile" || (!qualified && strings.HasPrefix(name, "pg_")) {
			continue
		}
		foreign = append(foreign, name)
	}
	for _, m := range routine.FindAllStringSubmatch(text, -1) {
		if !ourSchemas[strings.ToLower(m[1])] {
			foreign = append(foreign, strings.TrimSpace(m[0]))
		}
	}
	return foreign
}

func TestS95_SQLTouchesNoSchemaButProfile(t *testing.T) {
	t.Parallel()
	for folder, files := range map[string]fs.FS{"queries": os.DirFS("../../sqlc/profile"), "migrations": migrations.FS} {
		for name, text := range sqlFiles(t, files) {
			t.Run(folder+"/"+name, func(t *testing.T) {
				t.Parallel()
				require.Empty(t, foreignNames(text))
				require.NotContains(t, strings.ToLower(text), "catalog.")
				require.NotContains(t, strings.ToLower(text), "search_path")
				require.Contains(t, text, "profile.")
			})
		}
	}
}

func TestM160_ForeignSchemaIsNoticed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"SELECT * FROM catalog.videos":                                                    "catalog.videos",
		"SELECT 1 FROM profile.users u JOIN auth.users a ON a.id = u.id":                  "auth.users",
		"INSERT INTO public.x SELECT 1":                                                   "public.x",
		"INSERT INTO public.x (a) VALUES (1)":                                             "public.x",
		"UPDATE users SET a = 1":                                                          "users",
		"SELECT auth.uid()":                                                               "auth.uid(",
		"CREATE TABLE IF NOT EXISTS public.x (a int REFERENCES profile.users)":            "public.x",
		"WITH x AS (SELECT 1) SELECT * FROM x JOIN y USING (a)":                           "y",
		"CREATE INDEX IF NOT EXISTS i ON catalog.videos (a)":                              "catalog.videos",
		"ALTER TABLE profile.users ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES catalog.v": "catalog.v",
	} {
		require.Contains(t, foreignNames(text), want, text)
	}
	require.Empty(t, foreignNames("WITH x AS (SELECT 1) UPDATE profile.users u SET a = u.b FROM x WHERE u.c IS NULL"))
}

// An index on a table that may already be big locks out its writers unless it is built concurrently, which
// goose can do only outside a transaction.
func TestS95_IndexesOnExistingTablesAreBuiltConcurrently(t *testing.T) {
	t.Parallel()
	for name, text := range sqlFiles(t, migrations.FS) {
		own := map[string]bool{}
		for _, m := range created.FindAllStringSubmatch(text, -1) {
			own[m[1]] = true
		}
		for _, m := range indexed.FindAllStringSubmatch(text, -1) {
			require.True(t, own[m[1]], "%s locks %s while it builds an index", name, m[1])
		}
		for clause := range strings.SplitSeq(text, ";") {
			if altered := alters.FindStringSubmatch(clause); altered != nil && strings.Contains(strings.ToUpper(clause), "ADD CONSTRAINT") && !neverWritten[altered[1]] {
				require.Contains(t, strings.ToUpper(clause), "NOT VALID", name)
			}
		}
	}
}
