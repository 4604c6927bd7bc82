package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

const (
	makeFile   = "Makefile"
	configFile = "configs/config.yaml"
)

// repository is what a ledger row may cite.
type repository struct {
	root    fs.FS
	tests   map[string][]string // files of every top-level test, fuzz and benchmark function, by its name
	sources map[string]string   // every other Go, proto, SQL and go.mod file without lines of comment, by its path
	targets []string
	config  map[string]any
}

// read fails when a file cannot be read, a test does not parse, or the Makefile or the configuration is not there.
func read(root fs.FS) (repository, error) {
	repo := repository{root: root, tests: map[string][]string{}, sources: map[string]string{}}
	err := fs.WalkDir(root, ".", func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && file != "." && skipped(entry.Name()):
			return fs.SkipDir
		case entry.IsDir() || !source.MatchString(file):
			return nil
		}
		text, err := fs.ReadFile(root, file)
		if err != nil {
			return err
		}
		if strings.HasSuffix(file, "_test.go") {
			return repo.addTests(file, text)
		}
		repo.sources[file] = comment.ReplaceAllString(string(text), "")
		return nil
	})
	if err != nil {
		return repository{}, err
	}
	makefile, err := fs.ReadFile(root, makeFile)
	if err != nil {
		return repository{}, err
	}
	for _, match := range makeTarget.FindAllStringSubmatch(string(makefile), -1) {
		repo.targets = append(repo.targets, match[1])
	}
	config, err := fs.ReadFile(root, configFile)
	if err != nil {
		return repository{}, err
	}
	if err := yaml.Unmarshal(config, &repo.config); err != nil {
		return repository{}, fmt.Errorf("%s: %w", configFile, err)
	}
	return repo, nil
}

// skipped directories hold nothing of ours.
func skipped(dir string) bool {
	return strings.HasPrefix(dir, ".") || slices.Contains([]string{"third_party", "node_modules", "testdata"}, dir)
}

func (r repository) addTests(file string, source []byte) error {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, source, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	for _, declared := range parsed.Decls {
		if f, ok := declared.(*ast.FuncDecl); ok && f.Recv == nil && testName.MatchString(f.Name.Name) {
			r.tests[f.Name.Name] = append(r.tests[f.Name.Name], file)
		}
	}
	return nil
}

var (
	testName   = regexp.MustCompile(`^(Test|Fuzz|Benchmark)[A-Z]\w*$`)
	testGlob   = regexp.MustCompile(`^(Test|Fuzz|Benchmark)[A-Z*][\w*]*$`)
	comment    = regexp.MustCompile(`(?m)^\s*(?://|--).*$`)
	source     = regexp.MustCompile(`\.(go|proto|sql|mod)$`)
	makeTarget = regexp.MustCompile(`(?m)^([a-z][a-z0-9-]*):`)
)

// What follows the first word of a citation.
var (
	single  = regexp.MustCompile(`^(\S+)$`)
	dotted  = regexp.MustCompile(`^([\w*]+)\.([\w*]+)$`)
	request = regexp.MustCompile(`^([A-Z]+) (/\S*)$`)
)

// kinds are the first words of citations: what follows, and where and by which pattern to search for it.
var kinds = map[string]struct {
	names                   *regexp.Regexp
	folder, ending, pattern string
}{
	"rpc":        {single, "api/", ".proto", `(?m)^\s*rpc %s\(`},
	"message":    {single, "api/", ".proto", `(?m)^\s*message %s \{`},
	"field":      {single, "api/", ".proto", `(?m)^\s*(?:[\w.]+ )*%s = \d`}, // or a value of an enum
	"route":      {request, "", "", `(?i)\b%s:?\s*"?%s"`},
	"event":      {single, "internal/models/outbox_events/", ".go", `"%s"`},
	"metric":     {single, "internal/infrastructure/observability/", ".go", `"%s"`},
	"method":     {dotted, "internal/", ".go", `\btype %s interface \{[^}]*\b%s\(`},
	"table":      {single, "migrations/", ".sql", `(?i)\bCREATE (?:TABLE|(?:OR REPLACE )?VIEW)(?: IF NOT EXISTS)? profile\.%s\b`},
	"column":     {dotted, "migrations/", ".sql", `(?i)\b(?:TABLE|VIEW)(?: IF NOT EXISTS)? profile\.%s\b[^;]*\b%s\b`},
	"module":     {single, "go.mod", "", `(?m)^(?:require)?\s*%s \S+$`}, // required by ours, not only by others'
	"profilectl": {single, "cmd/profilectl/", ".go", `\bUse:\s*"%s[ "]`},
}

// has says whether the repository holds what is cited (`*` stands for anything): a test, a path, `make
// target`, `key path.to=value` of config.yaml, or one of kinds. known is false when it is none of these.
func (r repository) has(cited string) (found, known bool) {
	kind, rest, words := strings.Cut(cited, " ")
	switch {
	case testGlob.MatchString(cited):
		return r.hasTest(cited), true
	case !words:
		known = strings.ContainsAny(cited, "/.") && fs.ValidPath(path.Clean(cited))
		return known && r.hasPath(cited), known
	case kind == "make":
		target, _, _ := strings.Cut(rest, " ")
		return slices.Contains(r.targets, target), true
	case kind == "key":
		return r.hasKey(rest), true
	}
	search, known := kinds[kind]
	if !known || !search.names.MatchString(rest) {
		return false, false
	}
	var names []any
	for _, name := range search.names.FindStringSubmatch(rest)[1:] {
		names = append(names, quote(name))
	}
	return r.matches(search.folder, search.ending, fmt.Sprintf(search.pattern, names...)), true
}

func (r repository) hasTest(glob string) bool {
	for name := range r.tests {
		if ok, err := path.Match(glob, name); err == nil && ok {
			return true
		}
	}
	return false
}

func (r repository) hasPath(glob string) bool {
	found, err := fs.Glob(r.root, path.Clean(glob))
	return err == nil && len(found) > 0
}

// hasKey finds a.b, or a.b=value.
func (r repository) hasKey(cited string) bool {
	name, want, valued := strings.Cut(cited, "=")
	var value any = r.config
	for part := range strings.SplitSeq(name, ".") {
		group, _ := value.(map[string]any)
		inner, ok := group[part]
		if !ok {
			return false
		}
		value = inner
	}
	return !valued || fmt.Sprint(value) == want
}

func (r repository) matches(folder, ending, pattern string) bool {
	compiled := regexp.MustCompile(pattern)
	for file, text := range r.sources {
		if strings.HasPrefix(file, folder) && strings.HasSuffix(file, ending) && compiled.MatchString(text) {
			return true
		}
	}
	return false
}

// quote is the pattern of a name: `*` stands for anything, and {parameters} of a route may be called otherwise.
func quote(name string) string {
	return parameter.ReplaceAllLiteralString(strings.ReplaceAll(regexp.QuoteMeta(name), `\*`, `\w*`), `\{[^}]*\}`)
}

var parameter = regexp.MustCompile(`\\\{[^}]*\\\}`)
