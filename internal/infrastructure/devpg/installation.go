package devpg

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	oldestMajor = 15
	newestMajor = 18
)

// installation is a set of Postgres programs of one major version. resolve returns the directory they are in,
// after fetching them where that is needed.
type installation struct {
	candidate string
	major     int
	resolve   func(context.Context) (bindir string, err error)
}

// localInstallations finds what is installed here, highest major first. PROFILE_PG_BINDIR, when set, is the
// only place looked at, and an error when it does not hold a usable Postgres.
func localInstallations(ctx context.Context, getenv func(string) string, patterns []string) ([]installation, error) {
	if dir := getenv("PROFILE_PG_BINDIR"); dir != "" {
		in, err := inspect(ctx, dir)
		if err != nil {
			return nil, fmt.Errorf("PROFILE_PG_BINDIR: %w; fix or unset it", err)
		}
		return []installation{in}, nil
	}
	dirs := filepath.SplitList(getenv("PATH"))
	for _, pattern := range patterns {
		matches, err := filepath.Glob(pattern)
		if err != nil {
			return nil, fmt.Errorf("glob %s: %w", pattern, err)
		}
		dirs = append(dirs, matches...)
	}
	var found []installation
	for _, dir := range dirs {
		in, err := inspect(ctx, dir)
		known := slices.ContainsFunc(found, func(other installation) bool { return other.candidate == in.candidate })
		if err == nil && !known {
			found = append(found, in)
		}
	}
	slices.SortStableFunc(found, func(a, b installation) int { return cmp.Compare(b.major, a.major) })
	return found, nil
}

// inspect tells what Postgres lies in dir, or why none that we can use does.
func inspect(ctx context.Context, dir string) (installation, error) {
	if !filepath.IsAbs(dir) {
		return installation{}, fmt.Errorf("%s is not an absolute path", dir)
	}
	for _, program := range []string{"postgres", "initdb"} {
		if !executable(filepath.Join(dir, program)) {
			return installation{}, fmt.Errorf("%s holds no program %s", dir, program)
		}
	}
	major, err := majorVersion(ctx, filepath.Join(dir, "postgres"))
	if err != nil {
		return installation{}, err
	}
	if major < oldestMajor || major > newestMajor {
		return installation{}, fmt.Errorf("%s holds Postgres %d, needed is %d to %d", dir, major, oldestMajor, newestMajor)
	}
	dir = behindLinks(dir)
	return installation{
		candidate: "local " + dir,
		major:     major,
		resolve:   func(context.Context) (string, error) { return dir, nil },
	}, nil
}

// behindLinks is where the programs really are when dir only links to them, so that one installation on PATH
// and in its own directory counts once.
func behindLinks(dir string) string {
	postgres, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres"))
	if target := filepath.Dir(postgres); err == nil && executable(filepath.Join(target, "initdb")) {
		return target
	}
	return dir
}

// majorVersion asks the program itself: "postgres (PostgreSQL) 15.14 (Debian …)".
func majorVersion(ctx context.Context, postgres string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, postgres, "--version")
	cmd.Env = childEnv()
	out, err := cmd.Output()
	if ctx.Err() != nil {
		err = ctx.Err() // "signal: killed" does not say who did it
	}
	if err != nil {
		return 0, fmt.Errorf("%s --version: %w", postgres, err)
	}
	_, version, _ := strings.Cut(string(out), "(PostgreSQL) ")
	end := strings.IndexFunc(version, func(r rune) bool { return r < '0' || r > '9' })
	major, err := strconv.Atoi(version[:max(end, 0)])
	if err != nil {
		return 0, fmt.Errorf("%s --version says %q", postgres, strings.TrimSpace(string(out)))
	}
	return major, nil
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}
