package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// yardResult is what pgbench measured.
type yardResult struct {
	// Rate is transactions a second, without the time to connect.
	Rate float64
	// Latency is of every transaction, only when asked for.
	Latency *hdrhistogram.Histogram
}

// pgbench runs one script in the yardsticks' database; logged also collects every latency.
func (t *topology) pgbench(ctx context.Context, script string, clients int, length time.Duration, logged bool) (res yardResult, err error) {
	binary, err := pgbenchBinary()
	if err != nil {
		return res, err
	}
	dir, err := os.MkdirTemp(t.dir, "pgbench-")
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }() //nolint:gosec // G703: in our own directory
	file, logs := filepath.Join(dir, "script.sql"), filepath.Join(dir, "log")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil { //nolint:gosec // G703: in our own directory
		return res, err
	}
	dsn, err := url.Parse(t.db.server.SuperURL(otherDatabase))
	if err != nil {
		return res, err
	}
	password, _ := dsn.User.Password()
	argv := []string{
		binary, "-n", "-M", "prepared", "-c", strconv.Itoa(clients), "-j", strconv.Itoa(min(2, clients)), "-T", strconv.Itoa(max(1, int(length.Seconds()))),
		"-h", dsn.Hostname(), "-p", dsn.Port(), "-U", dsn.User.Username(), "-f", file,
	}
	if logged {
		argv = append(argv, "-l", "--log-prefix="+logs)
	}
	env := append(minimalEnv(), "PGPASSWORD="+password, "PGSSLMODE=disable")
	out, err := program{name: "pgbench", log: t.logOf("pgbench"), env: env, argv: append(argv, otherDatabase)}.output(ctx)
	if err != nil {
		return res, err
	}
	if res.Rate, err = transactionRate(out); err != nil || !logged {
		return res, err
	}
	res.Latency, err = readLatencies(logs)
	return res, err
}

var (
	tps    = regexp.MustCompile(`(?m)^tps = ([0-9.]+)`)
	failed = regexp.MustCompile(`(?m)^number of failed transactions: ([0-9]+)`)
)

// transactionRate is 0 when not one transaction came to its end in time.
func transactionRate(out []byte) (float64, error) {
	if f := failed.FindSubmatch(out); f != nil && string(f[1]) != "0" {
		return 0, fmt.Errorf("pgbench: %s failed transactions", f[1])
	}
	found := tps.FindSubmatch(out)
	if bytes.Contains(out, []byte("number of transactions actually processed: 0\n")) {
		return 0, nil // too short a turn for a busy machine
	}
	if found == nil || bytes.Contains(out, []byte("aborted")) {
		return 0, fmt.Errorf("pgbench: %s", out)
	}
	return strconv.ParseFloat(string(found[1]), 64)
}

// readLatencies reads pgbench's logs: client, transaction, microseconds…
func readLatencies(prefix string) (*hdrhistogram.Histogram, error) {
	files, err := filepath.Glob(prefix + ".*")
	if err != nil {
		return nil, err
	}
	h := newHistogram()
	for _, name := range files {
		text, err := os.ReadFile(name) //nolint:gosec // G304: in our own directory
		if err != nil {
			return nil, err
		}
		lines := bufio.NewScanner(bytes.NewReader(text))
		for lines.Scan() {
			const microseconds = 2
			fields := strings.Fields(lines.Text())
			if len(fields) <= microseconds {
				continue
			}
			us, err := strconv.ParseInt(fields[microseconds], 10, 64)
			if err != nil {
				return nil, fmt.Errorf("read pgbench's log: %w", err)
			}
			record(h, time.Duration(us)*time.Microsecond)
		}
		if err := lines.Err(); err != nil {
			return nil, err
		}
	}
	return h, nil
}

func pgbenchBinary() (string, error) {
	if path, err := exec.LookPath("pgbench"); err == nil {
		return path, nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/pgbench")
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", errors.New("pgbench is not installed: it is part of the Postgres server package")
	}
	return found[len(found)-1], nil
}
